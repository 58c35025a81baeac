//! Writes the mismatches of a run that no deviation lists as a table of deviations, whose reasons are still empty. Pure.

use super::document::Report;
use crate::check::fact::Fact;
use crate::run::event::Row;
use crate::run::verdict::Verdict;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A mismatch on some kernels.
#[derive(Debug, PartialEq, Eq)]
struct Mismatch<'a> {
    behaviour: &'a str,
    fact: &'a str,
    /// The subject, if the run had several.
    subject: Option<&'a str>,
    expected: &'a str,
    got: &'a str,
    /// The releases on which it was observed.
    releases: BTreeSet<&'a str>,
}

/// The beginning of a new table.
const HEADER: &str = "\
# Mismatches of a run. Fill in each reason, and the reference if there is one. A table with an empty reason cannot be used.
";

/// Returns the table, and the number of its entries. `before` is the table to which they are added.
#[must_use]
pub fn table(report: &Report, before: Option<&str>) -> (String, usize) {
    let mut text = before.unwrap_or(HEADER).trim_end().to_owned();
    text.push('\n');
    let mismatches = mismatches(report);
    for mismatch in &mismatches {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}", entry(mismatch, report));
    }
    (text, mismatches.len())
}

/// Returns the mismatches in the order of the report.
fn mismatches(report: &Report) -> Vec<Mismatch<'_>> {
    let several = report.results.iter().map(|row| &row.subject).collect::<BTreeSet<_>>().len() > 1;
    let mut all: Vec<Mismatch<'_>> = Vec::new();
    for row in &report.results {
        // A behaviour about the kernel alone runs with the first subject, whichever that is.
        let subject = (several && row.about == crate::catalogue::entry::About::Both).then_some(row.subject.as_str());
        for Fact { name, expected, got, .. } in row.facts.iter().filter(|fact| fact.is_wrong()) {
            let known = all.iter_mut().find(|other| {
                (other.behaviour, other.fact, other.subject, other.got) == (&*row.id, &**name, subject, &**got)
            });
            match known {
                Some(known) => {
                    known.releases.insert(&row.kernel.release);
                }
                None => all.push(Mismatch {
                    behaviour: &row.id,
                    fact: name,
                    subject,
                    expected,
                    got,
                    releases: BTreeSet::from([&*row.kernel.release]),
                }),
            }
        }
    }
    all
}

fn entry(mismatch: &Mismatch<'_>, report: &Report) -> String {
    let Mismatch { behaviour, fact, subject, expected, got, .. } = mismatch;
    let mut text = format!("# expected: {expected}\n[[deviation]]\n");
    let mut key = |name: &str, value: String| {
        let _ = writeln!(text, "{name} = {value}");
    };
    key("behaviour", quoted(behaviour));
    key("fact", quoted(fact));
    if let Some(subject) = subject {
        key("subject", quoted(subject));
    }
    let kernels = kernels(mismatch, report);
    match &kernels[..] {
        [] => {}
        [kernel] => key("kernels", quoted(kernel)),
        several => {
            key("kernels", format!("[{}]", several.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")))
        }
    }
    key("instead", quoted(got));
    key("reason", quoted(""));
    key("reference", quoted(""));
    text
}

/// Returns the conditions on kernels: none if the mismatch was observed on every kernel on which the behaviour was judged.
fn kernels(mismatch: &Mismatch<'_>, report: &Report) -> Vec<String> {
    let judged = |row: &&Row| {
        row.id == mismatch.behaviour
            && mismatch.subject.is_none_or(|subject| row.subject == subject)
            && !matches!(row.verdict, Verdict::Skip | Verdict::Error)
    };
    let others: Vec<&str> = report
        .results
        .iter()
        .filter(judged)
        .map(|row| row.kernel.release.as_str())
        .filter(|release| !mismatch.releases.contains(release))
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    let mut kernels: Vec<String> = Vec::new();
    for release in &mismatch.releases {
        // Two numbers identify a series, unless the run had another kernel of it.
        let series = numbers(release, 2);
        let numbers = if others.iter().any(|other| numbers(other, 2) == series) { numbers(release, 3) } else { series };
        let condition = format!("={numbers}");
        if !kernels.contains(&condition) {
            kernels.push(condition);
        }
    }
    kernels
}

/// Returns the first numbers of a release: `6.1` of `6.1.0-56-cloud-amd64`.
fn numbers(release: &str, count: usize) -> String {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    release[..end].split('.').take(count).collect::<Vec<_>>().join(".")
}

/// Returns a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::deviations::{Deviations, Names, Origin};
    use crate::catalogue::entry::About;
    use crate::report::sample;
    use crate::run::event::Event;
    use vm_images::Catalogue;

    fn row(id: &str, release: &str, subject: &str, facts: &[(&str, &str)]) -> Row {
        let fact = |(name, got): &(&str, &str)| Fact {
            name: (*name).into(),
            expected: "exit 0".into(),
            got: (*got).into(),
            holds: *got == "exit 0",
            deviation: None,
        };
        let mut row = sample::row(id, Verdict::Fail, None);
        row.kernel.release = release.into();
        Row { about: About::Both, subject: subject.into(), facts: facts.iter().map(fact).collect(), ..row }
    }

    fn report(rows: Vec<Row>) -> Report {
        let mut report = Report::empty();
        rows.into_iter().for_each(|row| report.record(&Event::Judged(Box::new(row))));
        report
    }

    #[test]
    fn each_mismatch_becomes_an_entry_without_a_reason() {
        let (facts, right) = ([("modprobe", "exit 1: \"x\" \\x01"), ("rmmod", "exit 0")], [("modprobe", "exit 0")]);
        let report = report(vec![
            row("load.options", "6.1.0-56-cloud-amd64", "./mine", &facts),
            row("load.options", "6.12.1", "./mine", &facts),
            row("unload.builtin", "6.1.0-56-cloud-amd64", "./mine", &[("modprobe", "exit 2")]),
            row("unload.builtin", "6.12.1", "./mine", &right),
            row("unload.builtin", "7.3.0-rc1", "./mine", &[("modprobe", "exit 2")]),
        ]);
        let (text, count) = table(&report, None);
        assert_eq!(count, 2);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_subject_is_named_if_the_run_had_several() {
        let report = report(vec![
            row("load.options", "6.1.0", "./mine", &[("modprobe", "exit 1")]),
            row("load.options", "6.1.0", "ours", &[("modprobe", "exit 0")]),
            Row { about: About::Kernel, ..row("path.newline", "6.1.0", "./mine", &[("write(2)", "EINVAL")]) },
        ]);
        let text = table(&report, None).0;
        assert_eq!(text.matches("subject = \"./mine\"").count(), 1, "{text}");
    }

    #[test]
    fn kernels_of_one_series_are_distinguished_by_a_third_number() {
        let wrong = [("modprobe", "exit 1")];
        let report = report(vec![
            row("load.options", "6.1.170", "./mine", &wrong),
            row("load.options", "6.1.187", "./mine", &[("modprobe", "exit 0")]),
        ]);
        assert!(table(&report, None).0.contains("kernels = \"=6.1.170\""));
    }

    #[test]
    fn entries_are_added_after_an_existing_table() {
        let report = report(vec![row("load.options", "6.1.0", "./mine", &[("modprobe", "exit 1")])]);
        let (text, _) = table(&report, Some("# mine\n\n"));
        assert!(text.starts_with("# mine\n\n# expected: exit 0\n[[deviation]]\n"), "{text}");
        assert_eq!(table(&Report::empty(), Some("# mine\n")), ("# mine\n".to_owned(), 0));
    }

    #[test]
    fn the_table_is_valid_when_its_reasons_are_filled_in() {
        let facts = [("a \"b\" * \\x01", "exit 1: 'x' \"y\"")];
        let text = table(&report(vec![row("load.options", "6.1.0", "./mine", &facts)]), None).0;
        let names = Names::new(&Catalogue::builtin().unwrap());
        let error = Deviations::parse("own.toml", &text, Origin::User, &names).unwrap_err().to_string();
        assert_eq!(error, "own.toml line 8: 'reason' is empty");
        let filled = text.replace("reason = \"\"", "reason = \"because\"");
        let table = Deviations::parse("own.toml", &filled, Origin::User, &names).unwrap();
        assert!(table.entries()[0].names(facts[0].0) && table.entries()[0].accepts(facts[0].1));
    }
}
