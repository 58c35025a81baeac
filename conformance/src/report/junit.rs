//! JUnit XML: one suite per kernel and subject. Fail is `failure`, error is `error`, skip is `skipped`. Known is a passed
//! case with the reason in the property `known`. A
//! listed mismatch is a property `deviation`.

use super::document;
use super::format::{Format, InRuns};
use crate::run::event::{Attempt, Row};
use crate::run::verdict::Verdict;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite, XmlString};
use std::io;
use std::time::Duration;

/// The format.
pub(super) const JUNIT: Junit = Junit;

/// JUnit XML.
pub(super) struct Junit;

impl Format for Junit {
    fn name(&self) -> &'static str {
        "junit"
    }

    fn in_runs(&self) -> InRuns {
        InRuns::File { help: "Write a JUnit report", stdout: false }
    }

    fn conversion(&self) -> Option<&'static str> {
        Some("Convert a report to JUnit XML")
    }

    fn render(&self, report: &document::Report, _parameter: Option<&str>) -> io::Result<Vec<u8>> {
        Ok(xml(&report.results)?.into_bytes())
    }
}

/// Returns the rows as JUnit XML.
///
/// # Errors
/// An error from writing XML.
fn xml(rows: &[Row]) -> io::Result<String> {
    let mut report = Report::new("kmodlab");
    let mut suites: Vec<TestSuite> = Vec::new();
    for row in rows {
        let name = format!("{} {}", row.kernel.name, row.subject);
        let at = suites.iter().position(|suite| suite.name.as_str() == name).unwrap_or_else(|| {
            suites.push(TestSuite::new(name));
            suites.len() - 1
        });
        suites[at].add_test_case(case(row));
    }
    report.add_test_suites(suites);
    report.to_string().map_err(io::Error::other)
}

fn case(row: &Row) -> TestCase {
    let reason = row.reason.clone().unwrap_or_default();
    let detail = || {
        let facts = row.facts.iter().map(|fact| {
            let (mark, known) = match &fact.deviation {
                _ if fact.holds => ("  ", String::new()),
                Some(deviation) => ("~ ", format!("; known: {deviation}")),
                None => ("! ", String::new()),
            };
            format!("{mark}{}{known}\n", fact.mismatch())
        });
        let traces = row.findings.iter().flat_map(|finding| finding.trace.iter().chain([&finding.title]));
        let traces = traces.map(|line| format!("{line}\n"));
        let console = row.console.iter().map(|line| format!("{line}\n"));
        XmlString::new(facts.chain(traces).chain(console).collect::<String>())
    };
    let mut status = match row.verdict {
        Verdict::Pass | Verdict::Known => TestCaseStatus::success(),
        Verdict::Skip => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.clone());
            status
        }
        Verdict::Fail | Verdict::Error => {
            let kind = if row.verdict == Verdict::Fail { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(reason.clone()).set_description(detail());
            status
        }
    };
    status.add_reruns(reruns(row));
    let mut case = TestCase::new(row.id.clone(), status);
    case.set_classname(format!("{}.{}", row.kernel.name, row.subject));
    case.set_time(Duration::from_millis(row.wall_ms));
    case.add_property(Property::new("statement", row.statement.clone()));
    case.add_property(Property::new("catalogue", row.catalogue.clone()));
    for finding in &row.findings {
        if let Some(reason) = &finding.allowed {
            case.add_property(Property::new("allowed", format!("{finding} ({reason})")));
        }
    }
    for (fact, deviation) in row.facts.iter().filter_map(|fact| Some((fact, fact.deviation.as_ref()?))) {
        case.add_property(Property::new("deviation", format!("{}; known: {deviation}", fact.mismatch())));
    }
    if row.verdict == Verdict::Known {
        case.add_property(Property::new("known", reason));
    }
    case
}

/// Returns the unsuccessful attempts at a row, without the last one if the row itself is unsuccessful.
fn reruns(row: &Row) -> Vec<TestRerun> {
    let unsuccessful = |attempt: &&Attempt| matches!(attempt.verdict, Verdict::Fail | Verdict::Error);
    let mut attempts: Vec<&Attempt> = row.attempts.iter().filter(unsuccessful).collect();
    if matches!(row.verdict, Verdict::Fail | Verdict::Error) {
        attempts.pop();
    }
    let rerun = |attempt: &Attempt| {
        let fail = attempt.verdict == Verdict::Fail;
        let kind = if fail { NonSuccessKind::Failure } else { NonSuccessKind::Error };
        let mut rerun = TestRerun::new(kind);
        rerun.set_message(attempt.reason.clone().unwrap_or_default());
        rerun.set_time(Duration::from_millis(attempt.wall_ms));
        let lines: String = attempt.console.iter().map(|line| format!("{line}\n")).collect();
        rerun.set_description(lines);
        rerun
    };
    attempts.into_iter().map(rerun).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::run::event::Event;

    #[test]
    fn a_flaky_row_contains_a_flaky_failure() {
        let xml = xml(&[sample::flaky()]).unwrap();
        assert!(xml.contains("<flakyFailure"), "{xml}");
        insta::assert_snapshot!(xml);
    }

    #[test]
    fn each_verdict_has_its_element_and_hostile_text_is_escaped() {
        let rows: Vec<Row> = sample::events()
            .into_iter()
            .filter_map(|event| if let Event::Judged(row) = event { Some(*row) } else { None })
            .collect();
        insta::assert_snapshot!(xml(&rows).unwrap());
    }
}
