//! Retries, repetitions, the end of a run at the first failure, and the order of its rows.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use conformance::catalogue::entry::Entry;
use conformance::report::document::Report;
use conformance::run::request::Flow;
use conformance::run::verdict::Verdict;
use std::sync::atomic::{AtomicU32, Ordering};
use support::lab::{Setup, entry};
use support::{EXIT_0, run, stderr, tiny_program, vm_or_skip};

static TRIES: AtomicU32 = AtomicU32::new(0);
static FAILS_TWICE: Entry = entry("tool.fails-twice", "the third attempt passes", |lab| {
    lab.expect("third attempt", TRIES.fetch_add(1, Ordering::SeqCst) >= 2, true);
    Ok(())
});

fn report(args: &[&str]) -> (Option<i32>, Report) {
    let output = run(&[&["run", "--json", "-", "--jobs", "1"], args].concat());
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output))))
}

#[test]
fn a_row_that_passes_on_a_retry_is_flaky_and_keeps_each_attempt() {
    if !vm_or_skip() {
        return;
    }
    let flow = Flow { retries: 4, ..Flow::new(2) };
    let rows = support::lab::run(vec![&FAILS_TWICE], &Setup { mark: "kmodlab.test=flaky", flow, ..Setup::default() });
    let [row] = &rows[..] else { panic!("{rows:#?}") };
    assert_eq!((row.verdict, row.flaky), (Verdict::Pass, true), "{row:#?}");
    let verdicts: Vec<Verdict> = row.attempts.iter().map(|attempt| attempt.verdict).collect();
    assert_eq!(verdicts, [Verdict::Fail, Verdict::Fail, Verdict::Pass]);
    assert_eq!(row.attempts[0].reason.as_deref(), Some("third attempt: expected true, got false"));
}

#[test]
fn a_failing_row_is_retried_as_often_as_requested() {
    if !vm_or_skip() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let subject = tiny_program(&dir.path().join("modprobe"), EXIT_0);
    let subject = ["--subject", subject.to_str().unwrap()];
    let (code, report_) = report(&[&subject[..], &["load.by-name", "--retries", "2"]].concat());
    let row = &report_.results[0];
    assert_eq!((code, row.verdict, row.flaky, row.attempts.len()), (Some(1), Verdict::Fail, false, 3), "{row:#?}");

    let ids = ["load.by-name", "load.options", "config.blacklist", "--fail-fast"];
    let (code, report_) = report(&[&subject[..], &ids].concat());
    let end = report_.end.unwrap();
    assert_eq!((code, report_.results.len(), end.stopped, end.interrupted, end.not_run), (Some(1), 1, true, false, 2));
}

#[test]
fn a_row_is_repeated_as_often_as_requested() {
    if vm_or_skip() {
        let (code, report) = report(&["path.newline", "--repeat", "3"]);
        let row = &report.results[0];
        assert_eq!((code, report.results.len(), row.verdict, row.attempts.len()), (Some(0), 1, Verdict::Pass, 3));
        assert!(!row.flaky);
    }
}

#[test]
fn the_same_seed_gives_the_same_order() {
    if !vm_or_skip() {
        return;
    }
    let ids = ["path.newline", "path.empty-disables", "path.next-request", "tool.no-open-descriptors"];
    let order = |seed: &str| {
        let output = run(&[&["run", "--jobs", "1", "--seed", seed], &ids[..]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("seed {seed}")), "{text}");
        let words = text.lines().filter(|line| line.starts_with(" pass")).map(|line| line.split_whitespace().nth(1));
        words.map(|id| id.unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = order("1");
    assert_eq!(first.len(), 4, "{first:?}");
    assert_eq!(first, order("1"));
    assert!((2..8).any(|seed| order(&seed.to_string()) != first));
}
