//! Options whose effect a process shows without a kernel that loads modules, as far as no other test is about them.

// A failed unwrap is a failed test, in helpers too.
#![allow(clippy::unwrap_used)]

mod common;
// The maker of tiny modules belongs to the library's own tests; not all that it can do is needed here.
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use common::{Done, Lab, RELEASE};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use testing::TinyModule;

/// A module file of the lab's module directory.
fn put(lab: &Lab, path: &str, module: TinyModule) {
    let path = lab.tree().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, module.build()).unwrap();
}

/// A lab for depmod: no index yet, the lists of a kernel's build, and two modules.
fn for_depmod() -> Lab {
    let lab = Lab::new();
    for file in fs::read_dir(lab.tree()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        lab.index(list, "");
    }
    // The same alias twice.
    put(&lab, "k/a.ko", TinyModule::named("a").exports(&["a_sym"]).info("alias=fs-x").info("alias=fs-x"));
    put(&lab, "k/b.ko", TinyModule::named("b").imports(&["a_sym", "kernel_sym"]));
    lab
}

/// depmod in the lab, with no configuration of this machine.
fn depmod(lab: &Lab, arguments: &[&str]) -> Done {
    let mut command = lab.command("depmod");
    command.args(["-C", "conf", "-b"]).arg(lab.path("")).args(arguments);
    lab.done(&mut command)
}

fn written(lab: &Lab) -> Option<String> {
    fs::read_to_string(lab.tree().join("modules.dep")).ok()
}

#[test]
fn depmod_quick_writes_only_what_is_older_than_a_module() {
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
fn depmod_all_looks_at_all_modules_whatever_files_are_named() {
    let lab = for_depmod();
    let file = lab.tree().join("k/a.ko");
    assert_eq!(depmod(&lab, &[RELEASE, file.to_str().unwrap()]).code, Some(0));
    assert_eq!(written(&lab).as_deref(), Some("k/a.ko:\n"));
    assert_eq!(depmod(&lab, &["--all", RELEASE, file.to_str().unwrap()]).code, Some(0));
    assert_eq!(written(&lab).as_deref(), Some("k/a.ko:\nk/b.ko: k/a.ko\n"));
}

#[test]
fn depmod_finds_another_module_directory_below_its_root() {
    let lab = for_depmod();
    fs::create_dir_all(lab.path("usr/lib")).unwrap();
    fs::rename(lab.path("lib/modules"), lab.path("usr/lib/modules")).unwrap();
    for option in [&["-m", "usr/lib/modules"][..], &["--moduledir=/usr/lib/modules"]] {
        assert_eq!(depmod(&lab, &[option, &[RELEASE]].concat()).all(), "Some(0)\n--\n");
        let list = lab.path("usr/lib/modules").join(RELEASE).join("modules.dep");
        assert_eq!(fs::read(&list).unwrap(), b"k/a.ko:\nk/b.ko: k/a.ko\n");
        fs::remove_file(list).unwrap();
    }
}

#[test]
fn depmod_reads_the_configuration_that_is_given() {
    let lab = for_depmod();
    lab.config("a.conf", "exclude b.ko\n");
    assert_eq!(depmod(&lab, &[RELEASE]).code, Some(0));
    assert_eq!(written(&lab).as_deref(), Some("k/a.ko:\n"));
}

#[test]
fn depmod_knows_the_kernels_symbols_from_either_file_and_tells_unknown_ones_when_asked() {
    let lab = for_depmod();
    fs::write(lab.path("map"), "0 r __ksymtab_other\n").unwrap();
    fs::write(lab.path("symvers"), "0x1\tother\tvmlinux\tEXPORT_SYMBOL\t\n").unwrap();
    let unknown = |file: &[&str]| depmod(&lab, &[file, &["-n", RELEASE]].concat()).err;
    let told = "depmod: WARNING: LAB/lib/modules/1.2.3-test/k/b.ko needs unknown symbol kernel_sym\n";
    for file in [&["-F", "map"][..], &["--filesyms=map"], &["-E", "symvers"], &["--symvers=symvers"]] {
        assert_eq!(unknown(&[&["-e"], file].concat()), told, "{file:?}");
        assert_eq!(unknown(&[&["--errsyms"], file].concat()), told, "{file:?}");
        assert_eq!(unknown(file), "", "{file:?}");
    }
    assert_eq!(unknown(&["-e"]), "depmod: WARNING: -e needs -E or -F\n");
    fs::write(lab.path("symvers"), "0x1\tkernel_sym\tvmlinux\tEXPORT_SYMBOL\t\n").unwrap();
    assert_eq!(unknown(&["-e", "-E", "symvers"]), "");
    // -E wins.
    assert_eq!(unknown(&["-e", "-E", "symvers", "-F", "map"]), "");
}

#[test]
fn depmod_takes_a_prefix_from_symbols() {
    let lab = for_depmod();
    put(&lab, "k/c.ko", TinyModule::named("c").exports(&["_c_sym"]));
    let symbols = |options: &[&str]| depmod(&lab, &[options, &["-n", RELEASE]].concat()).out;
    assert!(symbols(&[]).contains("alias symbol:_c_sym c\n"));
    for option in [&["-P", "_"][..], &["--symbol-prefix=_"]] {
        assert!(symbols(option).contains("alias symbol:c_sym c\n"), "{option:?}");
    }
    let done = depmod(&lab, &["-P", "ab", RELEASE]);
    assert_eq!(done.all(), "Some(1)\n--\ndepmod: FATAL: -P only takes a single char\n");
}

#[test]
fn depmod_warns_of_duplicates_when_asked() {
    let lab = for_depmod();
    assert_eq!(depmod(&lab, &[RELEASE]).err, "");
    for option in ["-w", "--warn"] {
        let err = depmod(&lab, &[option, RELEASE]).err;
        assert!(err.starts_with("depmod: WARNING: duplicate module alias: fs_x"), "{err}");
    }
}

#[test]
fn modprobe_shows_versions_and_exports_of_a_file_or_a_module() {
    let lab = Lab::new();
    let versions = vec![("kmalloc".into(), 7)];
    put(&lab, "k/leaf.ko", TinyModule { versions, ..TinyModule::named("leaf").exports(&["leaf_do"]) });
    let file = lab.tree().join("k/leaf.ko");
    for operand in [file.to_str().unwrap(), "leaf"] {
        let done = lab.modprobe(&["--show-exports", operand]);
        assert!(done.code == Some(0) && done.out.ends_with("\tleaf_do\n"), "{done:?}");
        for option in ["--show-modversions", "--dump-modversions"] {
            let expected = "Some(0)\n0x00000007\tkmalloc\n--\n";
            assert_eq!(lab.modprobe(&[option, operand]).all(), expected, "{option}");
        }
    }
}

#[test]
fn modprobe_options_of_the_environment_are_read_first_and_passed_on() {
    let lab = Lab::new();
    lab.config("a.conf", "install leaf echo \"$MODPROBE_OPTIONS\"; modprobe -D top\n");
    let path = format!("{}:/usr/bin:/bin", lab.path("bin").display());
    let environment = format!("-d {} -S {RELEASE}", lab.path("").display());
    let mut command = lab.command("modprobe");
    command.env("PATH", path).env("MODPROBE_OPTIONS", environment).args(["-C", "conf", "leaf"]);
    let done = lab.done(&mut command);
    // The modprobe that the command runs finds the same modules.
    insta::assert_snapshot!(done.all(), @r#"
    Some(0)
    -d LAB/ -S 1.2.3-test -C LAB/conf
    install echo "$MODPROBE_OPTIONS"; modprobe -D top 
    insmod LAB/lib/modules/1.2.3-test/k/mid.ko.xz 
    insmod LAB/lib/modules/1.2.3-test/k/top.ko 
    --
    "#);
}

#[test]
fn modprobe_options_of_the_environment_hold_beside_those_of_the_command_line() {
    let lab = Lab::new();
    let run = |options: &str, arguments: &[&str]| {
        lab.done(lab.modprobe_command().env("MODPROBE_OPTIONS", options).args(arguments))
    };
    assert_eq!(run("-D", &["leaf"]).out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n");
    assert_eq!(run("-a -D", &["leaf", "al"]).out.lines().count(), 2);
    // The later of two values counts, which is that of the command line.
    assert_eq!(run("-S 9.9 -D", &["leaf"]).out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n");
    // A word that is no option is the module, and what the command line names is its parameter.
    assert_eq!(run("-D leaf", &["x=1"]).out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko x=1\n");
    // Behind -- nothing is an option.
    let ended = format!("-d . -S {RELEASE} -C conf -D --");
    let done = lab.done(lab.command("modprobe").env("MODPROBE_OPTIONS", ended).args(["leaf", "-q"]));
    assert_eq!(done.out, "insmod LAB/./lib/modules/1.2.3-test/k/leaf.ko -q\n".replace("/./", "/"));
    assert_eq!(run("--nosuch", &["leaf"]).err, "LAB/bin/modprobe: unrecognized option '--nosuch'\n");
    assert!(run("-V", &["leaf"]).out.starts_with("kmod version "));
    // Other tools do not read it.
    let done = lab.done(lab.command("lsmod").env("MODPROBE_OPTIONS", "--nosuch").arg("-V"));
    assert_eq!(done.code, Some(0));
}

#[test]
fn rmmod_force_asks_the_kernel_without_looking_and_verbose_says_so() {
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
fn exit_codes_are_0_and_1_only() {
    let lab = Lab::new();
    let long = "x".repeat(5000);
    for tool in ["modprobe", "depmod", "insmod", "rmmod", "lsmod", "modinfo", "kmod", "other"] {
        for arguments in [&[][..], &["-Z"], &["--"], &["-"], &[""], &["-h"], &["/"], &[&long], &["a[b"], &["-", "-V"]] {
            // depmod without a release would be about this machine.
            if tool == "depmod" && arguments.iter().all(|argument| *argument == "--") {
                continue;
            }
            let code = lab.run(tool, arguments).code;
            assert!(matches!(code, Some(0 | 1)), "{tool} {arguments:?}: {code:?}");
        }
    }
}

/// Runs a line of the shell where /dev holds nothing but a socket in syslog's place, and gives what came there; none when
/// that cannot be arranged here.
fn logged(lab: &Lab, line: &str) -> Option<(Done, Vec<String>)> {
    if !rustix::process::geteuid().is_root() || !Path::new("/proc/net/unix").exists() {
        eprintln!("skipped: a /dev of its own needs root and /proc");
        return None;
    }
    let socket = lab.path("log");
    let _there_may_be_none = fs::remove_file(&socket);
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let script = format!(
        "mount -t tmpfs none /dev && : >/dev/log && mount --bind {} /dev/log || exit 77\n{line}",
        socket.display()
    );
    let mut command = Command::new("unshare");
    command.current_dir(lab.path("")).args(["-m", "sh", "-c", &script]);
    let done = lab.done(&mut command);
    if done.code == Some(77) || done.err.starts_with("unshare: ") {
        eprintln!("skipped: no mounts can be made here: {}", done.err);
        return None;
    }
    let mut messages = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = listener.recv(&mut buffer) {
        messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    Some((done, messages))
}

#[test]
fn messages_go_to_the_system_log_with_s_and_when_standard_error_is_closed() {
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
        let Some((done, messages)) = logged(&lab, line) else { return };
        assert_eq!((done.code, done.err.as_str()), (Some(1), ""), "{line}");
        let [message] = &messages[..] else { panic!("{line}: {messages:?}") };
        // <26>Nov 24 18:53:16 modprobe: …
        let (head, rest) = message.split_at(format!("<{priority}>Nov 24 18:53:16 ").len());
        assert!(head.starts_with(&format!("<{priority}>")) && rest.starts_with(text), "{line}: {message}");
    }
    let quiet = logged(&lab, "bin/modprobe -s -q -d . -S 1.2.3-test nosuch");
    assert!(quiet.is_none_or(|(done, messages)| done.code == Some(1) && messages.is_empty()));
}

#[test]
fn symbols_of_what_has_none_or_is_not_there_are_a_failure() {
    let lab = Lab::new();
    assert_eq!(
        lab.modprobe(&["--show-exports", "nosuch", "more"]).all(),
        "Some(1)\n--\nmodprobe: FATAL: Module nosuch not found.\n"
    );
    let module = lab.path("plain.ko");
    std::fs::write(&module, TinyModule::named("plain").build()).unwrap();
    for (option, what) in [("--show-exports", "symbols"), ("--dump-modversions", "modversions")] {
        let done = lab.modprobe(&[option, module.to_str().unwrap()]);
        let told = format!("modprobe: FATAL: could not get {what} of LAB/plain.ko: No data available\n");
        assert_eq!((done.code, done.err), (Some(1), told));
    }
}
