//! The engine on guests that break: each ends with the right verdict, and no guest is left.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use agent::proto::{Action, Caller, GuestMillis};
use conformance::catalogue::entry::{Check, Entry};
use conformance::check::lab::Lab;
use conformance::run::allowed_findings::AllowedFindings;
use conformance::run::verdict::Verdict;
use harness::WallLimits;
use std::time::Duration;
use support::lab::{Setup, entry, run};

const fn breaking(id: &'static str, check: fn(&mut Lab<'_>) -> Check) -> Entry {
    entry(id, "a guest breaks", check)
}

static PANICS: Entry = breaking("tool.panics", |lab| {
    lab.expect("before", 1, 1);
    lab.arrange_in_init(Action::Panic).map(|_| ())
});
/// Loads a module whose first instruction is invalid: the child that loads it is killed, the guest continues.
static OOPSES: Entry = breaking("tool.oopses", |lab| {
    let modules = lab.pair().modules.clone().unwrap();
    let mut image = std::fs::read(modules.join("kernel/drivers/net/dummy.ko")).unwrap();
    support::crash_in_init(&mut image);
    lab.expect("before", 1, 1);
    let _killed = lab.observe(Action::InitModule { image, params: Vec::new() });
    let answers = lab.path()?.len() > 1;
    lab.expect("the guest answers", answers, true);
    Ok(())
});
static LOSES_QEMU: Entry = breaking("tool.loses-qemu", |lab| {
    lab.expect("before", 1, 1);
    support::children_with(LOST).iter().for_each(|child| support::kill_by_line(child));
    lab.path().map(drop)
});
/// The mark of the guest whose QEMU is killed.
const LOST: &str = "kmodlab.test=loses-qemu";
static RESETS: Entry = breaking("tool.resets", |lab| {
    lab.expect("before", 1, 1);
    lab.arrange_in_init(Action::Reset).map(|_| ())
});
static HANGS: Entry = breaking("tool.hangs", |lab| {
    lab.expect("before", 1, 1);
    lab.arrange_in_init(Action::Hang).map(|_| ())
});
static PANICS_ITSELF: Entry = breaking("tool.our-panic", |lab| {
    lab.expect("before", 1, 1);
    panic!("a bug in the check")
});
static DIES_LATE: Entry = breaking("tool.dies-late", |lab| {
    lab.expect("before", 1, 1);
    // A child crashes the kernel, and the check does not notice.
    let jobs = lab.start(Caller::default(), vec![Action::Panic], 1)?;
    let _ = lab.wait(jobs[0], GuestMillis(5000));
    Ok(())
});
static SAYS_NOTHING: Entry = breaking("tool.says-nothing", |_| Ok(()));

#[test]
fn a_broken_guest_gets_its_verdict_and_is_not_left() {
    if !support::vm_or_skip() {
        return;
    }
    let all = vec![&PANICS, &OOPSES, &RESETS, &SAYS_NOTHING, &PANICS_ITSELF, &DIES_LATE];
    let rows = run(all, &Setup { mark: "kmodlab.test=breaks", ..Setup::default() });
    let got: Vec<(&str, Verdict)> = rows.iter().map(|row| (row.id.as_str(), row.verdict)).collect();
    let expected = [
        ("tool.dies-late", Verdict::Fail),
        ("tool.oopses", Verdict::Fail),
        ("tool.our-panic", Verdict::Error),
        ("tool.panics", Verdict::Fail),
        ("tool.resets", Verdict::Error),
        ("tool.says-nothing", Verdict::Error),
    ];
    assert_eq!(got, expected, "{rows:#?}");
    let row = |id: &str| rows.iter().find(|row| row.id == id).unwrap();
    let says = |id: &str, what: &str| row(id).reason.as_ref().is_some_and(|reason| reason.contains(what));
    // The trace of a panic can be longer than the last lines of the console; the finding has its header.
    let shows = |id: &str, what: &str| {
        let row = row(id);
        let traces = row.findings.iter().flat_map(|finding| &finding.trace);
        row.console.iter().chain(traces).any(|line| line.contains(what))
    };
    assert!(shows("tool.dies-late", "Kernel panic"), "{rows:#?}");
    assert!(says("tool.our-panic", "a bug in the check"), "{rows:#?}");
    assert!(says("tool.panics", "panic") && shows("tool.panics", "Kernel panic"), "{rows:#?}");
    assert!(says("tool.oopses", "oops: invalid opcode"), "{rows:#?}");
    // The finding contains its lines of the console, from its header to its end.
    let [finding] = &row("tool.oopses").findings[..] else { panic!("{rows:#?}") };
    let has = |what: &str| finding.trace.iter().any(|line| line.contains(what));
    assert!(finding.kind == harness::Kind::Oops && has("Call Trace:") && has("end trace"), "{finding:#?}");
}

#[test]
fn an_allowed_finding_is_reported_with_its_reason_and_fails_nothing() {
    if !support::vm_or_skip() {
        return;
    }
    let list = "[[finding]]\nreleases = \"*\"\nkind = \"oops\"\ntitle = \"invalid opcode*\"\nreason = \"this test\"\n";
    let setup = |list: &str| Setup {
        mark: "kmodlab.test=allowed",
        allowed: AllowedFindings::parse("test", list).unwrap(),
        ..Setup::default()
    };
    let rows = run(vec![&OOPSES], &setup(list));
    assert_eq!(
        (rows[0].verdict, rows[0].findings[0].allowed.as_deref()),
        (Verdict::Pass, Some("this test")),
        "{rows:#?}"
    );
    let rows = run(vec![&OOPSES], &setup(&list.replace("releases = \"*\"", "releases = \"1.*\"")));
    assert_eq!((rows[0].verdict, rows[0].findings[0].allowed.as_deref()), (Verdict::Fail, None), "{rows:#?}");
}

#[test]
fn a_qemu_killed_while_a_check_runs_is_an_error() {
    if !support::vm_or_skip() {
        return;
    }
    let rows = run(vec![&LOSES_QEMU], &Setup { mark: LOST, ..Setup::default() });
    assert_eq!(rows[0].verdict, Verdict::Error);
    let killed = |reason: &String| reason.contains("QEMU was killed by signal 9");
    assert!(rows[0].reason.as_ref().is_some_and(killed), "{:#?}", rows[0]);
}

#[test]
fn a_hung_guest_is_an_error_within_the_behaviours_limit() {
    if !support::vm_or_skip() {
        return;
    }
    let limits = WallLimits { shutdown: Duration::from_secs(1), ..Setup::default().limits };
    let setup = Setup { mark: "kmodlab.test=hangs", limits, limit: Duration::from_secs(5), ..Setup::default() };
    let rows = run(vec![&HANGS], &setup);
    assert_eq!(rows[0].verdict, Verdict::Error);
    assert!(rows[0].reason.as_ref().is_some_and(|reason| reason.contains("did not answer")), "{:#?}", rows[0]);
}

#[test]
fn a_kernel_that_does_not_reach_the_agent_is_an_error_with_its_last_lines() {
    if !support::vm_or_skip() {
        return;
    }
    let rows = run(vec![&SAYS_NOTHING], &Setup { mark: "rdinit=/nonexistent", ..Setup::default() });
    assert_eq!(rows[0].verdict, Verdict::Error);
    assert!(rows[0].reason.as_ref().is_some_and(|reason| reason.contains("panic")), "{:#?}", rows[0]);
}
