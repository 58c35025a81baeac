//! `kmodlab report` and `kmodlab compare` on stored reports, as whole texts. Nothing is booted.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use support::session::{Session, assert_text};

/// Writes a report with one row.
fn report(session: &Session, name: &str, got: &str, verdict: &str, shard: &str) {
    let holds = verdict == "pass";
    let text = format!(
        r#"{{"version": 1, "run": {{"kmodlab": "0.1.0", "qemu": "7.2.0", "accelerator": "tcg", "profile": "faithful",
        "virtual_time": true{shard}}}, "results": [{{"id": "loop.cut-at-50", "catalogue": "LOOP-01", "group": "loop",
        "statement": "a helper loop is cut off", "source": "kernel/module/kmod.c", "about": "kernel",
        "kernel": {{"name": "6.1", "release": "6.1.0"}}, "eras": null, "subject": "{name}", "verdict": "{verdict}",
        "reason": null, "facts": [{{"name": "helpers started", "expected": "50", "got": "{got}", "holds": {holds}}}],
        "guest_ms": 1, "wall_ms": 2, "console": []}}],
        "skipped_kernels": [], "counts": {{"pass": 0, "fail": 0, "known": 0, "skip": 0, "error": 0}},
        "end": {{"interrupted": false, "wall_ms": 3}}, "exit_code": 0}}"#
    );
    session.file(&format!("{name}.json"), text);
}

#[test]
fn compare_shows_the_changes_and_exits_accordingly() {
    let mut session = Session::new();
    for (name, got, verdict) in [("a", "50", "pass"), ("b", "50", "pass"), ("c", "49", "fail"), ("d", "", "error")] {
        report(&session, name, got, verdict, "");
    }
    session
        .run("compare a.json b.json")
        .run("compare a.json c.json")
        .run("compare a.json c.json --allow-change LOOP-01")
        .run("compare a.json d.json")
        .run("compare a.json c.json --json -")
        .run("compare a.json c.json --markdown -");
    assert_text!("compare", session.transcript());
    session.run("compare a.json c.json --json out.json --markdown out.md");
    let changes: serde_json::Value = serde_json::from_slice(&session.read("out.json")).unwrap();
    assert_eq!(changes["changes"][0]["facts"][0]["head"], "49");
    assert!(String::from_utf8(session.read("out.md")).unwrap().contains("pass → fail"));
}

#[test]
fn merge_exits_like_a_run_of_all_rows_and_reports_missing_shards() {
    let mut session = Session::new();
    let shard = |index: u32| format!(r#", "shard": {{"index": {index}, "count": 2, "from": "--shard"}}"#);
    report(&session, "a", "50", "pass", &shard(1));
    report(&session, "b", "49", "fail", &shard(2));
    session.run("report merge a.json b.json -o whole.json").run("report merge a.json -o partial.json");
    assert_text!("merge", session.transcript());
    let whole: serde_json::Value = serde_json::from_slice(&session.read("whole.json")).unwrap();
    assert_eq!((whole["results"].as_array().unwrap().len(), &whole["exit_code"]), (2, &1.into()));
}

#[test]
fn a_stored_report_is_converted_to_every_format() {
    let mut session = Session::new();
    report(&session, "a", "49", "fail", "");
    session
        .run("report terminal a.json")
        .run("report ktap a.json")
        .run("report junit a.json")
        .run("report kcidb a.json --origin me")
        .run("report html a.json -o page.html");
    assert_text!("formats", session.transcript());
    assert!(String::from_utf8(session.read("page.html")).unwrap().starts_with("<!doctype html>"));
}
