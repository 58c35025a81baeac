//! What a format of reports is. A format is one file with one implementation of [`Format`], and one line in
//! `report::formats`.

use super::Reporter;
use super::document::Report;
use crate::run::event::Event;
use std::io::{self, Write};

/// A format of reports.
pub trait Format: Sync {
    /// Returns the name in options and commands, in lower case.
    fn name(&self) -> &'static str;

    /// Returns how `kmodlab run` offers the format.
    fn in_runs(&self) -> InRuns;

    /// Returns the help of `kmodlab report NAME`; `None` if a JSON report cannot be converted to this format.
    fn conversion(&self) -> Option<&'static str>;

    /// Returns the parameter without which the format cannot be written, if there is one.
    fn parameter(&self) -> Option<&'static Parameter> {
        None
    }

    /// Converts a complete report. `parameter` is a value that [`Parameter::check`] accepted.
    ///
    /// # Errors
    /// An error from serialization.
    fn render(&self, report: &Report, parameter: Option<&str>) -> io::Result<Vec<u8>>;

    /// Returns a reporter that writes to `out` while the run is in progress, with colours if `interactive`. A
    /// format that is written at the end gives the stream back.
    ///
    /// # Errors
    /// [`AtEnd`] by default.
    fn live(&self, out: Box<dyn Write + Send>, interactive: bool) -> Result<Box<dyn Reporter + Send>, AtEnd> {
        let _ = interactive;
        Err(AtEnd(out))
    }
}

/// How `kmodlab run` offers a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InRuns {
    /// As a value of `--format`, for standard output; with the help of the value.
    Stdout(&'static str),
    /// As `--NAME FILE`; with the help of the option.
    File {
        /// The help of the option.
        help: &'static str,
        /// Whether `-` as FILE means standard output.
        stdout: bool,
    },
}

/// A parameter of a format.
pub struct Parameter {
    /// The option of `kmodlab report NAME`, without dashes.
    pub option: &'static str,
    /// The option of `kmodlab run`, without dashes.
    pub run_option: &'static str,
    /// The name of the value in the help.
    pub value_name: &'static str,
    /// The help of both options.
    pub help: &'static str,
    /// Returns what is expected if a value is not valid.
    pub check: fn(&str) -> Result<(), String>,
}

/// Returns the reporter that writes this format to a stream.
pub fn reporter(
    format: &'static dyn Format,
    out: Box<dyn Write + Send>,
    interactive: bool,
) -> Box<dyn Reporter + Send> {
    match format.live(out, interactive) {
        Ok(live) => live,
        Err(AtEnd(out)) => Box::new(Rendered { format, out, report: Report::empty() }),
    }
}

/// A stream whose format is written at the end of a run.
pub struct AtEnd(pub Box<dyn Write + Send>);

/// Writes a report when the run has ended.
struct Rendered {
    format: &'static dyn Format,
    out: Box<dyn Write + Send>,
    report: Report,
}

impl Reporter for Rendered {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.report.record(event);
        if matches!(event, Event::Ended(_)) {
            self.out.write_all(&self.format.render(&self.report, None)?)?;
            self.out.flush()?;
        }
        Ok(())
    }
}
