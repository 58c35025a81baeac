//! Standard output and standard error that cannot be written to: what the tools do never depends on who reads their output.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;
// The builder of test modules belongs to the library's unit tests. Not everything in it is used here.
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use common::{Lab, RELEASE};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use testing::TinyModule;

/// Returns a descriptor whose reader is gone, so that each write fails with EPIPE and raises SIGPIPE.
fn broken_pipe() -> Stdio {
    let (ours, _closed) = UnixStream::pair().unwrap();
    Stdio::from(OwnedFd::from(ours))
}

fn full_device() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").unwrap())
}

/// Creates a lab in which loading and removing a module runs a command that creates a file. The command prints more than the tool.
fn lab() -> Lab {
    let lab = Lab::new();
    let command = |action: &str, module: &str| {
        format!("{action} {module} echo $MODPROBE_MODULE && touch {module}.{action} && echo done\n")
    };
    let lines = ["leaf", "mid", "al"].map(|module| command("install", module) + &command("remove", module));
    lab.config("a.conf", &format!("{}softdep mid pre: leaf post: al\n", lines.concat()));
    lab
}

/// Returns the files that the commands have created, and removes them.
fn actions(lab: &Lab) -> String {
    let mut names: Vec<String> = fs::read_dir(lab.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            (name.ends_with(".install") || name.ends_with(".remove"))
                .then(|| fs::remove_file(path).map(|()| name).unwrap())
        })
        .collect();
    names.sort();
    names.join(" ")
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_broken_pipe_does_not_stop_a_load_or_removal() {
    let lab = lab();
    let run = |arguments: &[&str]| lab.modprobe_command().args(arguments).stdout(broken_pipe()).output().unwrap();
    for (arguments, expected) in [
        (&["mid"][..], "al.install leaf.install mid.install"),
        (&["-v", "mid"], "al.install leaf.install mid.install"),
        (&["-v", "-a", "mid", "leaf"], "al.install leaf.install mid.install"),
        (&["-v", "-r", "mid"], "al.remove leaf.remove mid.remove"),
        (&["-r", "mid"], "al.remove leaf.remove mid.remove"),
    ] {
        let output = run(arguments);
        assert_eq!((output.status.code(), error(&output).as_str()), (Some(0), ""), "{arguments:?}");
        assert_eq!(actions(&lab), expected, "{arguments:?}");
    }
}

#[test]
fn a_broken_pipe_ends_a_query_silently() {
    let lab = lab();
    for arguments in [&["-c"][..], &["-D", "mid"], &["-R", "mid"], &["-V"], &["-h"]] {
        let output = lab.modprobe_command().args(arguments).stdout(broken_pipe()).output().unwrap();
        assert_eq!((output.status.code(), error(&output).as_str()), (Some(0), ""), "{arguments:?}");
    }
    for (tool, arguments) in [("modinfo", &["-F", "name", "leaf"][..]), ("lsmod", &[]), ("kmod", &["static-nodes"])] {
        let status = lab.command(tool).args(arguments).stdout(broken_pipe()).stderr(Stdio::null()).status().unwrap();
        assert!(status.code().is_some(), "{tool}: {status}");
    }
}

#[test]
fn a_full_device_does_not_stop_a_load_but_is_a_failure() {
    let lab = lab();
    let output = lab.modprobe_command().args(["-v", "-a", "al", "leaf"]).stdout(full_device()).output().unwrap();
    let message = "could not write to standard output: No space left on device\n";
    // The commands cannot print either, and their failure is theirs.
    assert!(error(&output).ends_with(message), "{}", error(&output));
    assert_eq!(output.status.code(), Some(1));
    lab.config("a.conf", "install leaf touch leaf.install\ninstall al touch al.install\n");
    let output = lab.modprobe_command().args(["-v", "-a", "al", "leaf"]).stdout(full_device()).output().unwrap();
    assert_eq!((output.status.code(), error(&output).as_str()), (Some(1), message));
    assert_eq!(actions(&lab), "al.install leaf.install");
}

#[test]
fn messages_that_cannot_be_written_do_not_stop_a_load() {
    let lab = lab();
    lab.config("b.conf", "bogus\n");
    for stderr in [broken_pipe, full_device] {
        let mut command = lab.modprobe_command();
        let status = command.args(["-a", "nosuch", "mid"]).stdout(Stdio::null()).stderr(stderr()).status().unwrap();
        assert_eq!((status.code(), actions(&lab).as_str()), (Some(1), "al.install leaf.install mid.install"));
    }
    for (tool, arguments) in [("insmod", ["-v", "/nowhere.ko"]), ("rmmod", ["-v", "no_such_module"])] {
        let status = lab.command(tool).args(arguments).stderr(broken_pipe()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{tool}");
    }
}

#[test]
fn depmod_writes_its_files_without_a_reader() {
    let lab = Lab::new();
    for entry in fs::read_dir(lab.tree()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::create_dir(lab.tree().join("k")).unwrap();
    // More dependencies than a buffer holds, and a module with a warning.
    for number in 0..300 {
        let name = format!("{}_{number}", "m".repeat(200));
        let module = TinyModule::named(&name).imports(&["a_sym"]).build();
        fs::write(lab.tree().join("k").join(format!("{name}.ko")), module).unwrap();
    }
    fs::write(lab.tree().join("k/a.ko"), TinyModule::named("a").exports(&["a_sym"]).build()).unwrap();
    fs::write(lab.tree().join("k/bad.ko"), "bad").unwrap();
    let depmod = || {
        let mut command = lab.command("depmod");
        command.args(["-C", "conf", "-v", "-b"]).arg(lab.path("")).arg(RELEASE);
        command
    };
    let written = || fs::read_to_string(lab.tree().join("modules.dep")).unwrap().lines().count();
    let status = depmod().stdout(broken_pipe()).stderr(broken_pipe()).status().unwrap();
    assert_eq!((status.code(), written()), (Some(0), 302));
    fs::remove_file(lab.tree().join("modules.dep")).unwrap();
    let status = depmod().stdout(full_device()).stderr(full_device()).status().unwrap();
    assert_eq!((status.code(), written()), (Some(1), 302));
}

#[test]
fn commands_still_receive_sigpipe() {
    let lab = Lab::new();
    // `yes` ends by SIGPIPE, which the shell reports as 141.
    lab.config("a.conf", "install leaf sh -c 'yes; echo $? >status' | true\n");
    assert_eq!(lab.modprobe(&["leaf"]).code, Some(0));
    let status = || fs::read_to_string(lab.path("status")).unwrap_or_default();
    let begin = std::time::Instant::now();
    while status().is_empty() && begin.elapsed().as_secs() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(status(), "141\n");
}

#[test]
fn a_file_size_limit_fails_a_run_of_depmod_and_keeps_the_old_files() {
    let lab = Lab::new();
    fs::create_dir(lab.tree().join("k")).unwrap();
    fs::write(lab.tree().join("k/a.ko"), TinyModule::named("a").exports(&["a_sym"]).build()).unwrap();
    let before = common::contents(&lab.tree());
    let script = format!("ulimit -f 0; exec \"$0\" -C conf -b {} {RELEASE}", lab.path("").display());
    let mut command = Command::new("sh");
    command.current_dir(lab.path("")).args(["-c", &script]).arg(lab.path("bin/depmod"));
    let outcome = lab.execute(&mut command);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""));
    assert!(outcome.err.ends_with(": File too large\n"), "{}", outcome.err);
    assert_eq!(common::contents(&lab.tree()), before);
}
