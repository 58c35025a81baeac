//! JSON: the source of every other report. docs/reports.md describes its fields; `version` changes when one
//! changes its meaning. Written once, at the end.

use super::{Reporter, write_whole};
use crate::event::{Event, Row, RunEnd, RunInfo, SkippedKernel};
use crate::verdict::{self, Verdict};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::PathBuf;

/// Version of the format.
pub const VERSION: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The lab.
    pub run: Option<RunInfo>,
    /// What was judged.
    pub results: Vec<Row>,
    /// Kernels that were left out.
    pub skipped_kernels: Vec<SkippedKernel>,
    /// How many of each verdict.
    pub counts: Counts,
    /// How it ended.
    pub end: Option<RunEnd>,
    /// The exit code.
    pub exit_code: u8,
}

/// How many of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Passed.
    pub pass: usize,
    /// Failed.
    pub fail: usize,
    /// Known deviations.
    pub known: usize,
    /// Skipped.
    pub skip: usize,
    /// Could not be judged.
    pub error: usize,
    /// Of all these, came out differently when tried more than once.
    #[serde(default)]
    pub flaky: usize,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => self.pass += 1,
            Verdict::Fail => self.fail += 1,
            Verdict::Known => self.known += 1,
            Verdict::Skip => self.skip += 1,
            Verdict::Error => self.error += 1,
        }
    }
}

impl Report {
    /// Nothing yet.
    #[must_use]
    pub fn empty() -> Report {
        Report {
            version: VERSION,
            run: None,
            results: Vec::new(),
            skipped_kernels: Vec::new(),
            counts: Counts::default(),
            end: None,
            exit_code: verdict::exit::UNJUDGED,
        }
    }

    /// Takes in one event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Started(info) => self.run = Some(info.clone()),
            Event::KernelSkipped(kernel) => self.skipped_kernels.push(kernel.clone()),
            Event::Judged(row) => {
                self.counts.add(row.verdict);
                self.counts.flaky += usize::from(row.flaky);
                self.results.push((**row).clone());
            }
            Event::Ended(end) => {
                self.results.sort_by_key(|row| row.place);
                self.exit_code = verdict::exit_code(self.results.iter().map(|row| row.verdict), end.interrupted);
                self.end = Some(end.clone());
            }
            Event::Preparing(_) | Event::Note(_) | Event::PairReady { .. } => {}
        }
    }
}

/// Writes the JSON report to a file, or to standard output for `-`.
pub struct Json {
    report: Report,
    target: PathBuf,
}

impl Json {
    /// To this place.
    #[must_use]
    pub fn to(target: PathBuf) -> Json {
        Json { report: Report::empty(), target }
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.report.take(event);
        if !matches!(event, Event::Ended(_)) {
            return Ok(());
        }
        let mut text = serde_json::to_vec_pretty(&self.report)?;
        text.push(b'\n');
        if self.target.as_os_str() == "-" {
            io::stdout().lock().write_all(&text)
        } else {
            write_whole(&self.target, &text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_report_reads_as_it_was_written() {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.take(event));
        insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
        let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again.counts, Counts { pass: 1, fail: 1, known: 1, skip: 1, error: 1, flaky: 0 });
    }
}
