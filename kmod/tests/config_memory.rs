//! Large configuration files under a memory limit: they are read or reported, and no allocation aborts the program.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Lab, Outcome};
use std::fs;
use std::process::{Command, Stdio};

/// Bytes of address space: `prlimit --as`.
const MEMORY: &str = "--as=67108864";

/// Runs `modprobe -D leaf` with this configuration under the limit, without the messages about bad lines.
fn limited(text: &str) -> Outcome {
    let lab = Lab::new();
    fs::write(lab.path("conf/a.conf"), text).unwrap();
    let mut modprobe = Command::new("prlimit");
    modprobe.arg(MEMORY).arg(lab.path("bin/modprobe")).arg("-d").arg(lab.path("")).args(["-S", common::RELEASE, "-C"]);
    modprobe.arg(lab.path("conf")).args(["-D", "leaf"]).stdin(Stdio::null());
    let mut outcome = lab.execute(&mut modprobe);
    let kept = outcome.err.lines().filter(|line| !line.contains("ignoring bad line"));
    outcome.err = kept.map(|line| format!("{line}\n")).collect();
    outcome
}

#[test]
fn a_configuration_that_does_not_fit_into_memory_is_reported_and_ignored() {
    let names: String = (0..300_000).map(|number| format!(" n{number}")).collect();
    for text in [
        "blacklist a\n".repeat(16 << 20 >> 3),
        "alias a leaf\noptions leaf a\ninstall b c\nremove d e\n".repeat(1 << 18),
        format!("softdep leaf pre:{}\n", &names[..1_000_000]).repeat(16),
    ] {
        let outcome = limited(&text);
        let message = "modprobe: ERROR: LAB/conf/a.conf: could not be read: Cannot allocate memory\n";
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), message), "{}", &text[..20]);
        assert_eq!(outcome.out, "insmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n");
    }
}

#[test]
fn bad_lines_take_no_memory() {
    assert_eq!(
        limited(&"x\n".repeat(200_000)).transcript(),
        "Some(0)\ninsmod LAB/lib/modules/1.2.3-test/k/leaf.ko \n--\n"
    );
}

#[test]
fn a_line_that_is_too_long_is_ignored() {
    let text = format!("options leaf a={}\noptions leaf b=1\n", "x".repeat(1 << 20));
    insta::assert_snapshot!(limited(&text).transcript(), @r"
    Some(0)
    insmod LAB/lib/modules/1.2.3-test/k/leaf.ko b=1 
    --
    modprobe: ERROR: LAB/conf/a.conf line 1: longer than 1048576 bytes, ignored
    ");
}
