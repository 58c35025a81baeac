//! All tools as processes, as far as they change nothing.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use common::Lab;

#[test]
fn the_name_of_the_program_selects_the_tool() {
    let lab = Lab::new();
    for name in ["modprobe", "depmod", "insmod", "rmmod", "lsmod", "modinfo", "kmod"] {
        let outcome = lab.run(name, &["-V"]);
        assert!(outcome.code == Some(0) && outcome.out.starts_with("kmod version "), "{name}: {outcome:?}");
        let outcome = lab.run(name, &["--help"]);
        assert!(
            outcome.code == Some(0) && outcome.out.contains("Usage:") && outcome.err.is_empty(),
            "{name}: {outcome:?}"
        );
    }
    assert_eq!(lab.run("other", &["-V"]).transcript(), "Some(1)\n--\n");
}

#[test]
fn the_first_line_of_the_version_is_that_of_the_kmod_it_replaces() {
    let lab = Lab::new();
    let expected = format!("kmod version 34\n+ZSTD +XZ +ZLIB -OPENSSL\nkmodlab {}\n", env!("CARGO_PKG_VERSION"));
    for name in ["modprobe", "depmod", "insmod", "rmmod", "lsmod", "modinfo", "kmod"] {
        for option in ["-V", "--version"] {
            assert_eq!(lab.run(name, &[option]).transcript(), format!("Some(0)\n{expected}--\n"), "{name} {option}");
        }
    }
}

#[test]
fn wrong_use_is_an_error() {
    let lab = Lab::new();
    let invocations: &[(&str, &[&str])] = &[
        ("modprobe", &[]),
        ("modprobe", &["--nosuch"]),
        ("modprobe", &["--show", "x", "--config"]),
        ("modprobe", &["--remove-h=x", "x"]),
        ("modprobe", &["--show-", "x"]),
        ("modprobe", &["-qZ", "x"]),
        ("modprobe", &["x", "-C"]),
        ("modprobe", &["-r", "-w", "soon", "x"]),
        ("depmod", &["--nosuch"]),
        ("depmod", &["-b"]),
        ("depmod", &["x.ko"]),
        ("depmod", &["6.1", "x.ko"]),
        ("depmod", &["-P", "ab", "6.1"]),
        ("insmod", &[]),
        ("insmod", &["-"]),
        ("insmod", &["-Z"]),
        ("insmod", &["/nowhere.ko"]),
        ("insmod", &["/dev/null"]),
        ("rmmod", &[]),
        ("rmmod", &["--wait"]),
        ("rmmod", &["no_such_module"]),
        ("lsmod", &["x"]),
        ("lsmod", &["--all"]),
        ("modinfo", &[]),
        ("modinfo", &["-F"]),
        ("modinfo", &["--nosuch=1"]),
        ("kmod", &[]),
        ("kmod", &["x\n"]),
        ("kmod", &["", "-V"]),
        ("kmod", &["--lis"]),
        // Options after a command are parsed by the command, under its name.
        ("kmod", &["list", "x"]),
        ("kmod", &["list", "--nosuch"]),
        ("kmod", &["static-nodes", "-V"]),
        ("kmod", &["static-nodes", "-f", "a\nb"]),
    ];
    let mut transcript = String::new();
    for (name, arguments) in invocations {
        let outcome = lab.run(name, arguments);
        assert_eq!(outcome.code, Some(1), "{name} {arguments:?}");
        let arguments: String = arguments.iter().map(|argument| format!(" {}", argument.escape_debug())).collect();
        transcript += &format!("$ {name}{arguments}\n{}{}", outcome.err, outcome.out);
    }
    insta::assert_snapshot!(transcript);
}

#[test]
fn a_path_that_is_not_a_module_file_is_an_error_with_its_cause() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("dir.ko")).unwrap();
    std::fs::write(lab.path("empty.ko"), "").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        lab.path("fifo.ko"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("/nowhere", lab.path("link.ko")).unwrap();
    let mut transcript = String::new();
    for name in ["dir.ko", "empty.ko", "fifo.ko", "link.ko"] {
        let path = format!("./{name}");
        for (tool, arguments) in [
            ("insmod", &[path.as_str()][..]),
            ("insmod", &["-f", &path]),
            ("modinfo", &[&path]),
            ("modprobe", &[&path]),
            ("modprobe", &["--show-exports", &path]),
        ] {
            let outcome = lab.run(tool, arguments);
            assert_eq!(outcome.code, Some(1), "{tool} {arguments:?}");
            transcript += &format!("$ {tool} {}\n{}", arguments.join(" "), outcome.err);
        }
    }
    insta::assert_snapshot!(transcript);
}

#[test]
fn posixly_correct_ends_options_at_the_first_operand() {
    let lab = Lab::new();
    let first_line = |name: &str, operand: &str| {
        let outcome = lab.execute(lab.command(name).env("POSIXLY_CORRECT", "").args([operand, "-V"]));
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""), "{name}");
        outcome.err.lines().last().unwrap().to_owned()
    };
    assert_eq!(first_line("depmod", "6.1"), "depmod: FATAL: -V: not absolute path.");
    assert_eq!(first_line("insmod", "/x"), "insmod: ERROR: could not load module /x: No such file or directory");
    assert_eq!(first_line("rmmod", "no_such"), "rmmod: ERROR: Module _V is not currently loaded");
    assert_eq!(first_line("lsmod", "x"), "lsmod: ERROR: too many arguments provided.");
    let outcome = lab.execute(lab.modprobe_command().env("POSIXLY_CORRECT", "").args(["-D", "leaf", "-V"]));
    assert_eq!(outcome.out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko -V\n");
    // An operand in MODPROBE_OPTIONS precedes the arguments.
    let environment = [("POSIXLY_CORRECT", ""), ("MODPROBE_OPTIONS", "-a nosuch")];
    let outcome = lab.execute(lab.command("modprobe").envs(environment).args(["-V"]));
    assert_eq!((outcome.code, outcome.err.lines().count()), (Some(1), 2), "{outcome:?}");
}

#[test]
fn lsmod_lists_modules_or_reports_a_kernel_without_modules() {
    let lab = Lab::new();
    let (lsmod, list) = (lab.run("lsmod", &[""; 0]), lab.run("kmod", &["list"]));
    assert_eq!(lsmod.code, list.code);
    if std::path::Path::new("/proc/modules").exists() {
        assert!(lsmod.out.starts_with("Module                  Size  Used by\n"), "{lsmod:?}");
    } else {
        assert!(lsmod.code == Some(1) && lsmod.err.contains("could not open /proc/modules"), "{lsmod:?}");
    }
}
