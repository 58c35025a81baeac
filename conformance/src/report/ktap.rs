//! KTAP, version 1 (`Documentation/dev-tools/ktap.rst`): one subtest per kernel and subject. Pass is `ok`, a known deviation is
//! `ok … # known: reason`, skip is `ok … # SKIP reason`. Fail and error are `not ok` with a diagnostic line for the reason.

use super::document::Report;
use super::format::{Format, InRuns};
use super::stored;
use crate::run::event::Row;
use crate::run::verdict::Verdict;
use std::io::{self, Write};

/// The format.
pub(super) const KTAP: Ktap = Ktap;

/// KTAP.
pub(super) struct Ktap;

impl Format for Ktap {
    fn name(&self) -> &'static str {
        "ktap"
    }

    fn in_runs(&self) -> InRuns {
        InRuns::Stdout("The kernel's Test Anything Protocol")
    }

    fn conversion(&self) -> Option<&'static str> {
        Some("Convert a report to KTAP, the kernel's Test Anything Protocol")
    }

    fn render(&self, report: &Report, _parameter: Option<&str>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        write(&mut text, &stored::printable(report)?.results)?;
        Ok(text)
    }
}

fn write(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let mut pairs: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let name = format!("{} {}", row.kernel.name, row.subject);
        match pairs.iter_mut().find(|(pair, _)| *pair == name) {
            Some((_, rows)) => rows.push(row),
            None => pairs.push((name, vec![row])),
        }
    }
    writeln!(out, "KTAP version 1\n1..{}", pairs.len())?;
    for (number, (pair, rows)) in pairs.iter().enumerate() {
        writeln!(out, "  KTAP version 1\n  # Subtest: {pair}\n  1..{}", rows.len())?;
        for (number, row) in rows.iter().enumerate() {
            let reason = row.reason.as_deref().map_or_else(String::new, one_line);
            let (word, directive) = result(row.verdict, &reason);
            if word == "not ok" {
                writeln!(out, "  # {}: {}: {reason}", row.id, row.verdict.as_str())?;
            }
            for finding in row.findings.iter().filter(|finding| finding.allowed.is_some()) {
                let reason = finding.allowed.as_deref().map_or_else(String::new, one_line);
                writeln!(out, "  # {}: allowed finding: {finding} ({reason})", row.id)?;
            }
            for (fact, deviation) in row.facts.iter().filter_map(|fact| Some((fact, fact.deviation.as_ref()?))) {
                writeln!(out, "  # {}: known: {}", row.id, one_line(&format!("{}; {deviation}", fact.mismatch())))?;
            }
            for (number, attempt) in row.attempts.iter().enumerate() {
                let reason = attempt.reason.as_deref().map_or_else(String::new, one_line);
                let colon = if reason.is_empty() { "" } else { ": " };
                let (id, all, verdict) = (&row.id, row.attempts.len(), attempt.verdict.as_str());
                writeln!(out, "  # {id}: attempt {} of {all}: {verdict}{colon}{reason}", number + 1)?;
            }
            let directive = if row.flaky && directive.is_empty() { " # flaky" } else { &directive };
            writeln!(out, "  {word} {} {}{directive}", number + 1, row.id)?;
        }
        let failed = rows.iter().any(|row| matches!(row.verdict, Verdict::Fail | Verdict::Error));
        writeln!(out, "{} {} {pair}", if failed { "not ok" } else { "ok" }, number + 1)?;
    }
    Ok(())
}

/// Returns the first word of a result line and the directive at its end.
pub(crate) fn result(verdict: Verdict, reason: &str) -> (&'static str, String) {
    match verdict {
        Verdict::Pass => ("ok", String::new()),
        Verdict::Known => ("ok", format!(" # known: {reason}")),
        Verdict::Skip => ("ok", format!(" # SKIP {reason}")),
        Verdict::Fail | Verdict::Error => ("not ok", String::new()),
    }
}

/// Joins the lines of a text, because each result is one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_flaky_row_shows_its_attempts() {
        let mut out = Vec::new();
        write(&mut out, &[sample::flaky()]).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn each_verdict_has_its_line() {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.record(event));
        insta::assert_snapshot!(String::from_utf8(KTAP.render(&report, None).unwrap()).unwrap());
    }
}
