//! Reads stored JSON reports and converts them back to the events of their run.

use super::document::{Report, VERSION};
use crate::run::event::Event;
use crate::text;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};

/// A file cannot be used as a report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// It is not a report.
    #[error("{} is not a kmodlab JSON report: {}", path.display(), text::escape(reason.as_bytes()))]
    Format {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// It has a later version.
    #[error("{} has report version {found}, but this kmodlab reads versions 1 to {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// Reads a report. Its counts and its exit code are computed from its rows.
///
/// # Errors
/// [`ReadError`] if the file is not a report, or one of a later version.
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
    // The version is read first, because a later one can have other fields.
    let OnlyVersion { version } = serde_json::from_slice(bytes).map_err(wrong)?;
    if !(1..=VERSION).contains(&version) {
        return Err(ReadError::Version { path: path.to_owned(), found: version });
    }
    let stored: Report = if version == VERSION {
        serde_json::from_slice(bytes).map_err(wrong)?
    } else {
        let mut stored: Value = serde_json::from_slice(bytes).map_err(wrong)?;
        from_version_1(&mut stored);
        serde_json::from_value(stored).map_err(wrong)?
    };
    let mut report = Report::empty();
    stored.events().iter().for_each(|event| report.record(event));
    Ok(report)
}

/// Converts a report of version 1, whose rows have `eras` instead of `probes`.
fn from_version_1(report: &mut Value) {
    let rows = report.get_mut("results").and_then(Value::as_array_mut);
    for row in rows.into_iter().flatten().filter_map(Value::as_object_mut) {
        let eras = row.remove("eras").unwrap_or_default();
        if let (Some(value), Some(by)) = (eras.get("cutoff"), eras.get("cutoff_by")) {
            row.insert("probes".to_owned(), json!({"cutoff": {"value": value, "by": by}}));
        }
    }
}

/// Returns the report with control and invisible characters escaped, for a terminal. Line feeds are kept only in reasons,
/// which can have several lines.
///
/// # Errors
/// An error from serialization.
pub fn printable(report: &Report) -> serde_json::Result<Report> {
    let mut value = serde_json::to_value(report)?;
    escape_texts(&mut value, false);
    serde_json::from_value(value)
}

fn escape_texts(value: &mut Value, keep_lines: bool) {
    match value {
        Value::String(text) => *text = text.chars().map(|c| escape_character(c, keep_lines)).collect(),
        Value::Array(items) => items.iter_mut().for_each(|item| escape_texts(item, keep_lines)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| escape_texts(field, name == "reason")),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn escape_character(c: char, keep_lines: bool) -> String {
    let invisible = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if (c.is_control() && !(keep_lines && c == '\n')) || invisible {
        c.escape_unicode().to_string()
    } else {
        c.to_string()
    }
}

impl Report {
    /// Returns the events of the run, without notes and progress.
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
    use crate::run::verdict::exit;

    fn reread(change: impl Fn(&mut Report)) -> Result<Report, ReadError> {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.record(event));
        change(&mut report);
        parse(&json::text(&report).unwrap(), Path::new("r.json"))
    }

    #[test]
    fn a_report_that_is_read_equals_the_written_one() {
        let mut written = Report::empty();
        sample::events().iter().for_each(|event| written.record(event));
        let read = reread(|_| ()).unwrap();
        assert_eq!(json::text(&read).unwrap(), json::text(&written).unwrap());
    }

    #[test]
    fn a_report_of_version_1_has_its_eras_as_probes() {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.record(event));
        let mut old = serde_json::to_value(&report).unwrap();
        old["version"] = 1.into();
        for row in old["results"].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("probes");
            row["eras"] = json!({"cutoff": "wait-queue", "cutoff_by": "image"});
        }
        old["results"][1]["eras"] = Value::Null;
        let read = parse(old.to_string().as_bytes(), Path::new("r.json")).unwrap();
        assert_eq!((read.version, &read.results[0].probes), (VERSION, &report.results[0].probes));
        assert!(read.results[1].probes.is_empty());
        for damaged in ["[1]", "{\"version\": 1, \"results\": 7}", "{\"version\": 1, \"results\": [7]}"] {
            assert!(parse(damaged.as_bytes(), Path::new("r.json")).is_err(), "{damaged}");
        }
    }

    #[test]
    fn counts_and_exit_code_are_computed_from_the_rows() {
        let read = reread(|report| {
            report.counts.fail = 0;
            report.exit_code = exit::OK;
        });
        let read = read.unwrap();
        assert_eq!((read.counts.fail, read.exit_code), (1, exit::FAILED));
    }

    #[test]
    fn a_report_without_an_end_is_inconclusive() {
        let read = reread(|report| {
            report.end = None;
            report.results.truncate(1);
        });
        assert_eq!(read.unwrap().exit_code, exit::INCONCLUSIVE);
    }

    #[test]
    fn a_printable_report_has_no_control_characters() {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.record(event));
        let row = &mut report.results[0];
        row.subject = "a\x1b[2J\nok 1 forged \u{202e}".into();
        row.reason = Some("one\ntwo\r".into());
        let row = &printable(&report).unwrap().results[0];
        assert_eq!(row.subject, "a\\u{1b}[2J\\u{a}ok 1 forged \\u{202e}");
        assert_eq!(row.reason.as_deref(), Some("one\ntwo\\u{d}"));
    }

    #[test]
    fn a_file_that_is_not_a_report_is_rejected_with_the_reason() {
        let error = |text: &str| parse(text.as_bytes(), Path::new("r.json")).unwrap_err().to_string();
        assert_eq!(error("{\"version\": 9}"), "r.json has report version 9, but this kmodlab reads versions 1 to 2");
        assert_eq!(error("{}"), "r.json is not a kmodlab JSON report: missing field `version` at line 1 column 2");
        assert!(error("{\"version\": 1}").starts_with("r.json is not a kmodlab JSON report: missing field"));
        assert!(error("\u{1b}[2J").starts_with("r.json is not a kmodlab JSON report: expected value"));
    }
}
