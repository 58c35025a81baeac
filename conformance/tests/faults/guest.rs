//! Guests that talk nonsense, played by a stand-in for QEMU: nothing is believed, everything is bounded, and each is an error
//! that says what was wrong.

use crate::sandbox::Sandbox;
use crate::support::lab::{Setup, run};
use conformance::behaviour::{About, Behaviour, Group};
use conformance::event::Row;
use conformance::verdict::Verdict;
use harness::WallLimits;
use std::time::{Duration, Instant};

/// Asks the guest for something; a guest that answers must say what a path is.
static ASKS: Behaviour = Behaviour {
    id: "tool.asks",
    catalogue: "TEST",
    group: Group::Tool,
    statement: "the guest answers",
    source: "this test",
    about: About::Kernel,
    needs: &[],
    check: |lab| {
        lab.expect("before", 1, 1);
        lab.path().map(drop)
    },
};

/// What becomes of a guest that does this. It must be judged within the lab's own limits.
fn judged(mode: &str) -> Option<Row> {
    let sandbox = Sandbox::open()?;
    let second = Duration::from_secs(1);
    let qemu = sandbox.fake_qemu(mode);
    let setup = Setup {
        qemu: Some(&qemu),
        mark: &sandbox.mark,
        cold: true,
        // A stand-in that greets does so at once; on a loaded machine its start may take a while.
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

fn is_error_that_says(mode: &str, what: &str) {
    let Some(row) = judged(mode) else { return };
    assert_eq!(row.verdict, Verdict::Error, "{row:#?}");
    assert!(row.reason.as_ref().is_some_and(|reason| reason.contains(what)), "{row:#?}");
    assert!(row.console.len() <= 41, "{} lines", row.console.len());
}

#[test]
fn a_guest_that_stays_silent_is_an_error_in_time() {
    is_error_that_says("silent", "did not answer within 2 s of boot");
}

#[test]
fn a_guest_that_sends_noise_is_not_believed() {
    is_error_that_says("noise", "did not answer within 2 s of boot");
}

#[test]
fn a_guest_that_sends_half_a_frame_is_not_believed() {
    is_error_that_says("half-a-frame", "did not answer within 2 s of boot");
}

#[test]
fn a_frame_that_holds_no_reply_is_an_error() {
    is_error_that_says("no-reply", "the agent's first message is not a greeting");
}

#[test]
fn an_agent_with_another_protocol_version_is_an_error() {
    is_error_that_says("other-version", "speaks protocol version");
}

#[test]
fn a_guest_that_falls_silent_is_an_error_in_time() {
    is_error_that_says("falls-silent", "did not answer within");
}

#[test]
fn a_reply_of_another_number_answers_nothing() {
    is_error_that_says("wrong-numbers", "did not answer within");
}

#[test]
fn a_reply_that_does_not_fit_the_request_is_an_error() {
    is_error_that_says("answers-nonsense", "unexpected reply");
}

#[test]
fn a_guest_that_floods_its_console_is_judged_in_time_and_its_log_stays_bounded() {
    is_error_that_says("floods", "did not answer within");
}

#[test]
fn a_guest_that_floods_the_agents_port_is_judged_in_time() {
    // A greeting that nobody has taken yet may be among the replies that are dropped.
    is_error_that_says("floods-the-agents-port", "answer");
}

#[test]
fn a_control_port_that_talks_nonsense_is_an_error() {
    is_error_that_says("control-garbage", "qmp_capabilities");
}
