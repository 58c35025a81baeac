//! A QEMU that is missing, rejects its arguments, or is killed.

use crate::sandbox::Sandbox;
use crate::support::kill_by_line;
use conformance::report::document::Report;
use conformance::run::verdict::Verdict;
use std::process::Stdio;

fn reason(row: &conformance::run::event::Row) -> &str {
    row.reason.as_deref().unwrap_or_default()
}

#[test]
fn a_missing_qemu_is_an_invalid_argument_with_a_hint() {
    let Some(sandbox) = Sandbox::open() else { return };
    let output = sandbox.run(&["path.newline", "--qemu", "/nowhere/qemu"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("/nowhere/qemu") && text.contains("apt-get install qemu-system-x86"), "{text}");
}

#[test]
fn a_qemu_that_rejects_its_arguments_is_an_error_with_its_message() {
    let Some(sandbox) = Sandbox::open() else { return };
    let refuses = "[ \"$1\" != --version ] || exec echo 'QEMU emulator version 7.2.22'\n\
                   echo 'qemu: -icount: no such option' >&2; exit 1";
    let qemu = sandbox.program("qemu", refuses);
    let (code, row) = sandbox.row(&["--qemu", qemu.to_str().unwrap()]);
    assert_eq!((code, row.verdict), (Some(125), Verdict::Error), "{row:#?}");
    assert!(reason(&row).contains("no such option") && reason(&row).contains("exited with status 1"), "{row:#?}");
}

#[test]
fn a_qemu_killed_while_a_template_boots_is_an_error() {
    let Some(sandbox) = Sandbox::open() else { return };
    let mut lab = sandbox.lab(&["path.newline", "--json", "-"]);
    let child = lab.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    kill_by_line(&sandbox.await_process(&["qemu-system", "share=on"]));
    let output = sandbox.finish(child);
    sandbox.nothing_is_left();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report.results[0].verdict), (Some(125), Verdict::Error), "{report:#?}");
    assert!(reason(&report.results[0]).contains("QEMU was killed by signal 9"), "{report:#?}");
}

#[test]
fn a_qemu_killed_while_it_becomes_a_clone_is_an_error() {
    let Some(sandbox) = Sandbox::open() else { return };
    let dies = "case \"$*\" in *-incoming*) kill -9 $$;; esac; exec qemu-system-x86_64 \"$@\"";
    let qemu = sandbox.program("qemu", dies);
    let (code, row) = sandbox.row(&["--qemu", qemu.to_str().unwrap()]);
    assert_eq!((code, row.verdict), (Some(125), Verdict::Error), "{row:#?}");
    assert!(reason(&row).contains("QEMU was killed by signal 9"), "{row:#?}");
}
