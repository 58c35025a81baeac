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

    /// Returns the constructor of a reporter that writes while the run is in progress; `None` if the format is written at
    /// the end.
    fn live(&self) -> Option<LiveReporter> {
        None
    }
}

/// Makes a reporter that writes to a stream.
pub type LiveReporter = fn(Box<dyn Write + Send>, Style) -> Box<dyn Reporter + Send>;

/// How a reporter writes to a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Use colours and a progress line.
    pub interactive: bool,
    /// Leave out the rows that are as expected.
    pub quiet: bool,
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
pub fn reporter(format: &'static dyn Format, out: Box<dyn Write + Send>, style: Style) -> Box<dyn Reporter + Send> {
    match format.live() {
        Some(live) => live(out, style),
        None => Box::new(Rendered { format, out, report: Report::empty() }),
    }
}

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
