//! The document from which every report is made: what a run was, its rows, and how it ended. Its JSON form is the report of
//! `report::json`; docs/reference/reports.md describes the fields.

use crate::run::event::{Event, Row, RunEnd, RunInfo, SkippedKernel};
use crate::run::verdict::{self, Counts};
use serde::{Deserialize, Serialize};

/// The version of the JSON form. It changes if a field changes its meaning.
pub const VERSION: u32 = 2;

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
