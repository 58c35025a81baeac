//! Reports, which consume the events of a run. Each file describes how its format represents the five verdicts.

pub mod compare;
pub mod compare_text;
pub mod differences;
pub mod document;
pub mod format;
pub mod formats;
pub mod html;
pub mod json;
pub mod junit;
pub mod kcidb;
pub mod ktap;
pub mod merge;
pub mod mismatches;
pub mod overview;
pub mod stored;
pub mod terminal;

use crate::run::event::Event;
use crate::text::error_chain;
use document::Report;
use format::Format;
use std::io;
use std::path::PathBuf;

/// Consumes the events of a run.
pub trait Reporter {
    /// Consumes one event.
    ///
    /// # Errors
    /// An error from writing the report.
    fn event(&mut self, event: &Event) -> io::Result<()>;
}

/// A report that is written to a file, or to standard output for `-`, when the run has ended.
pub struct ReportFile {
    report: Report,
    target: PathBuf,
    format: &'static dyn Format,
    parameter: Option<String>,
}

impl ReportFile {
    /// Returns a report to be written to `target`, with the format's parameter if it has one.
    #[must_use]
    pub fn new(target: PathBuf, format: &'static dyn Format, parameter: Option<String>) -> ReportFile {
        ReportFile { report: Report::empty(), target, format, parameter }
    }
}

impl Reporter for ReportFile {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.report.record(event);
        if !matches!(event, Event::Ended(_)) {
            return Ok(());
        }
        write_to(&self.target, &self.format.render(&self.report, self.parameter.as_deref())?)
    }
}

/// Writes a report to a file, or to standard output for `-`.
///
/// # Errors
/// An error from writing.
pub fn write_to(target: &std::path::Path, text: &[u8]) -> io::Result<()> {
    if target.as_os_str() == "-" {
        io::Write::write_all(&mut io::stdout().lock(), text)
    } else {
        write_atomically(target, text)
    }
}

/// Writes a file that appears completely or not at all: a temporary file in the same directory is renamed.
///
/// # Errors
/// An error from writing, with the name of the file.
pub fn write_atomically(path: &std::path::Path, text: &[u8]) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot write {}: {}", path.display(), error_chain(&error)))
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(std::path::Path::new("."));
    // Created and written without tempfile's functions, whose errors also name the temporary file.
    let create = |path: &std::path::Path| std::fs::File::create_new(path);
    let mut file = tempfile::Builder::new().make_in(directory, create).map_err(named)?;
    io::Write::write_all(file.as_file_mut(), text).map_err(named)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(named)?;
    file.persist(path).map_err(|error| named(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwritable_report_is_named_once_without_its_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("gone/report.json");
        let error = write_atomically(&report, b"{}").unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}: No such file or directory", report.display()));
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! A small run for the tests of all reporters.

    use crate::catalogue::entry::About;
    use crate::check::fact::{Fact, ListedDeviation};
    use crate::check::probes::{DecidedBy, Probed};
    use crate::run::engine::merge_retries;
    use crate::run::event::{Event, KernelName, Row, RunEnd, RunInfo, SkippedKernel};
    use crate::run::verdict::Verdict;
    use harness::{Accel, Profile};

    /// Returns a row with this verdict.
    pub fn row(id: &str, verdict: Verdict, reason: Option<&str>) -> Row {
        let holds = !matches!(verdict, Verdict::Fail | Verdict::Known);
        let fact = Fact {
            name: "result".into(),
            expected: "ENOENT".into(),
            got: if holds { "ENOENT" } else { "EACCES" }.into(),
            holds,
            deviation: (verdict == Verdict::Known)
                .then(|| ListedDeviation { reason: "since 4.13".into(), reference: "issue 446".into() }),
        };
        Row {
            position: (0, 0, 0),
            id: id.into(),
            catalogue: "PATH-01".into(),
            group: "path".into(),
            statement: "a statement".into(),
            source: "kernel/umh.c".into(),
            about: About::Kernel,
            kernel: kernel(),
            probes: [("cutoff".into(), Probed { value: "wait-queue".into(), by: DecidedBy::Image })]
                .into_iter()
                .collect(),
            subject: "ours".into(),
            verdict,
            reason: reason.map(Into::into),
            facts: vec![fact],
            guest_ms: Some(12),
            wall_ms: 34,
            console: if verdict == Verdict::Pass { vec![] } else { vec!["a line \\x01 <with> & markup".into()] },
            findings: Vec::new(),
            flaky: false,
            attempts: Vec::new(),
        }
    }

    fn judged(id: &str, verdict: Verdict, reason: Option<&str>) -> Event {
        Event::Judged(Box::new(row(id, verdict, reason)))
    }

    /// Returns a row that passed when it was retried.
    pub fn flaky() -> Row {
        let bad = row("path.six", Verdict::Fail, Some("result: expected ENOENT, got EACCES"));
        merge_retries(vec![bad, row("path.six", Verdict::Pass, None)]).expect("two attempts")
    }

    fn kernel() -> KernelName {
        KernelName { name: "6.1".into(), release: "6.1.0-1-cloud-amd64".into() }
    }

    /// Returns one row of each verdict and a skipped kernel.
    pub fn events() -> Vec<Event> {
        vec![
            Event::Started(RunInfo {
                kmodlab: "0.1.0".into(),
                qemu: "7.2.0".into(),
                accelerator: Accel::Tcg,
                profile: Profile::Faithful,
                virtual_time: true,
                shard: None,
                seed: None,
            }),
            Event::Preparing("kernel 6.1 (6.1.0-1-cloud-amd64)".into()),
            Event::KernelSkipped(SkippedKernel { name: "9.9".into(), reason: "no suite offers it".into() }),
            Event::PairReady { kernel: kernel(), subject: "ours".into(), rows: 5 },
            judged("path.one", Verdict::Pass, None),
            judged("path.two", Verdict::Fail, Some("result: expected ENOENT, got EACCES")),
            judged("path.three", Verdict::Known, Some("since 4.13")),
            judged("path.four", Verdict::Skip, Some("needs a kernel with CONFIG_UNIX=m")),
            judged("path.five", Verdict::Error, Some("the agent did not answer")),
            Event::Ended(RunEnd { wall_ms: 2345, ..RunEnd::default() }),
        ]
    }
}
