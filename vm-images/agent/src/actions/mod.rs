//! Carries out one [`Action`] in the calling process.

pub mod files;
pub mod modules;
mod run;
mod syscall;
mod triggers;

use crate::{sys, time};
use agent::proto::{Action, ActionResult, Errno as Number, GuestMillis, Value};
use rustix::io::{Errno, Result};
use rustix::system::RebootCommand;
use std::ffi::CString;
use std::time::Duration;

/// Carries out an action and records its start and end time.
pub fn timed(action: &Action) -> ActionResult {
    let began = time::now();
    let result = perform(action).map_err(|errno| Number(errno.raw_os_error()));
    ActionResult { result, began, ended: time::now() }
}

/// Carries out an action.
pub fn perform(action: &Action) -> Result<Value> {
    match action {
        Action::Run { program, argv, env, stdin, limit } => {
            run::run(&run::Program { program, argv, env, chroot: None, limit: *limit }, stdin)
        }
        Action::ExecClosed { program, argv, env, chroot, limit } => {
            run::run_closed(&run::Program { program, argv, env, chroot: chroot.as_deref(), limit: *limit })
        }
        Action::Write { path, data, flags } => {
            files::write(path, data, files::for_writing(*flags)).map(|n| Value::Number(n as i64))
        }
        Action::WriteMany { path, pieces, flags } => {
            files::write_many(path, pieces, files::for_writing(*flags)).map(Value::Numbers)
        }
        Action::Read { path, max } => files::read(path, *max as usize).map(Value::Bytes),
        Action::ReadMany { path, pieces } => files::read_many(path, pieces).map(Value::Pieces),
        Action::MkdirAll(path) => unit(files::make_directories(path)),
        Action::RemoveAll(path) => unit(files::remove(path)),
        Action::Rename(from, to) => unit(rustix::fs::rename(from.as_slice(), to.as_slice())),
        Action::Symlink(target, link) => unit(rustix::fs::symlink(target.as_slice(), link.as_slice())),
        Action::Link(from, to) => unit(rustix::fs::link(from.as_slice(), to.as_slice())),
        Action::Chmod(path, mode) => unit(files::chmod(path, *mode)),
        Action::List(path) => files::list(path).map(Value::Names),
        Action::Stat(path) => files::stat(path).map(Value::Stat),
        Action::Mknod { path, mode, major, minor } => unit(files::make_node(path, *mode, *major, *minor)),
        Action::Open { path, flags } => unit(files::open(path, files::flags(*flags)).map(drop)),
        Action::Hold { path, flags, millis } => files::open(path, files::flags(*flags)).map(|file| {
            sleep(*millis);
            drop(file);
            Value::Unit
        }),
        Action::Mount { source, target, fstype, flags, data } => {
            unit(files::mount(source, target, fstype, *flags, data))
        }
        Action::Umount(target, flags) => unit(files::unmount(target, *flags)),
        Action::Chdir(path) => unit(rustix::process::chdir(path.as_slice())),
        Action::Chroot(path) => unit(rustix::process::chroot(path.as_slice())),
        Action::Unshare(flags) => unit(sys::unshare(*flags)),
        Action::Sleep(millis) => {
            sleep(*millis);
            Ok(Value::Unit)
        }
        Action::Socket { family, kind, protocol } => unit(sys::socket(*family, *kind, *protocol).map(drop)),
        Action::InterfaceIoctl { code, name } => unit(triggers::interface_ioctl(*code, name)),
        Action::SocketIoctl { code, argument } => unit(triggers::socket_ioctl(*code, argument)),
        Action::SetSockOpt { socket, level, option, value } => {
            unit(triggers::open_socket(socket).and_then(|socket| sys::setsockopt(socket, *level, *option, value)))
        }
        Action::GetSockOpt { socket, level, option, value } => {
            let mut buffer = value.clone();
            let socket = triggers::open_socket(socket)?;
            let length = sys::getsockopt(socket, *level, *option, &mut buffer)?;
            buffer.truncate(length);
            Ok(Value::Bytes(buffer))
        }
        Action::Ioctl { path, flags, code, argument } => {
            triggers::file_ioctl(path, files::flags(*flags), *code, argument).map(Value::Number)
        }
        Action::Fsopen(name) => unit(sys::fsopen(&c_string(name)?).map(drop)),
        Action::Prctl { option, arguments } => sys::prctl(*option, *arguments).map(Value::Number),
        Action::SystemCall { number, arguments } => syscall::call(*number, arguments).map(Value::Number),
        Action::Quotactl { command, special, id } => unit(sys::quotactl(*command, &c_string(special)?, *id)),
        Action::Netlink { protocol, kind, flags, payload } => {
            unit(triggers::netlink(*protocol, *kind, *flags, payload))
        }
        Action::GenlGetFamily(name) => unit(triggers::genl_get_family(name)),
        Action::IptGetInfo(table) => unit(triggers::ipt_get_info(table)),
        Action::AlgBind { kind, name } => unit(triggers::alg_bind(kind, name)),
        Action::FinitModule { path, params, flags } => unit(modules::finit(path, params, *flags)),
        Action::InitModule { image, params } => unit(modules::init(image, params)),
        Action::DeleteModule { name, flags } => unit(modules::delete(name, *flags)),
        Action::Reset => unit(rustix::system::reboot(RebootCommand::Restart)),
        Action::Panic => unit(files::write(b"/proc/sysrq-trigger", b"c", files::for_writing(0)).map(drop)),
        Action::Hang => loop {
            std::hint::spin_loop();
        },
    }
}

fn unit(done: Result<()>) -> Result<Value> {
    done.map(|()| Value::Unit)
}

fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Converts bytes to a C string; EINVAL if they contain NUL.
fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

/// Returns the time since `began`.
fn elapsed(began: agent::proto::GuestMicros) -> GuestMillis {
    GuestMillis(time::now().millis_since(began))
}
