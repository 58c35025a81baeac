//! Tests of the comparison.

use super::*;
use crate::report::sample;
use crate::run::event::{Event, KernelName, RunEnd, SkippedKernel};

fn row(kernel: &str, id: &str, verdict: Verdict, facts: &[Fact]) -> Row {
    let Some(Event::Judged(row)) = sample::events().into_iter().find(|event| matches!(event, Event::Judged(_))) else {
        panic!("the sample has rows");
    };
    let kernel = KernelName { name: kernel.to_owned(), release: format!("{kernel}.0-x") };
    Row { id: id.to_owned(), kernel, verdict, facts: facts.to_vec(), ..*row }
}

fn fact(got: &str) -> Fact {
    Fact { name: "requested names".into(), expected: "x".into(), got: got.into(), holds: got == "x", deviation: None }
}

fn report(rows: Vec<Row>) -> Report {
    let mut report = Report::empty();
    rows.into_iter().for_each(|row| report.record(&Event::Judged(Box::new(row))));
    report.record(&Event::Ended(RunEnd { wall_ms: 1, ..RunEnd::default() }));
    report
}

fn compared(base: Vec<Row>, head: Vec<Row>) -> Comparison {
    compare(&report(base), &report(head), &BTreeSet::new())
}

fn facts_of(old: Fact, new: Fact) -> Vec<FactChange> {
    let verdict = Verdict::Pass;
    let comparison = compared(vec![row("6.1", "a", verdict, &[old])], vec![row("6.12", "a", verdict, &[new])]);
    comparison.changes.into_iter().flat_map(|change| change.facts).collect()
}

#[test]
fn equal_observations_are_not_a_change_even_if_other_values_were_expected() {
    let other_era = Fact { expected: "y".into(), ..fact("x") };
    assert_eq!(facts_of(fact("x"), other_era), []);
    let (name, base, head) = ("requested names".into(), Some("x".into()), Some("y".into()));
    let changed = FactChange { name, base, head, base_deviation: None, head_deviation: None };
    assert_eq!(facts_of(fact("x"), fact("y")), [changed]);
}

#[test]
fn exit_codes_are_as_documented() {
    let one = |got: &str| vec![row("6.1", "a", Verdict::Pass, &[fact(got)])];
    let error = || vec![row("6.1", "a", Verdict::Error, &[])];
    let skip = || vec![row("6.1", "a", Verdict::Skip, &[])];
    assert_eq!(compared(one("x"), one("x")).exit_code, exit::OK);
    assert_eq!(compared(one("x"), one("y")).exit_code, exit::FAILED);
    assert_eq!(compared(one("x"), error()).exit_code, exit::INCONCLUSIVE);
    assert_eq!(compared(error(), error()).exit_code, exit::INCONCLUSIVE);
    assert_eq!(compared(skip(), skip()).exit_code, exit::INCONCLUSIVE);
    assert_eq!(compared(vec![], vec![]).exit_code, exit::INCONCLUSIVE);
    assert_eq!(compared(one("x"), skip()).exit_code, exit::FAILED);
    let two = |verdict| vec![row("6.1", "a", Verdict::Pass, &[fact("x")]), row("6.1", "b", verdict, &[fact("y")])];
    assert_eq!(compared(two(Verdict::Error), two(Verdict::Error)).exit_code, exit::INCONCLUSIVE);
}

#[test]
fn an_allowed_change_is_reported_and_does_not_count() {
    let one = |got: &str| report(vec![row("6.1", "a", Verdict::Pass, &[fact(got)])]);
    let comparison = compare(&one("x"), &one("y"), &BTreeSet::from(["a".to_owned()]));
    assert_eq!((comparison.changes.len(), comparison.counted(), comparison.exit_code), (1, 0, exit::OK));
}

#[test]
fn an_interrupted_side_makes_the_comparison_inconclusive() {
    let rows = || vec![row("6.1", "a", Verdict::Pass, &[fact("x")])];
    let mut cut = report(rows());
    cut.end = None;
    assert_eq!(compare(&cut, &report(rows()), &BTreeSet::new()).exit_code, exit::INCONCLUSIVE);
}

#[test]
fn single_kernels_are_compared_and_several_are_matched_by_name() {
    let rows =
        |names: &[&str]| names.iter().map(|name| row(name, "a", Verdict::Pass, &[fact("x")])).collect::<Vec<_>>();
    assert_eq!(compared(rows(&["6.1"]), rows(&["6.12"])).compared, 1);
    let comparison = compared(rows(&["6.1", "6.12"]), rows(&["6.12", "7.3"]));
    assert_eq!(comparison.compared, 1);
    let reasons: Vec<_> = comparison.unjudged.iter().map(|row| format!("{}: {}", row.kernel, row.reason)).collect();
    assert_eq!(reasons, ["6.1: missing in the head", "7.3: missing in the base"]);
}

#[test]
fn a_skipped_kernel_is_reported() {
    let rows = || report(vec![row("6.1", "a", Verdict::Pass, &[fact("x")])]);
    let mut head = rows();
    head.skipped_kernels.push(SkippedKernel { name: "9.9".into(), reason: "no suite".into() });
    let comparison = compare(&rows(), &head, &BTreeSet::new());
    assert_eq!(comparison.unjudged[0].reason, "kernel skipped in the head: no suite");
    assert_eq!(comparison.exit_code, exit::INCONCLUSIVE);
}

#[test]
fn the_distance_from_a_range_and_the_release_of_the_kernel_are_not_changes() {
    let late = |got| Fact::within("duration", got, &(0..=10), "ms");
    assert_eq!(facts_of(late(40), late(41)), []);
    assert_eq!(facts_of(late(4), late(41)).len(), 1);
    assert_eq!(facts_of(fact("/lib/modules/6.1.0-x/a"), fact("/lib/modules/6.12.0-x/a")), []);
    assert!(is_range("0 to 10 ms") && !is_range("0 to 10") && !is_range("a to b ms"));
}

#[test]
fn added_and_removed_facts_are_changes_and_repeated_names_are_numbered() {
    let old = row("6.1", "a", Verdict::Pass, &[fact("1"), fact("2")]);
    let new = row("6.1", "a", Verdict::Pass, &[fact("1"), fact("3"), fact("4")]);
    let changes: Vec<_> = changed_facts(&old, &new).into_iter().map(|change| (change.base, change.head)).collect();
    assert_eq!(changes, [(Some("2".into()), Some("3".into())), (None, Some("4".into()))]);
}
