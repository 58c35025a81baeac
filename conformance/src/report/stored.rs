//! JSON reports that were written before: read back, and told again as the events of their run.

use super::json::{Report, VERSION};
use crate::event::Event;
use crate::text;
use serde::Deserialize;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// A file that is no report that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no JSON report of kmodlab: {}", path.display(), text::escape(reason.as_bytes()))]
    Format {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It is of another version.
    #[error("{} is a report of version {found}; this kmodlab reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// Reads a report. Its counts and its exit code are made anew from its rows.
///
/// # Errors
/// [`ReadError`] if the file is no report of this version.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    let bytes = std::fs::read(path).map_err(|source| ReadError::Read { path: path.to_owned(), source })?;
    parse(&bytes, path)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Report, ReadError> {
    #[derive(Deserialize)]
    struct OnlyVersion {
        version: u32,
    }
    let wrong = |error: serde_json::Error| ReadError::Format { path: path.to_owned(), reason: error.to_string() };
    // The version first: what else a later one has is unknown.
    let OnlyVersion { version } = serde_json::from_slice(bytes).map_err(wrong)?;
    if version != VERSION {
        return Err(ReadError::Version { path: path.to_owned(), found: version });
    }
    let stored: Report = serde_json::from_slice(bytes).map_err(wrong)?;
    let mut report = Report::empty();
    stored.events().iter().for_each(|event| report.take(event));
    Ok(report)
}

/// The report for a stream that acts on what it is sent: in its texts, characters that are not to be seen stand as numbers,
/// and ends of lines only where there may be several lines.
///
/// # Errors
/// What making JSON of it says.
pub fn tamed(report: &Report) -> serde_json::Result<Report> {
    let mut value = serde_json::to_value(report)?;
    tame(&mut value, false);
    serde_json::from_value(value)
}

fn tame(value: &mut Value, lines: bool) {
    match value {
        Value::String(text) => *text = text.chars().map(|c| tame_character(c, lines)).collect(),
        Value::Array(items) => items.iter_mut().for_each(|item| tame(item, lines)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| tame(field, name == "reason")),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn tame_character(c: char, lines: bool) -> String {
    let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if (c.is_control() && !(lines && c == '\n')) || turns { c.escape_unicode().to_string() } else { c.to_string() }
}

impl Report {
    /// The events of which it was made, without those that only say what is being done.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        events.extend(self.run.clone().map(Event::Started));
        events.extend(self.skipped_kernels.iter().cloned().map(Event::KernelSkipped));
        events.extend(self.results.iter().cloned().map(|row| Event::Judged(Box::new(row))));
        events.extend(self.end.clone().map(Event::Ended));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{json, sample};
    use crate::verdict::exit;

    fn reread(change: impl Fn(&mut Report)) -> Result<Report, ReadError> {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.take(event));
        change(&mut report);
        parse(&json::text(&report).unwrap(), Path::new("r.json"))
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let mut written = Report::empty();
        sample::events().iter().for_each(|event| written.take(event));
        let read = reread(|_| ()).unwrap();
        assert_eq!(json::text(&read).unwrap(), json::text(&written).unwrap());
    }

    #[test]
    fn counts_and_exit_code_are_those_of_the_rows_whatever_the_file_says() {
        let read = reread(|report| {
            report.counts.fail = 0;
            report.exit_code = exit::OK;
        });
        let read = read.unwrap();
        assert_eq!((read.counts.fail, read.exit_code), (1, exit::FAILED));
    }

    #[test]
    fn a_report_without_its_end_is_not_judged() {
        let read = reread(|report| {
            report.end = None;
            report.results.truncate(1);
        });
        assert_eq!(read.unwrap().exit_code, exit::INCONCLUSIVE);
    }

    #[test]
    fn a_tamed_report_does_nothing_to_a_terminal() {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.take(event));
        let row = &mut report.results[0];
        row.subject = "a\x1b[2J\nok 1 forged \u{202e}".into();
        row.reason = Some("one\ntwo\r".into());
        let row = &tamed(&report).unwrap().results[0];
        assert_eq!(row.subject, "a\\u{1b}[2J\\u{a}ok 1 forged \\u{202e}");
        assert_eq!(row.reason.as_deref(), Some("one\ntwo\\u{d}"));
    }

    #[test]
    fn what_is_no_report_is_refused_with_its_reason() {
        let error = |text: &str| parse(text.as_bytes(), Path::new("r.json")).unwrap_err().to_string();
        assert_eq!(error("{\"version\": 9}"), "r.json is a report of version 9; this kmodlab reads version 1");
        assert_eq!(error("{}"), "r.json is no JSON report of kmodlab: missing field `version` at line 1 column 2");
        assert!(error("{\"version\": 1}").starts_with("r.json is no JSON report of kmodlab: missing field"));
        assert!(error("\u{1b}[2J").starts_with("r.json is no JSON report of kmodlab: expected value"));
    }
}
