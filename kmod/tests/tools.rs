//! The other tools as processes, as far as they change nothing.

// A failed unwrap is a failed test, in helpers too.
#![allow(clippy::unwrap_used)]

mod common;

use common::Lab;

#[test]
fn the_program_does_what_its_name_says() {
    let lab = Lab::new();
    for name in ["modprobe", "insmod", "rmmod", "lsmod", "kmod"] {
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
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""));
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
    assert_eq!(error("kmod", &["x\n"]), "invalid command 'x\\n'");
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
