//! JSON, from which all other reports can be generated. docs/reference/reports.md describes its fields. `version` changes
//! if a field changes its meaning. The report is written once, at the end of a run.

use super::format::{Format, InRuns};
use crate::run::event::{Event, Row, RunEnd, RunInfo, SkippedKernel};
use crate::run::verdict::{self, Counts};
use serde::{Deserialize, Serialize};
use std::io;

/// The version of the format.
pub const VERSION: u32 = 2;

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

/// The report of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The lab.
    pub run: Option<RunInfo>,
    /// The rows.
    pub results: Vec<Row>,
    /// The kernels that were skipped.
    pub skipped_kernels: Vec<SkippedKernel>,
    /// The number of rows per verdict.
    pub counts: Counts,
    /// The end of the run; absent if it was killed.
    pub end: Option<RunEnd>,
    /// The exit code.
    pub exit_code: u8,
}

impl Report {
    /// Returns a report without rows.
    #[must_use]
    pub fn empty() -> Report {
        Report {
            version: VERSION,
            run: None,
            results: Vec::new(),
            skipped_kernels: Vec::new(),
            counts: Counts::default(),
            end: None,
            exit_code: verdict::exit::INCONCLUSIVE,
        }
    }

    /// Records one event.
    pub fn record(&mut self, event: &Event) {
        match event {
            Event::Started(info) => self.run = Some(info.clone()),
            Event::KernelSkipped(kernel) => self.skipped_kernels.push(kernel.clone()),
            Event::Judged(row) => {
                self.counts.add(row.verdict);
                self.counts.flaky += usize::from(row.flaky);
                self.results.push((**row).clone());
            }
            Event::Ended(end) => {
                self.results.sort_by_key(|row| row.position);
                self.exit_code = verdict::exit_code(self.results.iter().map(|row| row.verdict), end.is_incomplete());
                self.end = Some(end.clone());
            }
            Event::Preparing(_) | Event::Note(_) | Event::PairReady { .. } => {}
        }
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
    use crate::run::event::ConsoleFinding;
    use crate::run::shard::{Shard, ShardOrigin};
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
