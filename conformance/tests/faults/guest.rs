//! Guests that violate the protocol, simulated by a program that replaces QEMU: each is an error with its reason, and time
//! and memory are bounded.

use crate::sandbox::Sandbox;
use crate::support::lab::{Setup, run};
use conformance::behaviour::{About, Behaviour, Group};
use conformance::event::Row;
use conformance::verdict::Verdict;
use harness::WallLimits;
use std::time::{Duration, Instant};

/// Sends a request to the guest: it asks for the path of modprobe.
static ASKS: Behaviour = Behaviour {
    id: "tool.asks",
    catalogue: "TEST",
    group: Group::Tool,
    statement: "the guest replies",
    source: "this test",
    about: About::Kernel,
    needs: &[],
    check: |lab| {
        lab.expect("before", 1, 1);
        lab.path().map(drop)
    },
};

/// Runs a guest with this fault. It must end within the limits of the lab.
fn row_of(mode: &str) -> Option<Row> {
    let sandbox = Sandbox::open()?;
    let second = Duration::from_secs(1);
    let qemu = sandbox.fake_qemu(mode);
    let setup = Setup {
        qemu: Some(&qemu),
        mark: &sandbox.mark,
        cold: true,
        // A guest that sends a greeting does so immediately, but on a loaded machine it may start slowly.
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

fn is_error_with(mode: &str, what: &str) {
    let Some(row) = row_of(mode) else { return };
    assert_eq!(row.verdict, Verdict::Error, "{row:#?}");
    let reason = row.reason.as_deref().unwrap_or_default();
    assert!(texts.iter().any(|text| reason.contains(text)), "{row:#?}");
    assert!(row.console.len() <= 41, "{} lines", row.console.len());
}

#[test]
fn a_silent_guest_is_an_error_within_the_limit() {
    is_error_with("silent", "did not answer within 2 s of boot");
}

#[test]
fn a_guest_that_sends_noise_is_an_error() {
    is_error_with("noise", "did not answer within 2 s of boot");
}

#[test]
fn a_guest_that_sends_half_a_frame_is_an_error() {
    is_error_with("half-a-frame", "did not answer within 2 s of boot");
}

#[test]
fn a_frame_without_a_reply_is_an_error() {
    is_error_with("no-reply", "the agent's first message is not a greeting");
}

#[test]
fn an_agent_with_another_protocol_version_is_an_error() {
    is_error_with("other-version", "speaks protocol version");
}

#[test]
fn a_guest_that_stops_replying_is_an_error_within_the_limit() {
    is_error_with("falls-silent", "did not answer within");
}

#[test]
fn a_reply_with_another_number_is_ignored() {
    is_error_with("wrong-numbers", "did not answer within");
}

#[test]
fn a_reply_of_the_wrong_kind_is_an_error() {
    is_error_with("answers-nonsense", "unexpected reply");
}

#[test]
fn a_guest_that_floods_its_console_ends_within_the_limit_with_a_bounded_log() {
    is_error_with("floods", "did not answer within");
}

#[test]
fn a_guest_that_floods_the_agents_port_ends_within_the_limit() {
    // An unread greeting may be among the replies that are dropped.
    is_error_with("floods-the-agents-port", "answer");
}

#[test]
fn garbage_on_the_control_port_is_an_error() {
    is_error_with("control-garbage", "qmp_capabilities");
}
