//! The recording helper: what the kernel starts in modprobe's place.
//!
//! It notes who it was made before it opens anything, follows the plan that lies beside it, and is
//! quick about it: hundreds are started in a second.

use crate::actions::{self, files};
use crate::status::Status;
use crate::{sys, time};
use agent::plan::{Arg, End, Plan, Record};
use agent::proto::GuestMicros;
use rustix::fs::OFlags;
use rustix::process::Resource;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// A helper's life. `fds` are the descriptors that were open at its start.
pub fn main(fds: Vec<i32>, argv: Vec<Vec<u8>>, envp: Vec<Vec<u8>>) -> i32 {
    let started = time::now();
    let path = own_path(&argv);
    let plan = match read_plan(&path) {
        Ok(plan) => plan,
        Err(message) => {
            complain(&message);
            Plan { record: true, actions: Vec::new(), end: End::Exit(1) }
        }
    };
    if plan.record {
        if let Err(message) = append_record(&path, &record(started, fds, &argv, &envp)) {
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
                complain(&format!("cannot execute {program:?}: {errno}"));
            }
            sys::exit(127)
        }
    }
}

/// The path that the helper was started under, beside which its plan lies.
fn own_path(argv: &[Vec<u8>]) -> Vec<u8> {
    match argv.first() {
        Some(path) if !path.is_empty() => path.clone(),
        _ => std::fs::read_link("/proc/self/exe").map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default(),
    }
}

fn beside(path: &[u8], ending: &[u8]) -> Vec<u8> {
    [path, ending].concat()
}

/// The plan. None at all is one too: record, and exit with 1.
fn read_plan(path: &[u8]) -> Result<Plan, String> {
    let file = beside(path, b".plan");
    let bytes = match files::read(&file, usize::MAX) {
        Ok(bytes) => bytes,
        Err(rustix::io::Errno::NOENT) => return Ok(Plan { record: true, actions: Vec::new(), end: End::Exit(1) }),
        Err(errno) => return Err(format!("{}: {errno}", file.escape_ascii())),
    };
    postcard::from_bytes(&bytes).map_err(|error| format!("{} is no plan: {error}", file.escape_ascii()))
}

fn append_record(path: &[u8], record: &Record) -> Result<(), String> {
    let file = beside(path, b".log");
    let frame = agent::frame::encode(0, record).map_err(|error| error.to_string())?;
    match files::write(&file, &frame, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND) {
        Ok(written) if written == frame.len() => Ok(()),
        Ok(written) => Err(format!("{}: only {written} of {} bytes written", file.escape_ascii(), frame.len())),
        Err(errno) => Err(format!("{}: {errno}", file.escape_ascii())),
    }
}

/// The console is the only place where a helper can say that it failed.
fn complain(message: &str) {
    let line = format!("agent: helper: {message}\n");
    let _ = files::write(b"/dev/console", line.as_bytes(), OFlags::WRONLY | OFlags::NOCTTY);
}

/// The argument list that a plan asks for.
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

/// Who this process is. What `/proc` would tell stays empty where there is none.
fn record(time: GuestMicros, fds: Vec<i32>, argv: &[Vec<u8>], envp: &[Vec<u8>]) -> Record {
    let text = files::read(b"/proc/self/status", usize::MAX).unwrap_or_default();
    let status = Status(&text);
    let hex = |name| status.hex(name).unwrap_or_default();
    let link = |path: &[u8]| rustix::fs::readlink(path, Vec::new()).map(|l| l.into_bytes()).unwrap_or_default();
    let namespaces = files::list(b"/proc/self/ns").unwrap_or_default();
    let nofile = rustix::process::getrlimit(Resource::Nofile);
    let core = rustix::process::getrlimit(Resource::Core);
    Record {
        time,
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        argv: argv.to_vec(),
        envp: envp.to_vec(),
        fds,
        uids: status.ids("Uid").unwrap_or([u32::MAX; 3]),
        gids: status.ids("Gid").unwrap_or([u32::MAX; 3]),
        caps: [hex("CapInh"), hex("CapPrm"), hex("CapEff"), hex("CapBnd"), hex("CapAmb")],
        no_new_privs: status.number("NoNewPrivs") == Some(1),
        seccomp: status.number("Seccomp").unwrap_or_default(),
        umask: status.octal("Umask").unwrap_or(u32::MAX),
        nice: rustix::process::getpriority_process(None).unwrap_or_default(),
        cwd: link(b"/proc/self/cwd"),
        root: link(b"/proc/self/root"),
        namespaces: namespaces.iter().map(|name| link(&[b"/proc/self/ns/", name.as_slice()].concat())).collect(),
        sid: sys::session(),
        pgid: sys::process_group(),
        signals: [hex("SigBlk"), hex("SigIgn")],
        nofile: [nofile.current.unwrap_or(u64::MAX), nofile.maximum.unwrap_or(u64::MAX)],
        core: core.current.unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_passes_its_own_arguments_on() {
        let own = [b"/run/lab/wrap".to_vec(), b"-q".to_vec(), b"--".to_vec(), b"a\xff b".to_vec()];
        assert_eq!(arguments(&[Arg::Own(0), Arg::OwnFrom(1)], &own), own);
        let historic = [Arg::Literal(b"modprobe".to_vec()), Arg::Literal(b"-s".to_vec()), Arg::OwnFrom(2)];
        let expected = [b"modprobe".to_vec(), b"-s".to_vec(), b"--".to_vec(), b"a\xff b".to_vec()];
        assert_eq!(arguments(&historic, &own), expected);
        assert!(arguments(&[Arg::Own(9), Arg::OwnFrom(9)], &own).is_empty());
    }

    #[test]
    fn a_missing_plan_is_to_record_and_a_broken_one_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log").into_os_string().into_encoded_bytes();
        let none = read_plan(&path).unwrap();
        assert_eq!((none.record, none.end), (true, End::Exit(1)));
        std::fs::write(directory.path().join("log.plan"), [1, 200]).unwrap();
        assert!(read_plan(&path).unwrap_err().contains("is no plan"));
    }
}
