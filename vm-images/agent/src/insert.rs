//! Inserts the modules that belong to the guest itself, before the host takes its snapshot: a live patch of the kernel
//! under test.

use crate::actions::{files, modules};
use crate::sys::strerror;
use crate::time::Moment;
use agent::insert_list::{self, LIST, Module};
use agent::proto::GuestMillis;
use rustix::io::Errno;
use std::thread::sleep;
use std::time::Duration;

/// The limit for a live patch to reach all tasks.
const TRANSITION: GuestMillis = GuestMillis(60_000);

/// Inserts the modules of the list, if there is one. After an error the guest is not the one that was requested.
pub fn all() -> Result<(), String> {
    let list = match files::read(LIST.as_bytes(), 1 << 16) {
        Err(Errno::NOENT) => return Ok(()),
        list => list.map_err(|errno| format!("cannot read {LIST}: {}", strerror(errno)))?,
    };
    insert_list::parse(&list).try_for_each(|module| insert(&module))
}

fn insert(module: &Module<'_>) -> Result<(), String> {
    let path = module.path.escape_ascii();
    modules::finit(module.path, module.parameters, 0)
        .map_err(|errno| format!("cannot insert {path}: {}", strerror(errno)))?;
    let transition = [b"/sys/kernel/livepatch/", module.name(), b"/transition"].concat();
    let deadline = Moment::after(TRANSITION);
    loop {
        match files::read(&transition, 16) {
            // Not a live patch.
            Err(Errno::NOENT) => return Ok(()),
            Ok(state) if state.starts_with(b"0") => return Ok(()),
            Ok(_) if !deadline.passed() => sleep(Duration::from_millis(10)),
            Ok(_) => return Err(format!("the live patch {path} does not reach all tasks")),
            Err(errno) => return Err(format!("cannot read the state of {path}: {}", strerror(errno))),
        }
    }
}
