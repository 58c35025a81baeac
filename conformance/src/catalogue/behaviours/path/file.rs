//! The file `/proc/sys/kernel/modprobe`: how it is written and read, and by whom.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{exit_with, requested_names};
use crate::check::lab::{Lab, LabError, MODPROBE_SYSCTL, root_of, set_path_action, shown_line, unprivileged};
use crate::check::trigger::unknown_socket;
use agent::proto::{Action, Argument, Caller, Errno, Value};

pub(super) fn newline(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper("log", &exit_with(1))?;
    let line = format!("{}\n", helper.path());
    let written = lab.set_path(line.as_bytes())?;
    lab.expect("write(2)", written, line.len());
    let path = lab.path()?;
    lab.expect("value read back", path, line);
    lab.observe(unknown_socket())?;
    let records = lab.records(&helper)?;
    lab.expect("requested names", List(requested_names(&records)), List(vec!["net-pf-3"]));
    Ok(())
}

pub(super) fn terminator(lab: &mut Lab<'_>) -> Check {
    for (name, bytes) in [("newline", b"/a\nb"), ("NUL", b"/a\0b")] {
        let written = lab.set_path(bytes)?;
        lab.expect(&format!("{name}: write(2)"), written, 4);
        let path = lab.path()?;
        lab.expect(&format!("{name}: value read back"), path, "/a\n");
    }
    Ok(())
}

pub(super) fn length(lab: &mut Lab<'_>) -> Check {
    for length in [254_usize, 255, 256, 260] {
        let path = [b"/".as_slice(), &vec![b'x'; length - 1]].concat();
        let written = lab.set_path(&path)?;
        lab.expect(&format!("{length} bytes: write(2)"), written, length);
        let stored = lab.path()?.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or_default();
        lab.expect(&format!("{length} bytes: stored length"), stored.len(), length.min(255));
        lab.expect(&format!("{length} bytes: stored as a prefix"), path.starts_with(&stored), true);
    }
    Ok(())
}

pub(super) fn who_may_write(lab: &mut Lab<'_>) -> Check {
    let user = libc::CLONE_NEWUSER as u64;
    let root = Caller::default();
    let callers = [
        ("root without capabilities", Caller { caps: Some(0), ..root.clone() }, true),
        ("root in its own user namespace", Caller { unshare: user, map_uid: Some(0), ..root }, true),
        ("uid 1000", unprivileged(), false),
        ("uid 1000 with all capabilities", Caller { caps: Some(u64::MAX), ..unprivileged() }, false),
        ("uid 1000 as root of a user namespace", root_of(libc::CLONE_NEWUSER), false),
    ];
    let mut path = b"/initial".to_vec();
    let written = lab.observe(set_path_action(&path))?;
    lab.expect("root: write(2)", written.result, path.len());
    for (name, caller, may) in callers {
        let data = format!("/{}", name.replace(' ', "-")).into_bytes();
        let written = lab.observe_as(caller, set_path_action(&data))?.result;
        if may {
            lab.expect(&format!("{name}: write(2)"), written, data.len());
            path = data;
        } else {
            lab.expect(&format!("{name}: write(2)"), written, errno::EACCES);
        }
        let stored = lab.path()?;
        lab.expect(&format!("{name}: value read back"), stored, [path.as_slice(), b"\n"].concat());
    }
    Ok(())
}

/// Sets the path to `before`, writes pieces through one descriptor, and expects the path `after`.
fn expect_pieces(lab: &mut Lab<'_>, what: &str, before: &str, pieces: &[(Option<u64>, &str)], after: &str) -> Check {
    lab.set_path(before.as_bytes())?;
    let lengths = pieces.iter().map(|(_, data)| data.len()).collect();
    let pieces = pieces.iter().map(|(offset, data)| (*offset, data.as_bytes().to_vec())).collect();
    let written = lab.arrange(Action::WriteMany { path: MODPROBE_SYSCTL.to_vec(), pieces, flags: 0 })?;
    let Value::Numbers(written) = written else {
        return Err(LabError::Unexpected("no results of write(2)".to_owned()));
    };
    lab.expect(&format!("{what}: write(2)"), List(written), List::<usize>(lengths));
    let path = lab.path()?;
    lab.expect(&format!("{what}: value read back"), path, format!("{after}\n"));
    Ok(())
}

pub(super) fn offset(lab: &mut Lab<'_>) -> Check {
    expect_pieces(lab, "two writes", "/orig", &[(None, "/abc"), (None, "def\n")], "/abcdef")?;
    expect_pieces(lab, "at offset 3", "/orig", &[(Some(3), "ZZ")], "/orZZ")?;
    expect_pieces(lab, "at the end", "/orig", &[(Some(5), "ZZ")], "/origZZ")?;
    expect_pieces(lab, "past the end", "/orig", &[(Some(6), "ZZ")], "/orig")?;
    let long = format!("/{}", "x".repeat(253));
    expect_pieces(lab, "past 255 bytes", &long, &[(Some(254), "yz"), (Some(255), "zz")], &format!("{long}y"))
}

/// Returns the number of warnings about a write at an offset since the mark.
fn warnings(lab: &mut Lab<'_>) -> Result<usize, LabError> {
    let warning = "modprobe when file position was not 0!";
    Ok(lab.kmsg()?.iter().map(shown_line).filter(|line| line.contains(warning)).count())
}

pub(super) fn lenient_writes(lab: &mut Lab<'_>) -> Check {
    lab.mark_kmsg()?;
    for (strict, expected) in [("-1", 0), ("0", 1)] {
        lab.write("/proc/sys/kernel/sysctl_writes_strict", strict.as_bytes())?;
        let what = |what: &str| format!("sysctl_writes_strict={strict}, {what}");
        lab.set_path(b"/first")?;
        let logged = warnings(lab)?;
        lab.expect(&what("at offset 0: warnings"), logged, 0);
        expect_pieces(lab, &what("two writes"), "/orig", &[(None, "/abc"), (None, "/de\n")], "/de")?;
        expect_pieces(lab, &what("at offset 3"), "/orig", &[(Some(3), "ZZ")], "ZZ")?;
        expect_pieces(lab, &what("past the end"), "/orig", &[(Some(300), "/far")], "/far")?;
        let logged = warnings(lab)?;
        lab.expect(&what("warnings"), logged, expected);
    }
    Ok(())
}

pub(super) fn default(lab: &mut Lab<'_>) -> Check {
    if lab.probe("default-path")? != "/sbin/modprobe" {
        return Err(LabError::Need("a kernel with CONFIG_MODPROBE_PATH=\"/sbin/modprobe\"".to_owned()));
    }
    let path = lab.path()?;
    lab.expect("path", path, "/sbin/modprobe\n");
    Ok(())
}

/// The descriptor of a file that a job opens after it has closed this one.
const FIRST: u64 = 0;

fn system_call(number: i64, arguments: Vec<Argument>) -> Action {
    Action::SystemCall { number, arguments }
}

/// setresuid(2).
fn set_uids(real: u64, effective: u64) -> Action {
    system_call(libc::SYS_setresuid, [real, effective, real].map(Argument::Number).to_vec())
}

/// Opens the file of the path for writing, as the descriptor [`FIRST`].
fn open_first() -> [Action; 2] {
    let path = Argument::Bytes([MODPROBE_SYSCTL, b"\0"].concat());
    let flags = Argument::Number(libc::O_WRONLY.unsigned_abs().into());
    let close = system_call(libc::SYS_close, vec![Argument::Number(FIRST)]);
    [close, system_call(libc::SYS_open, vec![path, flags])]
}

/// Writes `length` bytes to the descriptor [`FIRST`].
fn write_first(buffer: Argument, length: u64) -> Action {
    system_call(libc::SYS_write, vec![Argument::Number(FIRST), buffer, Argument::Number(length)])
}

pub(super) fn mode(lab: &mut Lab<'_>) -> Check {
    let written = lab.observe(set_path_action(b"/initial"))?;
    lab.expect("write(2) by root", written.result, 8);
    let found = lab.observe(Action::Stat(MODPROBE_SYSCTL.to_vec()))?.result;
    let Ok(Value::Stat(stat)) = found else {
        lab.expect("lstat(2)", found, "a status");
        return Ok(());
    };
    lab.expect("mode", format!("{:o}", stat.mode), "100644");
    lab.expect("uid and gid", List(vec![stat.uid, stat.gid]), List(vec![0_u32, 0]));
    let read = Action::Read { path: MODPROBE_SYSCTL.to_vec(), max: 4096 };
    let read = lab.observe_as(unprivileged(), read)?;
    lab.expect("read(2) by uid 1000", read.result, Ok::<_, Errno>(Value::Bytes(b"/initial\n".to_vec())));
    let mut write_as = |real, effective, data: &[u8]| {
        let written = lab.observe_all_as(Caller::default(), vec![set_uids(real, effective), set_path_action(data)])?;
        Ok::<_, LabError>(written.into_iter().map(|observed| observed.result).collect::<Vec<_>>())
    };
    let (with_gid, with_euid) = (write_as(1000, 1000, b"/by-gid")?, write_as(1000, 0, b"/by-euid")?);
    lab.expect("uid 1000 with gid 0: setresuid(2), write(2)", List(with_gid), List(vec!["0", "EACCES"]));
    lab.expect("uid 1000 with effective uid 0: setresuid(2), write(2)", List(with_euid), List(vec!["0", "8"]));
    let path = lab.path()?;
    lab.expect("value read back", path, "/by-euid\n");
    Ok(())
}

pub(super) fn checked_at_write(lab: &mut Lab<'_>) -> Check {
    lab.set_path(b"/initial")?;
    let write = || write_first(Argument::Bytes(b"/changed".to_vec()), 8);
    for (who, uid, written, path) in [("uid 1000", 1000, "EPERM", "/initial\n"), ("uid 0", 0, "8", "/changed\n")] {
        let actions = [&open_first()[..], &[set_uids(uid, uid), write()]].concat();
        let results = lab.observe_all_as(Caller::default(), actions)?;
        // The first result is that of close(2), which fails if the descriptor is not open.
        let results = results.into_iter().skip(1).map(|observed| observed.result).collect();
        lab.expect(&format!("{who}: open(2), setresuid(2), write(2)"), List(results), List(vec!["0", "0", written]));
        let stored = lab.path()?;
        lab.expect(&format!("{who}: value read back"), stored, path);
    }
    Ok(())
}

/// A read(2), or a pread(2) at an offset, and the length of its buffer.
type Read = (Option<u64>, u32);

pub(super) fn read(lab: &mut Lab<'_>) -> Check {
    lab.set_path(b"/abcde")?;
    let reads: [(&str, &[Read], &[&str]); 3] = [
        ("pieces of 4 bytes", &[(None, 4), (None, 4), (None, 4)], &["/abc", "de\n", ""]),
        (
            "6, 7 and 8 bytes from the start",
            &[(Some(0), 6), (Some(0), 7), (Some(0), 8)],
            &["/abcde", "/abcde\n", "/abcde\n"],
        ),
        (
            "8 bytes from offset 2, 6, 7 and 300",
            &[(Some(2), 8), (Some(6), 8), (Some(7), 8), (Some(300), 8)],
            &["bcde\n", "\n", "", ""],
        ),
    ];
    for (what, pieces, expected) in reads {
        let action = Action::ReadMany { path: MODPROBE_SYSCTL.to_vec(), pieces: pieces.to_vec() };
        let Value::Pieces(got) = lab.arrange(action)? else {
            return Err(LabError::Unexpected("no results of read(2)".to_owned()));
        };
        lab.expect(what, List(got), List(expected.to_vec()));
    }
    let longest = format!("/{}\n", "x".repeat(254));
    lab.set_path(longest.as_bytes())?;
    let path = lab.path()?;
    lab.expect("a path of 255 bytes: value read back", path, longest);
    Ok(())
}

pub(super) fn nothing_written(lab: &mut Lab<'_>) -> Check {
    expect_pieces(lab, "no bytes", "/orig", &[(None, "")], "/orig")?;
    lab.arrange(Action::Open { path: MODPROBE_SYSCTL.to_vec(), flags: libc::O_WRONLY | libc::O_TRUNC })?;
    let path = lab.path()?;
    lab.expect("O_TRUNC: value read back", path, "/orig\n");
    Ok(())
}

pub(super) fn failed_write(lab: &mut Lab<'_>) -> Check {
    lab.set_path(b"/initial")?;
    let page = || Argument::Bytes(b"/changed".to_vec());
    for (what, buffer, length, errno) in
        [("4 MiB", page(), 4 << 20, errno::ENOMEM), ("an invalid address", Argument::Number(1), 8, errno::EFAULT)]
    {
        let actions = [&open_first()[..], &[write_first(buffer, length)]].concat();
        let results = lab.observe_all_as(Caller::default(), actions)?;
        let written = results.into_iter().last().map(|observed| observed.result);
        lab.expect(what, written.unwrap_or(Ok(Value::Unit)), errno);
        let path = lab.path()?;
        lab.expect(&format!("{what}: value read back"), path, "/initial\n");
    }
    Ok(())
}

pub(super) fn read_only_mount(lab: &mut Lab<'_>) -> Check {
    lab.set_path(b"/initial")?;
    let mount = |fstype: &str, target: &[u8], flags| {
        let (source, target, fstype) = (target.to_vec(), target.to_vec(), fstype.as_bytes().to_vec());
        Action::Mount { source, target, fstype, flags, data: Vec::new() }
    };
    lab.arrange_in_init(mount("", MODPROBE_SYSCTL, libc::MS_BIND))?;
    lab.arrange_in_init(mount("", MODPROBE_SYSCTL, libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY))?;
    lab.arrange_in_init(mount("proc", b"/mnt", 0))?;
    let other = b"/mnt/sys/kernel/modprobe".to_vec();
    let written = lab.observe(set_path_action(b"/changed"))?;
    lab.expect("read-only mount: write(2)", written.result, errno::EROFS);
    let path = lab.path()?;
    lab.expect("read-only mount: value read back", path, "/initial\n");
    let written = lab.observe(Action::Write { path: other, data: b"/changed".to_vec(), flags: 0 })?;
    lab.expect("another mount: write(2)", written.result, 8);
    let path = lab.path()?;
    lab.expect("another mount: value read back", path, "/changed\n");
    Ok(())
}
