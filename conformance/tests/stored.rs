//! The files and exit codes of `kmodlab report` and `kmodlab compare` on stored reports. Nothing boots.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn kmodlab(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kmodlab")).args(args).current_dir(dir).output().unwrap()
}

/// A report of one row.
fn report(dir: &Path, name: &str, got: &str, verdict: &str, shard: &str) -> PathBuf {
    let holds = verdict == "pass";
    let text = format!(
        r#"{{"version": 1, "run": {{"kmodlab": "0.1.0", "qemu": "7.2.0", "accelerator": "tcg", "profile": "faithful",
        "virtual_time": true{shard}}}, "results": [{{"id": "loop.cut-at-50", "catalogue": "LOOP-01", "group": "loop",
        "statement": "s", "source": "s", "about": "kernel", "kernel": {{"name": "6.1", "release": "6.1.0"}}, "eras": null,
        "subject": "{name}", "verdict": "{verdict}", "reason": null, "facts": [{{"name": "helpers started",
        "expected": "50", "got": "{got}", "holds": {holds}}}], "guest_ms": 1, "wall_ms": 2, "console": []}}],
        "skipped_kernels": [], "counts": {{"pass": 0, "fail": 0, "known": 0, "skip": 0, "error": 0}},
        "end": {{"interrupted": false, "wall_ms": 3}}, "exit_code": 0}}"#
    );
    let path = dir.join(format!("{name}.json"));
    std::fs::write(&path, text).unwrap();
    path
}

fn code(args: &[&str], dir: &Path) -> Option<i32> {
    kmodlab(args, dir).status.code()
}

#[test]
fn the_exit_code_of_compare_depends_on_the_differences() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    report(dir, "a", "50", "pass", "");
    report(dir, "b", "50", "pass", "");
    report(dir, "c", "49", "fail", "");
    report(dir, "d", "", "error", "");
    assert_eq!(code(&["compare", "a.json", "b.json"], dir), Some(0));
    assert_eq!(code(&["compare", "a.json", "c.json"], dir), Some(1));
    assert_eq!(code(&["compare", "a.json", "c.json", "--allow-change", "LOOP-01"], dir), Some(0));
    assert_eq!(code(&["compare", "a.json", "d.json"], dir), Some(125));
    assert_eq!(code(&["compare", "a.json", "c.json", "--json", "out.json", "--markdown", "out.md"], dir), Some(1));
    let comparison: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("out.json")).unwrap()).unwrap();
    assert_eq!(comparison["changes"][0]["facts"][0]["head"], "49");
    assert!(std::fs::read_to_string(dir.join("out.md")).unwrap().contains("pass → fail"));
}

#[test]
fn merge_has_the_exit_code_of_a_run_with_all_rows_and_reports_missing_shards() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let shard = |index: u32| format!(r#", "shard": {{"index": {index}, "count": 2, "from": "--shard"}}"#);
    report(dir, "a", "50", "pass", &shard(1));
    report(dir, "b", "49", "fail", &shard(2));
    assert_eq!(code(&["report", "merge", "a.json", "b.json", "-o", "whole.json"], dir), Some(1));
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("whole.json")).unwrap()).unwrap();
    assert_eq!((whole["results"].as_array().unwrap().len(), &whole["exit_code"]), (2, &1.into()));
    let output = kmodlab(&["report", "merge", "a.json", "-o", "-"], dir);
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing shard 2 of 2"));
}

#[test]
fn a_stored_report_is_rendered_in_every_format() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    report(dir, "a", "50", "pass", "");
    for (form, begin) in [
        (&["terminal"][..], "kmodlab 0.1.0"),
        (&["ktap"], "KTAP version 1"),
        (&["junit"], "<?xml"),
        (&["html"], "<!doctype html>"),
        (&["kcidb", "--origin", "me"], "{"),
    ] {
        let output = kmodlab(&[&["report"], form, &["a.json"]].concat(), dir);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.starts_with(begin) && text.contains("loop.cut-at-50"),
            "{form:?}: {text}"
        );
    }
    assert_eq!(code(&["report", "html", "a.json", "-o", "page.html"], dir), Some(0));
    assert!(dir.join("page.html").is_file());
    assert_eq!(code(&["report", "kcidb", "a.json", "--origin", "Not-This"], dir), Some(2));
}
