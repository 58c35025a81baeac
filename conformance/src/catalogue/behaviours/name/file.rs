//! The names that file systems, devices and executable formats request.

use super::{NONE, SUCCESS, recorder, requests, root_requests};
use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{act_then_exit, exit_with};
use crate::check::lab::{Lab, LabError, SCRATCH, run_action, unprivileged};
use crate::check::trigger::mount;
use agent::proto::{Action, Caller, GuestMillis};

pub(super) fn file_system(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    for (what, kind, name) in [("zz", "zz", "fs-zz"), ("a slash and a dot", "a/b..%s", "fs-a/b")] {
        root_requests(lab, &log, (&format!("mount, {what}"), mount(kind)), errno::ENODEV, &[name])?;
    }
    for (what, kind, name) in [("a space and a newline", "q q\nx", "fs-q q\nx"), ("an option", "--help", "fs---help")] {
        let open = Action::Fsopen(kind.as_bytes().to_vec());
        root_requests(lab, &log, (&format!("fsopen, {what}"), open), errno::ENODEV, &[name])?;
    }
    root_requests(lab, &log, ("fsopen, a known type", Action::Fsopen(b"tmpfs".to_vec())), SUCCESS, NONE)
}

pub(super) fn dot(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    for (what, kind, name) in [("empty", "", "fs-"), ("a leading dot", ".x", "fs-"), ("a dot", "foo.bar", "fs-foo")] {
        root_requests(lab, &log, (what, mount(kind)), errno::ENODEV, &[name])?;
    }
    Ok(())
}

/// Creates a device node and returns an action that opens it.
pub(super) fn node(lab: &mut Lab<'_>, kind: u32, major: u32, minor: u32) -> Result<Action, LabError> {
    let path = format!("{SCRATCH}/node-{major}-{minor}").into_bytes();
    lab.arrange(Action::Mknod { path: path.clone(), mode: kind | 0o600, major, minor })?;
    Ok(Action::Open { path, flags: libc::O_RDONLY })
}

pub(super) fn character_device(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    for (major, minor) in [(77, 5), (511, 1_000_000)] {
        let open = node(lab, libc::S_IFCHR, major, minor)?;
        let names = [format!("char-major-{major}-{minor}"), format!("char-major-{major}")];
        root_requests(lab, &log, (&format!("{major}:{minor}"), open), errno::ENXIO, &names)?;
    }
    let null = Action::Open { path: b"/dev/null".to_vec(), flags: libc::O_RDONLY };
    root_requests(lab, &log, ("a device with a driver", null), SUCCESS, NONE)
}

pub(super) fn misc_device(lab: &mut Lab<'_>) -> Check {
    // Its control device is a misc device.
    lab.load("loop")?;
    let log = recorder(lab)?;
    let open = node(lab, libc::S_IFCHR, 10, 237)?;
    root_requests(lab, &log, ("10:237, which has a driver", open), SUCCESS, NONE)?;
    let open = node(lab, libc::S_IFCHR, 10, 77)?;
    root_requests(lab, &log, ("10:77", open), errno::ENODEV, &["char-major-10-77"])?;
    // From 255 on, minor numbers are allocated dynamically (include/linux/miscdevice.h).
    let open = node(lab, libc::S_IFCHR, 10, 255)?;
    root_requests(lab, &log, ("10:255", open), errno::ENODEV, NONE)
}

pub(super) fn block_device(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    for (major, minor) in [(77, 5), (4000, 1_048_575)] {
        let open = node(lab, libc::S_IFBLK, major, minor)?;
        let names = [format!("block-major-{major}-{minor}"), format!("block-major-{major}")];
        root_requests(lab, &log, (&format!("{major}:{minor}"), open), errno::ENXIO, &names)?;
    }
    let stat = Action::Stat(format!("{SCRATCH}/node-77-5").into_bytes());
    let (_, names) = requests(lab, &log, Caller::default(), stat)?;
    lab.expect("lstat(2): requested names", List(names), List(NONE.to_vec()));
    Ok(())
}

pub(super) fn second_request(lab: &mut Lab<'_>) -> Check {
    let open = node(lab, libc::S_IFCHR, 77, 5)?;
    lab.helper_as_path("first", &exit_with(1))?;
    let jobs = lab.start(Caller::default(), vec![open.clone()], 1)?;
    let ended = lab.wait(jobs[0], GuestMillis(5000))?.is_some();
    lab.expect("open(2) ends with its helper", ended, true);
    if !ended {
        return Ok(());
    }
    let both = ["char-major-77-5", "char-major-77"];
    for (status, names) in [(0, &both[..1]), (1, &both[..])] {
        let helper = lab.helper_as_path(&format!("exit-{status}"), &exit_with(status))?;
        root_requests(lab, &helper, (&format!("exit {status}"), open.clone()), errno::ENXIO, names)?;
    }
    lab.trace_requests()?;
    lab.set_path(b"/nonexistent")?;
    let opened = lab.observe(open)?;
    let traced = lab.traced_requests()?;
    lab.expect("no helper: result", opened.result, errno::ENXIO);
    lab.expect("no helper: traced requests", List(traced), List(vec!["char-major-77-5"]));
    Ok(())
}

/// Writes an executable file with these bytes and returns an action that executes it.
fn program(lab: &mut Lab<'_>, name: &str, bytes: &[u8]) -> Result<Action, LabError> {
    let path = format!("{SCRATCH}/{name}");
    lab.write(&path, bytes)?;
    lab.arrange(Action::Chmod(path.clone().into_bytes(), 0o755))?;
    Ok(run_action(&[&path]))
}

pub(super) fn executable_format(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let requested = lab.probe("binfmt-requests")? == "yes";
    let files: [(&str, &[u8], Option<&str>); 5] = [
        ("bytes", b"\x01\x02\x03\x04", Some("binfmt-0403")),
        ("elf", b"\x7fELFjunk", Some("binfmt-464c")),
        ("empty", b"", Some("binfmt-0000")),
        ("letters and a control character", b"A\x01CD", Some("binfmt-4443")),
        ("letters", b"ABCD", None),
    ];
    for (what, bytes, name) in files {
        let execute = program(lab, what, bytes)?;
        let names: Vec<&str> = name.into_iter().filter(|_| requested).collect();
        root_requests(lab, &log, (what, execute), errno::ENOEXEC, &names)?;
    }
    Ok(())
}

pub(super) fn executable_format_helper(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let started = usize::from(lab.probe("binfmt-requests")? == "yes");
    let execute = program(lab, "bytes", b"\x01\x02\x03\x04")?;
    let (observed, names) = requests(lab, &log, unprivileged(), execute)?;
    lab.expect("execve(2) by uid 1000", observed.result, errno::ENOEXEC);
    lab.expect("helpers started", names.len(), started);
    Ok(())
}

pub(super) fn registered_format(lab: &mut Lab<'_>) -> Check {
    let requested = lab.probe("binfmt-requests")? == "yes";
    lab.load("binfmt_misc")?;
    let dir = format!("{SCRATCH}/formats").into_bytes();
    lab.arrange(Action::MkdirAll(dir.clone()))?;
    let (source, fstype) = (b"none".to_vec(), b"binfmt_misc".to_vec());
    let mount = Action::Mount { source, target: dir.clone(), fstype, flags: 0, data: Vec::new() };
    lab.arrange_in_init(mount)?;
    let interpreter = lab.helper("interpreter", &exit_with(0))?;
    let format = format!(":lab:M::\\x01\\x02\\x03\\x04::{}:", interpreter.path());
    let register = Action::Write { path: [&dir, &b"/register"[..]].concat(), data: format.into_bytes(), flags: 0 };
    let log = lab.helper_as_path("log", &act_then_exit(vec![register], 1))?;
    let execute = program(lab, "bytes", b"\x01\x02\x03\x04")?;
    let (observed, names) = requests(lab, &log, Caller::default(), execute)?;
    lab.expect("requested names", List(names), List(if requested { vec!["binfmt-0403"] } else { vec![] }));
    lab.expect("execve(2) succeeds", observed.result.is_ok(), requested);
    let argv = lab.records(&interpreter)?.pop().unwrap_or_default().argv;
    let file = format!("{SCRATCH}/bytes");
    let arguments = if requested { vec![interpreter.path(), &file] } else { vec![] };
    lab.expect("arguments of the registered interpreter", List(argv), List(arguments));
    Ok(())
}
