//! Broken guests, played by a fake QEMU: no invalid data is accepted, all limits are kept, and each guest is an error that
//! says what is wrong.

use crate::sandbox::Sandbox;
use crate::support::lab::{Setup, entry, run};
use conformance::catalogue::entry::Entry;
use conformance::run::event::Row;
use conformance::run::verdict::Verdict;
use harness::WallLimits;
use std::time::{Duration, Instant};

/// Sends the guest a request.
static ASKS: Entry = entry("tool.asks", "the guest answers", |lab| {
    lab.expect("before", 1, 1);
    lab.path().map(drop)
});

/// Returns the row of a guest in this mode. The lab's limits must end it.
fn row_of(mode: &str) -> Option<Row> {
    let sandbox = Sandbox::open()?;
    let second = Duration::from_secs(1);
    let qemu = sandbox.fake_qemu(mode);
    let setup = Setup {
        qemu: Some(&qemu),
        mark: &sandbox.mark,
        cold: true,
        // A fake QEMU that greets does so at once, but its start may take a while on a loaded machine.
        limits: WallLimits {
            boot: if greets(mode) { 60 * second } else { 2 * second },
            restore: second,
            shutdown: second,
        },
        limit: 3 * second,
        ..Setup::default()
    };
    let begun = Instant::now();
    let mut rows = run(vec![&ASKS], &setup);
    assert!(begun.elapsed() < 60 * second, "{:?}", begun.elapsed());
    sandbox.nothing_is_left();
    assert_eq!(rows.len(), 1);
    Some(rows.remove(0))
}

fn greets(mode: &str) -> bool {
    !matches!(mode, "silent" | "noise" | "half-a-frame" | "control-garbage")
}

fn assert_error(mode: &str, what: &str) {
    assert_one_of_errors(mode, &[what]);
}

/// Checks that a guest in this mode is an error whose reason contains one of `texts`.
fn assert_one_of_errors(mode: &str, texts: &[&str]) {
    let Some(row) = row_of(mode) else { return };
    assert_eq!(row.verdict, Verdict::Error, "{row:#?}");
    let reason = row.reason.as_deref().unwrap_or_default();
    assert!(texts.iter().any(|text| reason.contains(text)), "{row:#?}");
    assert!(row.console.len() <= 41, "{} lines", row.console.len());
}

#[test]
fn a_silent_guest_is_an_error_within_the_limit_of_a_boot() {
    assert_error("silent", "did not answer within 2 s of boot");
}

#[test]
fn noise_from_a_guest_is_ignored() {
    assert_error("noise", "did not answer within 2 s of boot");
}

#[test]
fn half_a_frame_from_a_guest_is_ignored() {
    assert_error("half-a-frame", "did not answer within 2 s of boot");
}

#[test]
fn a_frame_without_a_reply_is_an_error() {
    assert_error("no-reply", "the agent's first message is not a greeting");
}

#[test]
fn an_agent_with_another_protocol_version_is_an_error() {
    assert_error("other-version", "speaks protocol version");
}

#[test]
fn a_guest_that_stops_answering_is_an_error_within_the_behaviours_limit() {
    assert_error("falls-silent", "did not answer within");
}

#[test]
fn a_reply_with_a_wrong_sequence_number_is_ignored() {
    assert_error("wrong-numbers", "did not answer within");
}

#[test]
fn a_reply_that_does_not_fit_the_request_is_an_error() {
    assert_error("unexpected-replies", "unexpected reply");
}

#[test]
fn a_flooded_console_is_an_error_within_the_behaviours_limit_and_its_log_is_bounded() {
    assert_error("floods", "did not answer within");
}

#[test]
fn a_flooded_agent_port_is_an_error_within_the_behaviours_limit() {
    // The dropped replies may include a greeting that was not read yet.
    assert_one_of_errors("floods-the-agents-port", &["did not answer", "the agent's first message is not a greeting"]);
}

#[test]
fn garbage_on_the_control_port_is_an_error() {
    assert_error("control-garbage", "qmp_capabilities");
}
