//! JSON, from which all other reports can be generated. docs/reference/reports.md describes its fields.

use super::document::Report;
use super::format::{Format, InRuns};
use std::io;

/// The format.
pub(super) const JSON: Json = Json;

/// JSON.
pub(super) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn in_runs(&self) -> InRuns {
        let help = "Write a JSON report; `-` is standard output, and the terminal report then goes to standard error";
        InRuns::File { help, stdout: true }
    }

    fn conversion(&self) -> Option<&'static str> {
        None
    }

    fn render(&self, report: &Report, _parameter: Option<&str>) -> io::Result<Vec<u8>> {
        text(report)
    }
}

/// Returns the report as JSON text.
///
/// # Errors
/// An error from serialization.
pub fn text(report: &Report) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fact::ListedDeviation;
    use crate::report::sample;
    use crate::run::event::{ConsoleFinding, Event};
    use crate::run::shard::{Shard, ShardOrigin};
    use crate::run::verdict::Counts;
    use harness::Kind;

    /// Every field of the format occurs here: `ci/schema-check` validates this text.
    #[test]
    fn a_report_can_be_read_back() {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.record(event));
        let mut row = sample::flaky();
        row.findings.push(ConsoleFinding {
            kind: Kind::LockUp,
            title: "BUG: soft lockup - CPU#0 stuck for 22s! [modprobe:71]".into(),
            trace: vec!["Call Trace:".into()],
            boot: true,
            allowed: Some("a slow host".into()),
        });
        row.attempts[0].findings.clone_from(&row.findings);
        if let Some(fact) = row.facts.first_mut() {
            fact.deviation = Some(ListedDeviation { reason: "since 4.13".into(), reference: "kernel/kmod.c".into() });
        }
        report.record(&Event::Judged(Box::new(row)));
        if let Some(run) = &mut report.run {
            run.shard = Some(Shard { index: 1, count: 2, origin: ShardOrigin::User });
            run.seed = Some(7);
        }
        if let Some(end) = &mut report.end {
            (end.stopped, end.not_run) = (true, 3);
        }
        insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
        let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again.counts, Counts { pass: 2, fail: 1, known: 1, skip: 1, error: 1, flaky: 1 });
    }
}
