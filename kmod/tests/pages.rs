//! Tests the generated files with the programs that read them: completions with the shells, man pages with groff.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Lab, Outcome};
use std::fs;
use std::process::Command;

/// Writes all files into the lab's `share`, with `/lib/modules` replaced by the lab's own.
fn share(lab: &Lab) {
    for (path, text) in kmod::commands::pages::all() {
        let path = lab.path("share").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("/lib/modules", lab.path("lib/modules").to_str().unwrap())).unwrap();
    }
}

fn skipped(program: &str) -> bool {
    let missing = Command::new(program).arg("--version").output().is_err();
    if missing {
        eprintln!("skipped: {program} is not installed");
    }
    missing
}

/// Returns bash's completions of the last word of a line.
fn complete(lab: &Lab, line: &[&str]) -> Vec<String> {
    let script = r#"source share/bash-completion/completions/"$1"
        compopt() { :; }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "_kmodlab_$1"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut command = Command::new("bash");
    command.current_dir(lab.path("")).args(["--norc", "-c", script, "bash"]).args(line);
    let Outcome { code, out, err } = lab.execute(&mut command);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{line:?}");
    out.lines().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_options_values_and_modules() {
    if skipped("bash") {
        return;
    }
    let lab = Lab::new();
    share(&lab);
    let offered = |line: &str| complete(&lab, &line.split(' ').collect::<Vec<_>>()).join(" ");
    assert_eq!(offered("modprobe --show-m"), "--show-modversions");
    assert_eq!(offered("rmmod -"), "-f --force -s --syslog -v --verbose -V --version -h --help");
    assert_eq!(offered("depmod 1.2"), "1.2.3-test");
    assert_eq!(offered("depmod 1.2.3-test l"), "lib");
    assert_eq!(offered("modprobe -S 1."), "1.2.3-test");
    assert_eq!(offered("modprobe -C con"), "conf");
    assert_eq!(offered("modprobe --dirname = li"), "lib");
    assert_eq!(offered("modprobe --dirname ="), offered("modprobe -d "));
    assert_eq!(offered("modprobe -S 1.2.3-test "), "leaf mid top al");
    assert_eq!(offered("modprobe --set-version = 1.2.3-test -w 5 m"), "mid");
    assert_eq!(offered("modprobe -S 1.2.3-test -a leaf t"), "top");
    assert_eq!(offered("modprobe -w "), "");
    assert_eq!(offered("modinfo -k 1.2.3-test m"), "mid");
    assert_eq!(offered("modinfo ./li"), "./lib");
    assert_eq!(offered("modinfo -F "), "");
    assert_eq!(offered("kmod l"), "list");
    assert_eq!(offered("kmod list l"), "");
    assert_eq!(offered("kmod list --s"), "--syslog");
    assert_eq!(offered("kmod static-nodes --format = t"), "tmpfiles");
    assert_eq!(offered("kmod static-nodes -o con"), "conf");
    assert_eq!(offered("lsmod --s"), "--syslog");
}

#[test]
fn bash_completion_never_executes_names() {
    if skipped("bash") {
        return;
    }
    let lab = Lab::new();
    share(&lab);
    for release in ["$(touch done)", "`touch done`", "1.2.3 $(touch done)"] {
        fs::create_dir_all(lab.path("lib/modules").join(release)).unwrap();
    }
    lab.index("modules.dep", "k/$(touch done).ko:\nk/x$(touch done)y.ko:\nk/`touch done`.ko:\n$(touch done)/ok.ko:\n");
    assert_eq!(complete(&lab, &["depmod", ""]), ["1.2.3-test"]);
    assert_eq!(complete(&lab, &["modprobe", "-S", common::RELEASE, ""]), ["ok"]);
    complete(&lab, &["modprobe", "-S", "$(touch done)", ""]);
    assert!(!lab.path("done").exists());
}

#[test]
fn every_shell_parses_its_completions() {
    let lab = Lab::new();
    share(&lab);
    for (shell, directory) in
        [("bash", "bash-completion/completions"), ("zsh", "zsh/site-functions"), ("fish", "fish/vendor_completions.d")]
    {
        if skipped(shell) {
            continue;
        }
        for file in fs::read_dir(lab.path("share").join(directory)).unwrap() {
            let file = file.unwrap().path();
            let outcome = lab.execute(Command::new(shell).arg("-n").arg(&file));
            assert_eq!(outcome.transcript(), "Some(0)\n--\n", "{}", file.display());
        }
    }
}

#[test]
fn groff_formats_every_page_without_warnings() {
    if skipped("groff") {
        return;
    }
    let lab = Lab::new();
    share(&lab);
    for section in ["man5", "man8"] {
        for file in fs::read_dir(lab.path("share/man").join(section)).unwrap() {
            let file = file.unwrap().path();
            let outcome = lab.execute(Command::new("groff").args(["-man", "-Tascii", "-ww", "-z"]).arg(&file));
            assert_eq!(outcome.transcript(), "Some(0)\n--\n", "{}", file.display());
        }
    }
}
