//! `modprobe` as a process, on a small module directory. Nothing here changes the kernel: each run only prints, fails before it
//! reaches the kernel, or runs an install command.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use common::Lab;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

#[test]
fn show_depends_prints_the_load_order_with_options() {
    let lab = Lab::new();
    lab.config("a.conf", "options mid level=2\noptions top a=1\nsoftdep top pre: al nosuch post: bi\n");
    insta::assert_snapshot!(lab.modprobe(&["-D", "top", "b=2", "c=x y"]).transcript(), @r#"
    Some(0)
    insmod LAB/lib/modules/1.2.3-test/k/leaf.ko 
    insmod LAB/lib/modules/1.2.3-test/k/mid.ko.xz level=2 
    insmod LAB/lib/modules/1.2.3-test/k/al.ko 
    insmod LAB/lib/modules/1.2.3-test/k/top.ko a=1 b=2 c="x y"
    builtin bi
    --
    "#);
}

#[test]
fn quiet_overrides_verbose_but_not_show_depends() {
    let lab = Lab::new();
    let insmod = "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n";
    assert_eq!(lab.modprobe(&["-n", "-v", "leaf"]).out, insmod);
    assert_eq!(lab.modprobe(&["-n", "-v", "-q", "leaf"]).out, "");
    assert_eq!(lab.modprobe(&["-q", "-n", "-v", "leaf"]).out, "");
    assert_eq!(lab.modprobe(&["-q", "-n", "-vvvvv", "leaf"]).out, insmod);
    assert_eq!(lab.modprobe(&["-q", "-v", "-D", "leaf"]).out, insmod);
}

#[test]
fn show_alias_prints_the_modules_that_a_name_resolves_to() {
    let lab = Lab::new();
    assert_eq!(lab.modprobe(&["-R", "pci:v00000002d00000001sv0"]).out, "al\n");
    assert_eq!(lab.modprobe(&["-R", "two"]).out, "leaf\nal\n");
    assert_eq!(lab.modprobe(&["-R", "symbol:leaf_do"]).out, "leaf\n");
    assert_eq!(lab.modprobe(&["-R", "-a", "top", "two"]).out, "top\nleaf\nal\n");
}

#[test]
fn an_unknown_name_is_fatal_or_with_all_a_warning_or_with_quiet_silent() {
    let lab = Lab::new();
    insta::assert_snapshot!(lab.modprobe(&["no such\n%s\\"]).transcript(), @r"
    Some(1)
    --
    modprobe: FATAL: Module no such\x0a%s\\ not found in directory LAB/lib/modules/1.2.3-test
    ");
    insta::assert_snapshot!(lab.modprobe(&["-a", "-D", "nosuch", "leaf", "x.y"]).transcript(), @r"
    Some(1)
    insmod LAB/lib/modules/1.2.3-test/k/leaf.ko 
    --
    modprobe: WARNING: Module nosuch not found in directory LAB/lib/modules/1.2.3-test
    modprobe: WARNING: Module x.y not found in directory LAB/lib/modules/1.2.3-test
    ");
    let quiet = lab.modprobe(&["-q", "--", "nosuch"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(1), ""));
}

#[test]
fn a_fatal_message_ends_a_removal_unless_all_is_given() {
    let lab = Lab::new();
    assert_eq!(lab.modprobe(&["-r", "bi", "nosuch"]).err, "modprobe: FATAL: Module bi is builtin.\n");
    assert_eq!(
        lab.modprobe(&["-r", "-a", "bi", "nosuch"]).err,
        "modprobe: WARNING: Module bi is builtin.\nmodprobe: WARNING: Module nosuch not found.\n"
    );
    assert_eq!(
        lab.modprobe(&["-r", "a[b", "nosuch", "bi"]).err,
        "modprobe: ERROR: Module a[b not found.\nmodprobe: FATAL: Module nosuch not found.\n"
    );
    assert_eq!(lab.modprobe(&["-rn", "leaf"]).code, Some(0));
    assert_eq!(lab.modprobe(&["-r", "--first-time", "leaf"]).err, "modprobe: FATAL: Module leaf is not in kernel.\n");
}

#[test]
fn a_builtin_module_counts_as_loaded() {
    let lab = Lab::new();
    assert_eq!(lab.modprobe(&["bi"]).code, Some(0));
    assert_eq!(
        lab.modprobe(&["--first-time", "bi"]).transcript(),
        "Some(1)\n--\nmodprobe: ERROR: could not insert 'bi': Module already in kernel\n"
    );
}

#[test]
fn the_missing_file_of_a_dependency_is_named() {
    let lab = Lab::new();
    insta::assert_snapshot!(lab.modprobe(&["-v", "top"]).transcript(), @r"
    Some(1)
    insmod LAB/lib/modules/1.2.3-test/k/leaf.ko 
    --
    modprobe: ERROR: could not insert 'top': LAB/lib/modules/1.2.3-test/k/leaf.ko: No such file or directory
    ");
}

#[test]
fn an_alias_to_an_unknown_module_is_an_error_only_when_loading() {
    let lab = Lab::new();
    lab.config("a.conf", "alias foo nothing\n");
    assert_eq!(lab.modprobe(&["-D", "foo"]).transcript(), "Some(0)\n--\n");
    insta::assert_snapshot!(lab.modprobe(&["foo"]).transcript(), @r"
    Some(1)
    --
    modprobe: ERROR: could not find module by name='nothing'
    modprobe: ERROR: could not insert 'nothing': Function not implemented
    ");
}

#[test]
fn a_dry_run_prints_only_with_verbose() {
    let lab = Lab::new();
    assert_eq!(lab.modprobe(&["-n", "leaf"]).transcript(), "Some(0)\n--\n");
    assert_eq!(lab.modprobe(&["-nv", "leaf"]).out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n");
    lab.config("a.conf", "install leaf touch done\n");
    assert_eq!(lab.modprobe(&["-nv", "leaf"]).out, "install touch done \n");
    assert!(!lab.path("done").exists());
}

#[test]
fn install_commands_receive_options_and_module_name() {
    let lab = Lab::new();
    lab.config(
        "a.conf",
        "options leaf a=1\ninstall leaf echo $MODPROBE_MODULE [$CMDLINE_OPTS] \"$MODPROBE_OPTIONS\"\n",
    );
    let expected = "leaf [a=1 b=2] -C LAB/conf -q -v\n";
    assert_eq!(lab.modprobe(&["-qv", "leaf", "b=2"]).out, expected);
    // A softdep does not disable the command.
    lab.config("b.conf", "softdep leaf pre: bi\n");
    assert_eq!(lab.modprobe(&["-qv", "leaf", "b=2"]).out, expected);
    lab.config("a.conf", "install leaf false\nremove al true\n");
    assert_eq!(lab.modprobe(&["-i", "-D", "leaf"]).out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n");
}

#[test]
fn a_failing_or_killed_install_command_is_a_failure() {
    let lab = Lab::new();
    lab.config("a.conf", "install leaf exit 3\ninstall al kill -9 $$\nremove al exit 1\n");
    insta::assert_snapshot!(lab.modprobe(&["leaf"]).transcript(), @r"
    Some(1)
    --
    modprobe: ERROR: Error running install command 'exit 3' for module leaf: retcode 3
    modprobe: ERROR: could not insert 'leaf': Invalid argument
    ");
    insta::assert_snapshot!(lab.modprobe(&["al"]).transcript(), @r"
    Some(1)
    --
    modprobe: ERROR: Error running install command 'kill -9 $$' for module al: killed by signal 9
    modprobe: ERROR: could not insert 'al': Invalid argument
    ");
    insta::assert_snapshot!(lab.modprobe(&["-r", "al"]).transcript(), @r"
    Some(1)
    --
    modprobe: FATAL: Error running remove command for al: retcode 1
    ");
}

#[test]
fn the_blacklist_applies_to_aliases_and_with_b_to_names() {
    let lab = Lab::new();
    lab.config("a.conf", "blacklist al\n");
    assert_eq!(lab.modprobe(&["-D", "pci:v1d00000001sv2"]).transcript(), "Some(0)\n--\n");
    assert_eq!(lab.modprobe(&["-b", "-D", "al"]).transcript(), "Some(0)\n--\n");
    assert!(lab.modprobe(&["-D", "al"]).out.contains("/al.ko"));
}

#[test]
fn options_are_parsed_as_getopt_does() {
    let lab = Lab::new();
    let leaf = "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n";
    assert_eq!(lab.modprobe(&["leaf", "--show-dep"]).out, leaf);
    assert_eq!(lab.modprobe(&["-aD", "--", "leaf"]).out, leaf);
    assert_eq!(
        lab.modprobe(&["--nosuch"]).transcript(),
        "Some(1)\n--\nLAB/bin/modprobe: unrecognized option '--nosuch'\n"
    );
    assert_eq!(lab.modprobe(&["-q", "-Z"]).transcript(), "Some(1)\n--\nLAB/bin/modprobe: invalid option -- 'Z'\n");
    assert_eq!(lab.modprobe::<&str>(&[]).transcript(), "Some(1)\n--\nmodprobe: ERROR: missing parameters. See -h.\n");
    assert_eq!(lab.modprobe(&["-q"]).err, "modprobe: ERROR: missing parameters. See -h.\n");
    assert_eq!(lab.modprobe(&["-r", "-q", "-w", "abc", "x"]).err, "modprobe: ERROR: unexpected wait value 'abc'.\n");
}

#[test]
fn modprobe_options_are_split_as_in_a_shell() {
    let lab = Lab::new();
    let run = |options: &str| lab.execute(lab.modprobe_command().env("MODPROBE_OPTIONS", options).arg("leaf"));
    assert_eq!(run(" -D\t ").out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n");
    assert_eq!(
        run("").err,
        "modprobe: ERROR: could not insert 'leaf': LAB/lib/modules/1.2.3-test/k/leaf.ko: No such file or directory\n"
    );
    assert_eq!(run("-D --set-version '9 9'").code, Some(0));
}

#[test]
fn a_bad_configuration_line_is_reported_and_the_rest_applies() {
    let lab = Lab::new();
    lab.config("a.conf", "bogus line\noptions leaf a=1\n");
    insta::assert_snapshot!(lab.modprobe(&["-D", "leaf"]).transcript(), @r"
    Some(0)
    insmod LAB/lib/modules/1.2.3-test/k/leaf.ko a=1 
    --
    modprobe: ERROR: LAB/conf/a.conf line 1: ignoring bad line starting with 'bogus'
    ");
    assert_eq!(lab.modprobe(&["-q", "-D", "leaf"]).err, "");
    // KMOD_LOG filters only such messages.
    for (level, shown) in [("2", false), ("", false), ("err", true), ("7", true)] {
        let messages =
            |arguments: &[&str]| lab.execute(lab.modprobe_command().env("KMOD_LOG", level).args(arguments)).err;
        assert_eq!(messages(&["-D", "leaf"]).contains("bogus"), shown, "{level:?}");
        assert!(messages(&["nosuch"]).contains("FATAL: Module nosuch not found"));
        assert_eq!(messages(&["-q", "nosuch"]), "");
    }
}

#[test]
fn a_set_user_id_program_ignores_kmod_log() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let lab = Lab::new();
    lab.config("a.conf", "bogus line\n");
    let mounted = rustix::fs::statvfs(lab.path("")).unwrap().f_flag;
    if !rustix::process::geteuid().is_root() || mounted.contains(rustix::fs::StatVfsMountFlags::NOSUID) {
        eprintln!("skipped: a set-user-ID program needs root and a file system without nosuid");
        return;
    }
    let mode = |name: &str, mode| fs::set_permissions(lab.path(name), fs::Permissions::from_mode(mode)).unwrap();
    fs::remove_file(lab.path("bin/modprobe")).unwrap();
    common::program::copy_program(env!("CARGO_BIN_EXE_kmod"), lab.path("bin/modprobe"));
    mode("", 0o755);
    for (rights, shown) in [(0o755, false), (0o4755, true)] {
        mode("bin/modprobe", rights);
        let outcome =
            lab.execute(lab.modprobe_command().env("KMOD_LOG", "0").args(["-R", "leaf"]).uid(65534).gid(65534));
        assert_eq!((outcome.code, outcome.err.contains("bogus")), (Some(0), shown), "{rights:o}: {outcome:?}");
    }
}

#[test]
fn show_config_prints_configuration_and_indexes() {
    let lab = Lab::new();
    lab.config("a.conf", "softdep x pre: a b post: c\nblacklist b-l\n");
    let outcome = lab.modprobe(&["-c"]);
    // The kernel command line of the host adds options.
    let lines: Vec<&str> = outcome.out.lines().filter(|line| !line.starts_with("options ")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    blacklist b_l
    softdep x pre: a b post: c

    # End of configuration files. Dumping indexes now:

    alias pci:v*d00000001sv* al
    alias two leaf
    alias two al
    alias symbol:leaf_do leaf
    ");
    assert_eq!(lab.execute(lab.command("modprobe").args(["-S", "no-such-release", "-c"])).code, Some(0));
}

#[test]
fn a_damaged_index_is_reported_and_the_module_not_found() {
    let lab = Lab::new();
    lab.index("modules.dep.bin", "\0\0\0\0\0\0\0\0\0\0\0\0");
    let outcome = lab.modprobe(&["leaf"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.starts_with("modprobe: ERROR: LAB/lib/modules/1.2.3-test/modules.dep.bin"), "{}", outcome.err);
    assert_eq!(outcome.err.lines().count(), 2);
    // It is reported once, however many names are looked up.
    lab.config("a.conf", "softdep two pre: a b c\nalias other al\n");
    assert_eq!(lab.modprobe(&["-a", "-D", "leaf", "mid", "other"]).err.matches("ERROR").count(), 1);
    assert!(outcome.err.ends_with("modprobe: FATAL: Module leaf not found in directory LAB/lib/modules/1.2.3-test\n"));
}

#[test]
fn a_path_is_a_file_unless_the_kernel_calls() {
    let lab = Lab::new();
    std::fs::write(lab.path("x.ko"), "no module").unwrap();
    assert_eq!(lab.modprobe(&["-D", "./x.ko"]).out, "insmod LAB/./x.ko \n".replace("/./", "/"));
    assert_eq!(
        lab.modprobe(&["./y.ko"]).err,
        "modprobe: FATAL: Failed to get module from path ./y.ko: No such file or directory\n"
    );
    assert!(lab.modprobe(&["x.ko"]).err.contains("Module x.ko not found"));
    // As the kernel calls it, with options from the environment.
    let options = format!("-v -d {} -S {} -C {}", lab.path("").display(), common::RELEASE, lab.path("conf").display());
    for name in ["./x.ko", "/x.ko"] {
        let outcome = lab.execute(lab.command("modprobe").env("MODPROBE_OPTIONS", &options).args(["-q", "--", name]));
        assert_eq!(outcome.transcript(), "Some(1)\n--\n");
    }
}

#[test]
fn names_from_the_kernel_are_never_options_or_paths() {
    let lab = Lab::new();
    let before = common::contents(lab.path("").as_path());
    let names: [&[u8]; 9] =
        [b"-r", b"-C/t/x", b"--", b"../../x", b"a b", b"$(touch x)", b";reboot", &[0xff; 55], b"%s%n\n/../"];
    for name in names {
        let outcome = lab.modprobe(&[OsStr::new("-q"), OsStr::new("--"), OsStr::from_bytes(name)]);
        assert_eq!(outcome.transcript(), "Some(1)\n--\n", "{name:?}");
    }
    assert_eq!(common::contents(lab.path("").as_path()), before);
}

#[test]
fn a_failed_write_to_standard_output_is_a_failure() {
    let lab = Lab::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = lab.modprobe_command().args(["-D", "leaf"]).stdout(Stdio::from(full)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left on device"));
}
