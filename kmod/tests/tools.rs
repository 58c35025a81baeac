//! The other tools as processes, as far as they change nothing.

// A failed unwrap is a failed test, in helpers too.
#![allow(clippy::unwrap_used)]

mod common;

use common::Lab;

#[test]
fn the_program_does_what_its_name_says() {
    let lab = Lab::new();
    for name in ["modprobe", "depmod", "insmod", "rmmod", "lsmod", "modinfo", "kmod"] {
        let done = lab.run(name, &["-V"]);
        assert!(done.code == Some(0) && done.out.starts_with("kmod version "), "{name}: {done:?}");
        let done = lab.run(name, &["--help"]);
        assert!(done.code == Some(0) && done.out.contains("Usage:") && done.err.is_empty(), "{name}: {done:?}");
    }
    assert_eq!(lab.run("other", &["-V"]).all(), "Some(1)\n--\n");
}

#[test]
fn wrong_use_fails_with_a_message() {
    let lab = Lab::new();
    let error = |name: &str, arguments: &[&str]| {
        let done = lab.run(name, arguments);
        assert_eq!(done.code, Some(1));
        // kmod shows its help after the message.
        assert!(done.out.is_empty() || done.out.starts_with("Usage:\n\tkmod "), "{name}: {}", done.out);
        done.err.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(error("insmod", &[]), "insmod: ERROR: missing filename.");
    assert_eq!(error("insmod", &["-"]), "insmod: ERROR: this tool does not support loading from stdin!");
    assert_eq!(
        error("insmod", &["/nowhere.ko"]),
        "insmod: ERROR: could not load module /nowhere.ko: No such file or directory"
    );
    assert_eq!(error("insmod", &["/dev/null"]), "insmod: ERROR: could not load module /dev/null: Invalid argument");
    assert_eq!(error("rmmod", &[]), "rmmod: ERROR: missing module name.");
    assert_eq!(error("rmmod", &["no_such_module"]), "rmmod: ERROR: Module no_such_module is not currently loaded");
    assert_eq!(error("lsmod", &["x"]), "lsmod: ERROR: too many arguments provided.");
    assert_eq!(error("kmod", &[]), "missing command");
    assert_eq!(error("kmod", &["x\n"]), r"invalid command 'x\x0a'");
    assert_eq!(error("kmod", &["", "-V"]), "invalid command ''");
    assert_eq!(error("kmod", &["--lis"]), "LAB/bin/kmod: unrecognized option '--lis'");
    // The options behind a command are those of the command, which speaks for itself.
    assert_eq!(error("kmod", &["list", "x"]), "kmod: ERROR: too many arguments provided.");
    assert_eq!(error("kmod", &["list", "--nosuch"]), "list: unrecognized option '--nosuch'");
}

#[test]
fn posixly_correct_ends_options_at_the_first_operand() {
    let lab = Lab::new();
    let first_line = |name: &str, operand: &str| {
        let done = lab.done(lab.command(name).env("POSIXLY_CORRECT", "").args([operand, "-V"]));
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{name}");
        done.err.lines().last().unwrap().to_owned()
    };
    assert_eq!(first_line("depmod", "6.1"), "depmod: FATAL: -V: not absolute path.");
    assert_eq!(first_line("insmod", "/x"), "insmod: ERROR: could not load module /x: No such file or directory");
    assert_eq!(first_line("rmmod", "no_such"), "rmmod: ERROR: Module _V is not currently loaded");
    assert_eq!(first_line("lsmod", "x"), "lsmod: ERROR: too many arguments provided.");
    let done = lab.done(lab.modprobe_command().env("POSIXLY_CORRECT", "").args(["-D", "leaf", "-V"]));
    assert_eq!(done.out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko -V\n");
    // Also at one in MODPROBE_OPTIONS, which stands before the arguments.
    let environment = [("POSIXLY_CORRECT", ""), ("MODPROBE_OPTIONS", "-a nosuch")];
    let done = lab.done(lab.command("modprobe").envs(environment).args(["-V"]));
    assert_eq!((done.code, done.err.lines().count()), (Some(1), 2), "{done:?}");
}

#[test]
fn lsmod_lists_modules_or_says_that_the_kernel_has_none() {
    let lab = Lab::new();
    let (lsmod, list) = (lab.run("lsmod", &[""; 0]), lab.run("kmod", &["list"]));
    assert_eq!(lsmod.code, list.code);
    if std::path::Path::new("/proc/modules").exists() {
        assert!(lsmod.out.starts_with("Module                  Size  Used by\n"), "{lsmod:?}");
    } else {
        assert!(lsmod.code == Some(1) && lsmod.err.contains("could not open /proc/modules"), "{lsmod:?}");
    }
}
