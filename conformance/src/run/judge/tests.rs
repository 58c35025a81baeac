use super::*;
use crate::catalogue::deviations::{Names, Origin};
use vm_images::Catalogue;

/// Returns a fact that is expected to be 1.
fn fact(name: &str, got: &str) -> Fact {
    Fact { name: name.into(), expected: "1".into(), got: got.into(), holds: got == "1", deviation: None }
}

fn names() -> Names {
    Names::new(&Catalogue::builtin().unwrap())
}

/// Returns a table with one entry per line of `FACT | VALUE | REASON`.
fn table(lines: &[&str]) -> Deviations {
    let entry = |line: &&str| {
        let [fact, value, reason] = line.split(" | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        format!(
            "[[deviation]]\nbehaviour = \"path.newline\"\nfact = \"{fact}\"\ninstead = \"{value}\"\nreason = \"{reason}\"\n"
        )
    };
    let text: String = lines.iter().map(entry).collect();
    Deviations::parse("own.toml", &text, Origin::User, &names()).unwrap()
}

fn scope<'a>(subject: &'a str, like: Option<&'a str>) -> Scope<'a> {
    Scope { behaviour: "path.newline", subject, like, release: "6.1.0", probes: &[] }
}

fn judged(end: CheckEnd, facts: &mut [Fact], lines: &[&str]) -> (Verdict, String) {
    let table = table(lines);
    let evidence = Evidence { end, facts, findings: &[] };
    let (verdict, reason) = judge(evidence, &table.of(&scope("ours", None)));
    (verdict, reason.unwrap_or_default())
}

fn finished(mut facts: Vec<Fact>, lines: &[&str]) -> (Verdict, String) {
    judged(CheckEnd::Finished, &mut facts, lines)
}

#[test]
fn a_row_without_mismatches_passes() {
    assert_eq!(finished(vec![fact("a", "1")], &[]), (Verdict::Pass, String::new()));
}

#[test]
fn a_mismatch_that_no_deviation_lists_fails() {
    assert_eq!(finished(vec![fact("a", "1"), fact("b", "2")], &[]), (Verdict::Fail, "b: expected 1, got 2".into()));
}

#[test]
fn a_listed_mismatch_is_known_and_the_fact_has_the_reason() {
    let mut facts = [fact("a", "1"), fact("b", "2")];
    let known = judged(CheckEnd::Finished, &mut facts, &["b | 2 | because"]);
    assert_eq!(known, (Verdict::Known, "because".into()));
    assert_eq!(facts[0].deviation, None);
    assert_eq!(facts[1].deviation, Some(ListedDeviation { reason: "because".into(), reference: String::new() }));
}

#[test]
fn the_reasons_of_several_deviations_are_joined_once_each() {
    let lines = ["a | 2 | one", "b | 3 | two", "c | 2 | one"];
    let facts = vec![fact("a", "2"), fact("b", "3"), fact("c", "2")];
    assert_eq!(finished(facts, &lines), (Verdict::Known, "one; two".into()));
}

#[test]
fn a_mismatch_with_another_value_than_the_listed_one_fails() {
    assert_eq!(
        finished(vec![fact("a", "3")], &["a | 2 | because"]),
        (Verdict::Fail, "a: expected 1, got 3 (own.toml:1 lists 2)".into())
    );
}

#[test]
fn one_unlisted_mismatch_fails_a_row_with_listed_ones() {
    let facts = vec![fact("a", "2"), fact("b", "2")];
    assert_eq!(finished(facts, &["a | 2 | because"]), (Verdict::Fail, "b: expected 1, got 2".into()));
}

#[test]
fn a_deviation_whose_fact_is_as_expected_fails() {
    assert_eq!(
        finished(vec![fact("a", "1")], &["a | 2 | because"]),
        (Verdict::Fail, "the deviation in own.toml:1 does not occur: a: got 1, as expected".into())
    );
}

#[test]
fn a_deviation_whose_fact_was_not_observed_fails() {
    let reason =
        "the deviation in own.toml:6 does not occur: no fact 'exit statu' was observed (nearest: 'exit status')";
    let facts = vec![fact("exit status", "2")];
    assert_eq!(
        finished(facts, &["exit status | 2 | because", "exit statu | 2 | because"]),
        (Verdict::Fail, reason.into())
    );
}

#[test]
fn a_pattern_is_stale_only_if_none_of_its_facts_deviates() {
    let facts = vec![fact("modprobe a", "1"), fact("modprobe b", "2")];
    assert_eq!(finished(facts, &["modprobe * | 2 | because"]).0, Verdict::Known);
    assert_eq!(finished(vec![fact("modprobe a", "1")], &["modprobe * | 2 | because"]).0, Verdict::Fail);
}

#[test]
fn a_measured_value_is_listed_with_a_pattern() {
    assert_eq!(finished(vec![fact("duration", "9134 ms")], &["duration | * ms | because"]).0, Verdict::Known);
}

#[test]
fn an_incomplete_check_does_not_make_a_deviation_stale() {
    let lines = ["a | 2 | because", "b | 2 | because"];
    let end = |end, facts: &mut [Fact]| judged(end, facts, &lines);
    let need = || CheckEnd::NeedUnmet("needs x".into());
    assert_eq!(end(need(), &mut [fact("a", "2")]), (Verdict::Skip, "needs x".into()));
    assert_eq!(end(CheckEnd::LabFailed("no reply".into()), &mut [fact("a", "2")]), (Verdict::Error, "no reply".into()));
    assert_eq!(
        end(need(), &mut [fact("a", "3")]),
        (Verdict::Fail, "a: expected 1, got 3 (own.toml:1 lists 2); then needs x".into())
    );
    assert_eq!(end(CheckEnd::LabFailed("no reply".into()), &mut [fact("c", "2")]).0, Verdict::Fail);
}

#[test]
fn a_check_without_facts_is_an_error() {
    let error = (Verdict::Error, "the check recorded no facts".to_owned());
    assert_eq!(finished(vec![], &[]), error);
    assert_eq!(finished(vec![], &["a | 2 | because"]), error);
}

#[test]
fn two_facts_with_one_name_are_an_error() {
    assert_eq!(
        finished(vec![fact("a", "2"), fact("a", "2")], &["a | 2 | because"]),
        (Verdict::Error, "the check recorded two facts with the name 'a'".into())
    );
    assert_eq!(finished(vec![fact("a", "1"), fact("a", "1")], &[]).0, Verdict::Error, "without a deviation");
}

#[test]
fn a_finding_or_a_crash_fails_whatever_the_facts_are() {
    let table = table(&["a | 2 | because"]);
    let listed = table.of(&scope("ours", None));
    let judged = |end, findings: &[String]| judge(Evidence { end, facts: &mut [fact("a", "2")], findings }, &listed);
    let finding = ["WARNING: x".to_owned()];
    let fail = |reason: &str| (Verdict::Fail, Some(reason.to_owned()));
    assert_eq!(judged(CheckEnd::Finished, &finding), fail("on the console: WARNING: x"));
    assert_eq!(judged(CheckEnd::NeedUnmet("needs x".into()), &finding), fail("on the console: WARNING: x"));
    assert_eq!(judged(CheckEnd::GuestCrashed("panic".into()), &[]), fail("panic"));
}

#[test]
fn a_subject_like_another_one_may_be_right_where_that_one_deviates() {
    let text = "[[deviation]]\nbehaviour = \"path.newline\"\nfact = \"a\"\nsubject = \"kmod-34\"\ninstead = \"2\"\n\
        reason = \"because\"\nreference = \"x\"\n";
    let shipped = Deviations::parse("shipped.toml", text, Origin::Shipped, &names()).unwrap();
    let verdict = |subject, like, got| {
        let evidence = Evidence { end: CheckEnd::Finished, facts: &mut [fact("a", got)], findings: &[] };
        judge(evidence, &shipped.of(&scope(subject, like))).0
    };
    assert_eq!(verdict("./mine", Some("kmod-34"), "2"), Verdict::Known);
    assert_eq!(verdict("./mine", Some("kmod-34"), "1"), Verdict::Pass);
    assert_eq!(verdict("./mine", None, "2"), Verdict::Fail);
    assert_eq!(verdict("kmod-34", None, "1"), Verdict::Fail);
}
