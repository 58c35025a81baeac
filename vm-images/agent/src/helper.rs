//! The recording helper, which the kernel starts instead of modprobe.
//!
//! It records its own process and follows the plan beside it. It must be fast: hundreds may be started within a
//! second. It closes everything it opens, so that the descriptors it records are those it inherited.

use crate::actions::{self, files};
use crate::status::{Status, number};
use crate::sys::strerror;
use crate::{sys, time};
use agent::plan::{Arg, End, HelperPlan, Record};
use agent::proto::GuestMicros;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::Resource;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// Runs the helper.
pub fn main(argv: Vec<Vec<u8>>, envp: Vec<Vec<u8>>) -> i32 {
    let started = time::now();
    let path = own_path(&argv);
    let plan = match read_plan(&path) {
        Ok(plan) => plan,
        Err(message) => {
            complain(&message);
            HelperPlan { record: true, actions: Vec::new(), end: End::Exit(1) }
        }
    };
    if plan.record {
        if let Err(message) = append_record(&path, &record(started, &argv, &envp)) {
            complain(&message);
        }
    }
    for action in &plan.actions {
        let _ = actions::perform(action);
    }
    match plan.end {
        End::Exit(status) => sys::exit(status),
        End::Signal(signal) => sys::die_by(signal),
        End::Exec { program, argv: wanted } => {
            let strings = |list: Vec<Vec<u8>>| list.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
            if let (Ok(program), Ok(argv), Ok(envp)) =
                (CString::new(program), strings(arguments(&wanted, &argv)), strings(envp))
            {
                sys::default_signals();
                let errno = sys::execute(&program, &argv, &envp);
                complain(&format!("cannot execute {}: {}", program.to_bytes().escape_ascii(), strerror(errno)));
            }
            sys::exit(127)
        }
    }
}

/// Returns the path under which the helper was started; its plan is beside it.
fn own_path(argv: &[Vec<u8>]) -> Vec<u8> {
    match argv.first() {
        Some(path) if !path.is_empty() => path.clone(),
        _ => std::fs::read_link("/proc/self/exe").map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default(),
    }
}

fn beside(path: &[u8], ending: &[u8]) -> Vec<u8> {
    [path, ending].concat()
}

/// Reads the plan. The default without a plan: record, and exit with 1.
fn read_plan(path: &[u8]) -> Result<HelperPlan, String> {
    let file = beside(path, b".plan");
    let bytes = match files::read(&file, usize::MAX) {
        Ok(bytes) => bytes,
        Err(rustix::io::Errno::NOENT) => {
            return Ok(HelperPlan { record: true, actions: Vec::new(), end: End::Exit(1) });
        }
        Err(errno) => return Err(format!("cannot read {}: {}", file.escape_ascii(), strerror(errno))),
    };
    postcard::from_bytes(&bytes).map_err(|error| format!("{} is not a helper's plan: {error}", file.escape_ascii()))
}

fn append_record(path: &[u8], record: &Record) -> Result<(), String> {
    let file = beside(path, b".log");
    let frame = agent::frame::encode(0, record).map_err(|error| error.to_string())?;
    match files::write(&file, &frame, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND) {
        Ok(written) if written == frame.len() => Ok(()),
        Ok(written) => Err(format!("{}: wrote only {written} of {} bytes", file.escape_ascii(), frame.len())),
        Err(errno) => Err(format!("cannot write {}: {}", file.escape_ascii(), strerror(errno))),
    }
}

/// Reports a failure on the console, the only place available to a helper.
fn complain(message: &str) {
    let line = format!("agent: helper: {message}\n");
    let _ = files::write(b"/dev/console", line.as_bytes(), OFlags::WRONLY | OFlags::NOCTTY);
}

/// Builds the argument vector of [`End::Exec`].
fn arguments(wanted: &[Arg], own: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    for arg in wanted {
        match arg {
            Arg::Literal(bytes) => list.push(bytes.clone()),
            Arg::Own(number) => list.extend(own.get(*number as usize).cloned()),
            Arg::OwnFrom(number) => list.extend(own.iter().skip(*number as usize).cloned()),
        }
    }
    list
}

/// Records this process. Without `/proc`, the values from there stay empty.
fn record(time: GuestMicros, argv: &[Vec<u8>], envp: &[Vec<u8>]) -> Record {
    let mut record = Record {
        time,
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        argv: argv.to_vec(),
        envp: envp.to_vec(),
        uids: [u32::MAX; 3],
        gids: [u32::MAX; 3],
        nice: rustix::process::getpriority_process(None).unwrap_or_default(),
        sid: sys::session(),
        pgid: sys::process_group(),
        umask: u32::MAX,
        ..Record::default()
    };
    let limit = |value: Option<u64>| value.unwrap_or(u64::MAX);
    let nofile = rustix::process::getrlimit(Resource::Nofile);
    record.nofile = [limit(nofile.current), limit(nofile.maximum)];
    record.core = limit(rustix::process::getrlimit(Resource::Core).current);
    match files::open(b"/proc/self", OFlags::PATH | OFlags::DIRECTORY) {
        Ok(this) => ask_proc(&this, &mut record),
        Err(_) => record.fds = sys::open_descriptors(1024),
    }
    record
}

/// Adds the values from `/proc/self`. Path lookups are expensive here, so `/proc/self` is looked up only once.
fn ask_proc(this: &OwnedFd, record: &mut Record) {
    let open = |name: &str, flags| rustix::fs::openat(this, name, flags | OFlags::CLOEXEC, Mode::empty());
    let link = |directory: &OwnedFd, name: &[u8]| {
        rustix::fs::readlinkat(directory, name, Vec::with_capacity(32)).map(CString::into_bytes).unwrap_or_default()
    };
    record.fds = match open("fd", OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(list) => {
            let ours = [this.as_raw_fd(), list.as_raw_fd()];
            let numbers = files::names(list).unwrap_or_default();
            let mut fds: Vec<i32> = numbers.iter().filter_map(|n| Some(number(n, 10)? as i32)).collect();
            fds.retain(|fd| !ours.contains(fd));
            fds.sort_unstable();
            fds
        }
        Err(_) => Vec::new(),
    };
    let text = open("status", OFlags::RDONLY).and_then(|file| files::read_whole(file, 0)).unwrap_or_default();
    let status = Status(&text);
    let hex = |name| status.hex(name).unwrap_or_default();
    record.uids = status.ids("Uid").unwrap_or(record.uids);
    record.gids = status.ids("Gid").unwrap_or(record.gids);
    record.caps = [hex("CapInh"), hex("CapPrm"), hex("CapEff"), hex("CapBnd"), hex("CapAmb")];
    record.no_new_privs = status.number("NoNewPrivs") == Some(1);
    record.seccomp = status.number("Seccomp").unwrap_or_default();
    record.umask = status.octal("Umask").unwrap_or(u32::MAX);
    record.signals = [hex("SigBlk"), hex("SigIgn")];
    record.cwd = link(this, b"cwd");
    record.root = link(this, b"root");
    if let Ok(namespaces) = open("ns", OFlags::RDONLY | OFlags::DIRECTORY) {
        let names = rustix::io::fcntl_dupfd_cloexec(&namespaces, 0).and_then(files::names).unwrap_or_default();
        record.namespaces = names.iter().map(|name| link(&namespaces, name)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_passes_on_its_own_arguments() {
        let own = [b"/run/lab/wrap".to_vec(), b"-q".to_vec(), b"--".to_vec(), b"a\xff b".to_vec()];
        assert_eq!(arguments(&[Arg::Own(0), Arg::OwnFrom(1)], &own), own);
        let historic = [Arg::Literal(b"modprobe".to_vec()), Arg::Literal(b"-s".to_vec()), Arg::OwnFrom(2)];
        let expected = [b"modprobe".to_vec(), b"-s".to_vec(), b"--".to_vec(), b"a\xff b".to_vec()];
        assert_eq!(arguments(&historic, &own), expected);
        assert!(arguments(&[Arg::Own(9), Arg::OwnFrom(9)], &own).is_empty());
    }

    #[test]
    fn without_a_plan_the_helper_records_and_a_broken_plan_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log").into_os_string().into_encoded_bytes();
        let none = read_plan(&path).unwrap();
        assert_eq!((none.record, none.end), (true, End::Exit(1)));
        std::fs::write(directory.path().join("log.plan"), [1, 200]).unwrap();
        let message = read_plan(&path).unwrap_err().replace(&directory.path().display().to_string(), "/run/lab");
        assert_eq!(message, "/run/lab/log.plan is not a helper's plan: Hit the end of buffer, expected more data");
    }
}
