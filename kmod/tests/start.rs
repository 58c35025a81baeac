//! Startup as a usermode helper of the kernel: without open descriptors, `/dev`, `/proc` or environment variables.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Lab, contents, empty_root};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const CLOSED: &str = "0<&- 1>&- 2>&-";

/// Runs a shell line, in which `$0` is the program. Returns the exit status, which is 128 or more after a signal.
fn shell(program: &Path, line: &str) -> i32 {
    let output = Command::new("/bin/sh").arg("-c").arg(line).arg(program).output().unwrap();
    output.status.code().unwrap_or(-1)
}

fn chroot(root: &Path, arguments: &str) -> i32 {
    shell(root, &format!("exec chroot \"$0\" /modprobe {arguments}"))
}

#[test]
fn it_starts_without_descriptors_and_dev() {
    let lab = Lab::new();
    let Some(root) = empty_root(&lab) else { return };
    assert_eq!(chroot(&root, "-q -- x"), 1, "with descriptors");
    for arguments in ["-q -- x", "-- x", "-s -- x", "-v x", "--nosuch", "-r x"] {
        assert_eq!(chroot(&root, &format!("{arguments} {CLOSED}")), 1, "{arguments}");
    }
    assert_eq!(chroot(&root, &format!("-V {CLOSED}")), 0);
}

#[test]
fn messages_never_end_up_in_an_opened_file() {
    let lab = Lab::new();
    let Some(root) = empty_root(&lab) else { return };
    let release = rustix::system::uname().release().to_str().unwrap().to_owned();
    fs::create_dir_all(root.join("lib/modules")).unwrap();
    fs::create_dir_all(root.join("etc/modprobe.d")).unwrap();
    fs::rename(lab.tree(), root.join("lib/modules").join(release)).unwrap();
    fs::write(root.join("etc/modprobe.d/a.conf"), "a bad line\noptions\n").unwrap();
    // Plain files imitate the null device and the kernel log.
    fs::create_dir(root.join("dev")).unwrap();
    fs::write(root.join("dev/null"), "").unwrap();
    fs::write(root.join("dev/kmsg"), "").unwrap();
    let before = contents(&root);
    for arguments in ["-- nosuch", "-v top", "-s -a x y", "-vvv -D top", "-c", "-h", "--nosuch"] {
        for closed in [CLOSED, "0<&- 2>&-", "1>&-", "2>&-"] {
            chroot(&root, &format!("{arguments} {closed} >/dev/null"));
            chroot(&root, &format!("{arguments} {closed}"));
        }
    }
    // Not assert_eq, which would print the C library.
    assert!(contents(&root) == before, "a file was created or changed");
}

#[test]
fn commands_inherit_three_open_descriptors_and_no_others() {
    let lab = Lab::new();
    lab.config("a.conf", &format!("install leaf ls -l /proc/self/fd >{}/fds\n", lab.path("").display()));
    let line = format!(
        "exec \"$0\" -d {dir} -S {release} -C {dir}/conf leaf {CLOSED}",
        dir = lab.path("").display(),
        release = common::RELEASE
    );
    assert_eq!(shell(&lab.path("bin/modprobe"), &line), 0);
    let fds = fs::read_to_string(lab.path("fds")).unwrap();
    assert!(fds.contains(" 0 -> /dev/null\n") && fds.contains(" 2 -> /dev/null\n"), "{fds}");
    assert!(!fds.contains("modules.") && !fds.contains(".conf"), "{fds}");
}

#[test]
fn without_proc_no_socket_is_created_for_syslog() {
    let lab = Lab::new();
    let Some(root) = empty_root(&lab) else { return };
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let trace = lab.path("trace");
    for closed in ["", CLOSED] {
        let line = format!("exec strace -f -o {} chroot \"$0\" /modprobe -s -- net-pf-1 {closed}", trace.display());
        assert_eq!(shell(&root, &line), 1);
        let calls = fs::read_to_string(&trace).unwrap();
        assert!(calls.contains("/proc/net/unix"), "{calls}");
        assert!(!calls.contains("socket("), "{calls}");
    }
}

#[test]
fn it_needs_no_environment_variables() {
    let lab = Lab::new();
    let output =
        Command::new(lab.path("bin/modprobe")).env_clear().args(["-q", "--", "no-such-module"]).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
    let link = lab.path("modprobe");
    symlink(env!("CARGO_BIN_EXE_kmod"), &link).unwrap();
    assert_eq!(Command::new(link).env_clear().arg("-V").status().unwrap().code(), Some(0));
}
