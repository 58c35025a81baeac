//! `kmod static-nodes`, as a process for the running kernel and as a function for other module directories, which the program
//! cannot select.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use common::Lab;
use kmod::commands::{Invocation, static_nodes};
use kmod::sys::StandardStreams;
use kmod::tree::Tree;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

const DEVNAME: &str = "# Device nodes\nfuse fuse c10:229\nsnd_seq snd/seq c116:1\nloop x/y/loop b7:0\n";
const TMPFILES: &str = "c! /dev/fuse 0600 - - - 10:229\nd /dev/snd 0755 - - -\nc! /dev/snd/seq 0600 - - - 116:1\n\
    d /dev/x/y 0755 - - -\nb! /dev/x/y/loop 0600 - - - 7:0\n";

/// Runs it on the lab's module directory and reports whether it succeeded. It does not write to standard output, which is the
/// test's.
fn run(lab: &Lab, arguments: &[&str]) -> bool {
    let arguments = std::iter::once(&"static-nodes").chain(arguments).map(Into::into).collect();
    let streams = StandardStreams { output_closed: true, ..StandardStreams::default() };
    static_nodes::run_in(&Tree::new(lab.tree()), &Invocation { arguments, streams, ..Invocation::default() }).is_ok()
}

/// Returns the file that it writes with these options.
fn written(lab: &Lab, options: &[&str]) -> String {
    let out = lab.path("out");
    let _may_be_missing = fs::remove_file(&out);
    assert!(run(lab, &[options, &["-o", out.to_str().unwrap()]].concat()), "{options:?}");
    fs::read_to_string(out).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_last_format_option_applies() {
    let lab = Lab::new();
    lab.index("modules.devname", DEVNAME);
    assert_eq!(written(&lab, &["-f", "tmpfiles"]), TMPFILES);
    assert_eq!(written(&lab, &["--format=devname"]), &DEVNAME[DEVNAME.find('\n').unwrap() + 1..]);
    assert_eq!(written(&lab, &["--form", "devname", "-ftmpfiles"]), TMPFILES);
    let human = written(&lab, &[]);
    assert!(human.starts_with("Module: fuse\n\tDevice node: /dev/fuse\n\t\tType: character device\n"), "{human}");
    assert_eq!(written(&lab, &["-f", "human"]), human);
    assert!(!run(&lab, &["-f", "other"]));
}

#[test]
fn the_output_file_is_replaced_and_its_directories_are_created() {
    let lab = Lab::new();
    lab.index("modules.devname", DEVNAME);
    let path = lab.path("run/tmpfiles.d/static-nodes.conf");
    for option in ["-o", "--output"] {
        assert!(run(&lab, &["--format=tmpfiles", option, path.to_str().unwrap()]));
        assert_eq!(fs::read_to_string(&path).unwrap(), TMPFILES);
        fs::write(&path, "an older one, which is longer\n".repeat(99)).unwrap();
    }
    assert_eq!(names(path.parent().unwrap()), ["static-nodes.conf"]);
    // An open old file stays intact.
    assert_ne!(fs::metadata(&path).unwrap().permissions().mode() & 0o444, 0);
}

#[test]
fn a_link_is_followed() {
    let lab = Lab::new();
    lab.index("modules.devname", DEVNAME);
    symlink("target", lab.path("link")).unwrap();
    assert!(run(&lab, &["-f", "tmpfiles", "-o", lab.path("link").to_str().unwrap()]));
    assert_eq!(fs::read_to_string(lab.path("target")).unwrap(), TMPFILES);
    assert!(lab.path("link").is_symlink());
}

#[test]
fn a_failed_write_keeps_the_old_file() {
    let lab = Lab::new();
    lab.index("modules.devname", DEVNAME);
    let file = lab.path("file");
    fs::write(&file, "old").unwrap();
    for bad in [file.join("below"), lab.path("conf"), "/dev/full".into(), "".into()] {
        assert!(!run(&lab, &["-o", bad.to_str().unwrap()]), "{}", bad.display());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
}

#[test]
fn an_invalid_line_is_a_failure_and_the_others_are_written() {
    let lab = Lab::new();
    lab.index("modules.devname", "m ../../etc/x c1:2\nm n c1:2\nbad\n");
    let out = lab.path("out");
    assert!(!run(&lab, &["-f", "devname", "-o", out.to_str().unwrap()]));
    assert_eq!(fs::read_to_string(out).unwrap(), "m n c1:2\n");
}

#[test]
fn a_missing_list_is_not_a_failure() {
    let lab = Lab::new();
    let out = lab.path("out");
    assert!(run(&lab, &["-o", out.to_str().unwrap()]));
    assert!(!out.exists());
    fs::create_dir(lab.tree().join("modules.devname")).unwrap();
    assert!(!run(&lab, &["-o", out.to_str().unwrap()]));
}

#[test]
fn the_program_lists_nodes_of_the_running_kernel() {
    let lab = Lab::new();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let list = format!("/lib/modules/{}/modules.devname", release.trim_end());
    let outcome = lab.run("kmod", &["static-nodes", "-f", "devname"]);
    assert_eq!(outcome.code, Some(0));
    match fs::read_to_string(&list) {
        Ok(text) => assert_eq!(
            outcome.out,
            text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect::<String>()
        ),
        Err(_) => assert_eq!(outcome.transcript(), format!("Some(0)\n--\nWarning: {list} not found - ignoring\n")),
    }
    let outcome = lab.run("kmod", &["static-nodes", "-f", "a\nb"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(1), "Unknown format: 'a\\x0ab'.\n"));
    assert!(outcome.out.starts_with("Usage:\n\tkmod static-nodes [options]\n"), "{}", outcome.out);
    assert_eq!(lab.run("kmod", &["static-nodes", "-h"]).out, outcome.out);
    assert_eq!(
        lab.run("kmod", &["static-nodes", "-V"]).transcript(),
        "Some(1)\n--\nstatic-nodes: invalid option -- 'V'\n"
    );
}

#[test]
fn help_and_list_are_commands() {
    let lab = Lab::new();
    let help = lab.run("kmod", &["help"]);
    assert!(help.code == Some(0) && help.out.contains("\tstatic-nodes "), "{help:?}");
    assert_eq!(lab.run("kmod", &["--help"]), help);
    let list = lab.run("kmod", &["list", "x"]);
    assert_eq!(list.transcript(), "Some(1)\n--\nkmod: ERROR: too many arguments provided.\n");
}
