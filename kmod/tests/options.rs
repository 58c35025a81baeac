//! The effects of options that do not need a kernel, as far as no other file tests them.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;
// The builder of test modules belongs to the library's unit tests. Not everything in it is used here.
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use common::{Lab, Outcome, RELEASE};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use testing::TinyModule;

/// Writes a module file into the lab's module directory.
fn put(lab: &Lab, path: &str, module: TinyModule) {
    let path = lab.tree().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, module.build()).unwrap();
}

/// Creates a lab for depmod: without indexes, with the lists of a kernel build and two modules.
fn for_depmod() -> Lab {
    let lab = Lab::new();
    for file in fs::read_dir(lab.tree()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        lab.index(list, "");
    }
    // A duplicate alias.
    put(&lab, "k/a.ko", TinyModule::named("a").exports(&["a_sym"]).info("alias=fs-x").info("alias=fs-x"));
    put(&lab, "k/b.ko", TinyModule::named("b").imports(&["a_sym", "kernel_sym"]));
    lab
}

/// Runs depmod in the lab, without the configuration of the host.
fn depmod(lab: &Lab, arguments: &[&str]) -> Outcome {
    let mut command = lab.command("depmod");
    command.args(["-C", "conf", "-b"]).arg(lab.path("")).args(arguments);
    lab.execute(&mut command)
}

fn written(lab: &Lab) -> Option<String> {
    fs::read_to_string(lab.tree().join("modules.dep")).ok()
}

#[test]
fn depmod_quick_writes_only_if_a_module_is_newer() {
    for option in ["-A", "--quick"] {
        let lab = for_depmod();
        assert_eq!(depmod(&lab, &[option, RELEASE]).code, Some(0));
        assert_eq!(written(&lab).as_deref(), Some("k/a.ko:\nk/b.ko: k/a.ko\n"), "{option}");
        lab.index("modules.dep", "mine\n");
        assert_eq!(depmod(&lab, &[option, RELEASE]).code, Some(0));
        assert_eq!(written(&lab).as_deref(), Some("mine\n"), "{option}");
    }
}

#[test]
fn depmod_all_indexes_all_modules_despite_file_operands() {
    let lab = for_depmod();
    let file = lab.tree().join("k/a.ko");
    assert_eq!(depmod(&lab, &[RELEASE, file.to_str().unwrap()]).code, Some(0));
    assert_eq!(written(&lab).as_deref(), Some("k/a.ko:\n"));
    assert_eq!(depmod(&lab, &["--all", RELEASE, file.to_str().unwrap()]).code, Some(0));
    assert_eq!(written(&lab).as_deref(), Some("k/a.ko:\nk/b.ko: k/a.ko\n"));
}

#[test]
fn depmod_moduledir_is_relative_to_the_root() {
    let lab = for_depmod();
    fs::create_dir_all(lab.path("usr/lib")).unwrap();
    fs::rename(lab.path("lib/modules"), lab.path("usr/lib/modules")).unwrap();
    for option in [&["-m", "usr/lib/modules"][..], &["--moduledir=/usr/lib/modules"]] {
        assert_eq!(depmod(&lab, &[option, &[RELEASE]].concat()).transcript(), "Some(0)\n--\n");
        let list = lab.path("usr/lib/modules").join(RELEASE).join("modules.dep");
        assert_eq!(fs::read(&list).unwrap(), b"k/a.ko:\nk/b.ko: k/a.ko\n");
        fs::remove_file(list).unwrap();
    }
}

#[test]
fn releases_and_directories_can_end_with_slashes() {
    let lab = for_depmod();
    let root = format!("{}//", lab.path("").display());
    let run = |name: &str, arguments: &[&str]| lab.execute(lab.command(name).args(["-C", "conf/"]).args(arguments));
    let dependencies = "k/a.ko:\nk/b.ko: k/a.ko\n";
    for release in ["1.2.3-test/", "1.2.3-test//"] {
        for options in [&["-b", &root][..], &["-b", &root, "-m", "lib/modules//"], &["-b", &root, "-o", &root]] {
            assert_eq!(run("depmod", &[options, &[release]].concat()).transcript(), "Some(0)\n--\n", "{release}");
            assert_eq!(written(&lab).as_deref(), Some(dependencies));
            fs::remove_file(lab.tree().join("modules.dep")).unwrap();
            fs::remove_file(lab.tree().join("modules.dep.bin")).unwrap();
        }
        assert_eq!(run("depmod", &["-b", &root, release]).code, Some(0));
        let steps = "insmod LAB/lib/modules/1.2.3-test/k/a.ko \ninsmod LAB/lib/modules/1.2.3-test/k/b.ko \n";
        assert_eq!(run("modprobe", &["-d", &root, "-S", release, "-D", "b"]).out, steps);
        let file = "LAB/lib/modules/1.2.3-test/k/a.ko\n";
        assert_eq!(lab.run("modinfo", &["-b", &root, "-k", release, "-n", "a"]).out, file);
        let message = "modprobe: FATAL: Module c not found in directory LAB/lib/modules/1.2.3-test\n";
        assert_eq!(run("modprobe", &["-d", &root, "-S", release, "c"]).err, message);
    }
    for invalid in ["/", "1.2.3-test/k", "1.2.3-test/.", "../1.2.3-test/"] {
        let message = format!("Some(1)\n--\ndepmod: ERROR: Bad version passed {invalid}\n");
        assert_eq!(run("depmod", &["-b", &root, invalid]).transcript(), message);
    }
}

#[test]
fn depmod_reads_symbol_lists_from_pipes_and_devices() {
    let lab = for_depmod();
    fs::write(lab.path("map"), "0 r __ksymtab_other\n").unwrap();
    fs::write(lab.path("symvers"), "0x1\tother\tvmlinux\tEXPORT_SYMBOL\t\n").unwrap();
    let script = |line: &str| {
        let mut command = Command::new("bash");
        command.current_dir(lab.path("")).args(["-c", line]);
        lab.execute(&mut command)
    };
    let unknown = "depmod: WARNING: LAB/lib/modules/1.2.3-test/k/b.ko needs unknown symbol kernel_sym\n";
    for list in ["-F <(cat map)", "-E <(cat symvers)", "-F /dev/null", "-E /dev/null", "-F /dev/stdin <map"] {
        let outcome = script(&format!("bin/depmod -C conf -b {} -n -e {list} {RELEASE}", lab.path("").display()));
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), unknown), "{list}");
        assert!(outcome.out.starts_with("k/a.ko:\n"), "{list}");
    }
    let fatal = |list: &str, cause: &str| {
        let outcome = script(&format!("bin/depmod -C conf -b {} -n -e {list} {RELEASE}", lab.path("").display()));
        assert_eq!(outcome.transcript(), format!("Some(1)\n--\ndepmod: FATAL: could not load {cause}\n"), "{list}");
    };
    fatal("-F conf", "conf: Is a directory");
    fatal("-E /nowhere", "/nowhere: No such file or directory");
}

#[test]
fn depmod_reads_the_given_configuration() {
    let lab = for_depmod();
    lab.config("a.conf", "exclude b.ko\n");
    assert_eq!(depmod(&lab, &[RELEASE]).code, Some(0));
    assert_eq!(written(&lab).as_deref(), Some("k/a.ko:\n"));
}

#[test]
fn depmod_errsyms_reports_symbols_missing_in_system_map_or_symvers() {
    let lab = for_depmod();
    fs::write(lab.path("map"), "0 r __ksymtab_other\n").unwrap();
    fs::write(lab.path("symvers"), "0x1\tother\tvmlinux\tEXPORT_SYMBOL\t\n").unwrap();
    let unknown = |file: &[&str]| depmod(&lab, &[file, &["-n", RELEASE]].concat()).err;
    let warning = "depmod: WARNING: LAB/lib/modules/1.2.3-test/k/b.ko needs unknown symbol kernel_sym\n";
    for file in [&["-F", "map"][..], &["--filesyms=map"], &["-E", "symvers"], &["--symvers=symvers"]] {
        assert_eq!(unknown(&[&["-e"], file].concat()), warning, "{file:?}");
        assert_eq!(unknown(&[&["--errsyms"], file].concat()), warning, "{file:?}");
        assert_eq!(unknown(file), "", "{file:?}");
    }
    assert_eq!(unknown(&["-e"]), "depmod: WARNING: -e needs -E or -F\n");
    fs::write(lab.path("symvers"), "0x1\tkernel_sym\tvmlinux\tEXPORT_SYMBOL\t\n").unwrap();
    assert_eq!(unknown(&["-e", "-E", "symvers"]), "");
    // -E overrides -F.
    assert_eq!(unknown(&["-e", "-E", "symvers", "-F", "map"]), "");
}

#[test]
fn depmod_strips_the_symbol_prefix() {
    let lab = for_depmod();
    put(&lab, "k/c.ko", TinyModule::named("c").exports(&["_c_sym"]));
    let symbols = |options: &[&str]| depmod(&lab, &[options, &["-n", RELEASE]].concat()).out;
    assert!(symbols(&[]).contains("alias symbol:_c_sym c\n"));
    for option in [&["-P", "_"][..], &["--symbol-prefix=_"]] {
        assert!(symbols(option).contains("alias symbol:c_sym c\n"), "{option:?}");
    }
    let outcome = depmod(&lab, &["-P", "ab", RELEASE]);
    assert_eq!(outcome.transcript(), "Some(1)\n--\ndepmod: FATAL: -P only takes a single char\n");
}

#[test]
fn depmod_warn_reports_duplicates() {
    let lab = for_depmod();
    assert_eq!(depmod(&lab, &[RELEASE]).err, "");
    for option in ["-w", "--warn"] {
        let err = depmod(&lab, &[option, RELEASE]).err;
        assert!(err.starts_with("depmod: WARNING: duplicate module alias: fs_x"), "{err}");
    }
}

#[test]
fn modprobe_shows_versions_and_exports_of_a_file_or_module() {
    let lab = Lab::new();
    let versions = vec![("kmalloc".into(), 7)];
    put(&lab, "k/leaf.ko", TinyModule { versions, ..TinyModule::named("leaf").exports(&["leaf_do"]) });
    let file = lab.tree().join("k/leaf.ko");
    for operand in [file.to_str().unwrap(), "leaf"] {
        let outcome = lab.modprobe(&["--show-exports", operand]);
        assert!(outcome.code == Some(0) && outcome.out.ends_with("\tleaf_do\n"), "{outcome:?}");
        for option in ["--show-modversions", "--dump-modversions"] {
            let expected = "Some(0)\n0x00000007\tkmalloc\n--\n";
            assert_eq!(lab.modprobe(&[option, operand]).transcript(), expected, "{option}");
        }
    }
}

#[test]
fn modprobe_warns_instead_of_failing_early_for_symbols_with_all() {
    let lab = Lab::new();
    fs::write(lab.path("plain.ko"), TinyModule::named("plain").build()).unwrap();
    fs::write(lab.path("text.ko"), "text").unwrap();
    for (option, what) in [("--show-exports", "symbols"), ("--dump-modversions", "modversions")] {
        let err = |file: &str| lab.modprobe(&[option, "-a", file]).err;
        assert_eq!(
            err("plain.ko"),
            format!("modprobe: WARNING: could not get {what} of plain.ko: No data available\n")
        );
        assert_eq!(err("nosuch"), "modprobe: WARNING: Module nosuch not found.\n");
    }
    // Both: the versions.
    fs::write(lab.path("both.ko"), TinyModule::named("both").exports(&["x"]).build()).unwrap();
    for options in [["--show-exports", "--show-modversions"], ["--show-modversions", "--show-exports"]] {
        let message = "modprobe: FATAL: could not get modversions of both.ko: No data available\n";
        assert_eq!(lab.modprobe(&[&options[..], &["both.ko"]].concat()).err, message);
    }
}

#[test]
fn modprobe_remove_holders_has_no_effect_without_remove() {
    let lab = Lab::new();
    for option in ["--remove-holders", "--remove-dependencies"] {
        let insmod = "Some(0)\ninsmod LAB/lib/modules/1.2.3-test/k/leaf.ko x=1\n--\n";
        assert_eq!(lab.modprobe(&[option, "-D", "leaf", "x=1"]).transcript(), insmod, "{option}");
    }
}

#[test]
fn modprobe_show_depends_prints_a_removal_as_if_modules_were_loaded() {
    let lab = Lab::new();
    lab.config("a.conf", "remove al echo removing\nsoftdep mid post: al\n");
    let expected = "Some(0)\nremove echo removing\nrmmod mid\n--\n";
    for options in [["-r", "-D"], ["-rn", "-D"]] {
        assert_eq!(lab.modprobe(&[&options[..], &["mid"]].concat()).transcript(), expected, "{options:?}");
    }
}

#[test]
fn modprobe_options_precede_the_command_line_and_are_inherited() {
    let lab = Lab::new();
    lab.config("a.conf", "install leaf echo \"$MODPROBE_OPTIONS\"; modprobe -D top\n");
    let path = format!("{}:/usr/bin:/bin", lab.path("bin").display());
    let environment = format!("-d {} -S {RELEASE}", lab.path("").display());
    let mut command = lab.command("modprobe");
    command.env("PATH", path).env("MODPROBE_OPTIONS", environment).args(["-C", "conf", "leaf"]);
    let outcome = lab.execute(&mut command);
    // The nested modprobe uses the same module directory.
    insta::assert_snapshot!(outcome.transcript(), @r#"
    Some(0)
    -d LAB/ -S 1.2.3-test -C LAB/conf
    install echo "$MODPROBE_OPTIONS"; modprobe -D top 
    insmod LAB/lib/modules/1.2.3-test/k/mid.ko.xz 
    insmod LAB/lib/modules/1.2.3-test/k/top.ko 
    --
    "#);
}

#[test]
fn modprobe_options_combine_with_the_command_line() {
    let lab = Lab::new();
    let run = |options: &str, arguments: &[&str]| {
        lab.execute(lab.modprobe_command().env("MODPROBE_OPTIONS", options).args(arguments))
    };
    assert_eq!(run("-D", &["leaf"]).out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n");
    assert_eq!(run("-a -D", &["leaf", "al"]).out.lines().count(), 2);
    // The command line overrides a value of the environment.
    assert_eq!(run("-S 9.9 -D", &["leaf"]).out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n");
    // A module name in the variable makes the operand of the command line its parameter.
    assert_eq!(run("-D leaf", &["x=1"]).out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko x=1\n");
    // No options follow a `--`.
    let ended = format!("-d . -S {RELEASE} -C conf -D --");
    let outcome = lab.execute(lab.command("modprobe").env("MODPROBE_OPTIONS", ended).args(["leaf", "-q"]));
    assert_eq!(outcome.out, "insmod LAB/./lib/modules/1.2.3-test/k/leaf.ko -q\n".replace("/./", "/"));
    assert_eq!(run("--nosuch", &["leaf"]).err, "LAB/bin/modprobe: unrecognized option '--nosuch'\n");
    assert!(run("-V", &["leaf"]).out.starts_with("kmod version "));
    // Other tools ignore the variable.
    let outcome = lab.execute(lab.command("lsmod").env("MODPROBE_OPTIONS", "--nosuch").arg("-V"));
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn rmmod_force_skips_the_checks_and_verbose_reports_it() {
    let lab = Lab::new();
    let plain = lab.run("rmmod", &["no_such_module"]).err;
    assert_eq!(plain, "rmmod: ERROR: Module no_such_module is not currently loaded\n");
    for option in ["-f", "--force"] {
        let err = lab.run("rmmod", &[option, "no_such_module"]).err;
        assert!(err.starts_with("rmmod: ERROR: could not remove module no_such_module: "), "{err}");
    }
    let err = lab.run("rmmod", &["-f", "-v", "no_such_module"]).err;
    assert!(err.starts_with("rmmod: INFO: rmmod no_such_module\n"), "{err}");
}

#[test]
fn every_exit_status_is_0_or_1() {
    let lab = Lab::new();
    let long = "x".repeat(5000);
    for tool in ["modprobe", "depmod", "insmod", "rmmod", "lsmod", "modinfo", "kmod", "other"] {
        for arguments in [&[][..], &["-Z"], &["--"], &["-"], &[""], &["-h"], &["/"], &[&long], &["a[b"], &["-", "-V"]] {
            // depmod without a release would index the modules of the host.
            if tool == "depmod" && arguments.iter().all(|argument| *argument == "--") {
                continue;
            }
            let code = lab.run(tool, arguments).code;
            assert!(matches!(code, Some(0 | 1)), "{tool} {arguments:?}: {code:?}");
        }
    }
}

/// Runs a shell line with a /dev that contains only a syslog socket, and returns the messages sent to it. Returns `None` if this
/// is not possible here.
fn logged(lab: &Lab, line: &str) -> Option<(Outcome, Vec<String>)> {
    if !rustix::process::geteuid().is_root() || !Path::new("/proc/net/unix").exists() {
        eprintln!("skipped: a private /dev needs root and /proc");
        return None;
    }
    let socket = lab.path("log");
    let _may_be_missing = fs::remove_file(&socket);
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let script = format!(
        "mount -t tmpfs none /dev && : >/dev/log && mount --bind {} /dev/log || exit 77\n{line}",
        socket.display()
    );
    let mut command = Command::new("unshare");
    command.current_dir(lab.path("")).args(["-m", "sh", "-c", &script]);
    let outcome = lab.execute(&mut command);
    if outcome.code == Some(77) || outcome.err.starts_with("unshare: ") {
        eprintln!("skipped: cannot mount here: {}", outcome.err);
        return None;
    }
    let mut messages = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = listener.recv(&mut buffer) {
        messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    Some((outcome, messages))
}

#[test]
fn messages_go_to_syslog_with_s_or_a_closed_standard_error() {
    let lab = Lab::new();
    for (line, priority, text) in [
        ("bin/modprobe -s -d . -S 1.2.3-test nosuch", 26, "modprobe: FATAL: Module nosuch not found in directory "),
        ("bin/modprobe --syslog -a -d . -S 1.2.3-test nosuch", 28, "modprobe: WARNING: Module nosuch not found in "),
        ("bin/modprobe -d . -S 1.2.3-test nosuch 2>&-", 26, "modprobe: FATAL: Module nosuch not found in directory "),
        ("bin/modprobe -s", 27, "modprobe: ERROR: missing parameters. See -h.\n"),
        ("bin/insmod -s", 27, "insmod: ERROR: missing filename.\n"),
        ("bin/rmmod --syslog", 27, "rmmod: ERROR: missing module name.\n"),
        ("bin/lsmod -s x", 27, "lsmod: ERROR: too many arguments provided.\n"),
        ("bin/kmod list -s x", 27, "kmod: ERROR: too many arguments provided.\n"),
    ] {
        let Some((outcome, messages)) = logged(&lab, line) else { return };
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(1), ""), "{line}");
        let [message] = &messages[..] else { panic!("{line}: {messages:?}") };
        // <26>Nov 24 18:53:16 modprobe: …
        let (head, rest) = message.split_at(format!("<{priority}>Nov 24 18:53:16 ").len());
        assert!(head.starts_with(&format!("<{priority}>")) && rest.starts_with(text), "{line}: {message}");
    }
    let quiet = logged(&lab, "bin/modprobe -s -q -d . -S 1.2.3-test nosuch");
    assert!(quiet.is_none_or(|(outcome, messages)| outcome.code == Some(1) && messages.is_empty()));
}

#[test]
fn a_module_without_symbols_or_a_missing_module_is_a_failure() {
    let lab = Lab::new();
    assert_eq!(
        lab.modprobe(&["--show-exports", "nosuch", "more"]).transcript(),
        "Some(1)\n--\nmodprobe: FATAL: Module nosuch not found.\n"
    );
    let module = lab.path("plain.ko");
    std::fs::write(&module, TinyModule::named("plain").build()).unwrap();
    for (option, what) in [("--show-exports", "symbols"), ("--dump-modversions", "modversions")] {
        let outcome = lab.modprobe(&[option, module.to_str().unwrap()]);
        let message = format!("modprobe: FATAL: could not get {what} of LAB/plain.ko: No data available\n");
        assert_eq!((outcome.code, outcome.err), (Some(1), message));
    }
}
