//! Reports: each consumes the events of a run. How a format names the five verdicts stands in its file.

pub mod compare;
pub mod compare_text;
pub mod differences;
pub mod html;
pub mod json;
pub mod junit;
pub mod kcidb;
pub mod ktap;
pub mod merge;
pub mod stored;
pub mod terminal;

use crate::event::Event;
use json::Report;
use std::io;
use std::path::PathBuf;

/// Consumes the events of a run.
pub trait Reporter {
    /// Something happened.
    ///
    /// # Errors
    /// What writing the report said.
    fn event(&mut self, event: &Event) -> io::Result<()>;
}

/// What a report is as a whole.
pub type Render = Box<dyn Fn(&Report) -> io::Result<Vec<u8>> + Send>;

/// A report that is written once, when the run has ended: to a file, or to standard output for `-`.
pub struct AtEnd {
    report: Report,
    target: PathBuf,
    render: Render,
}

impl AtEnd {
    /// To this place.
    #[must_use]
    pub fn to(target: PathBuf, render: Render) -> AtEnd {
        AtEnd { report: Report::empty(), target, render }
    }
}

impl Reporter for AtEnd {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.report.take(event);
        if !matches!(event, Event::Ended(_)) {
            return Ok(());
        }
        write_to(&self.target, &(self.render)(&self.report)?)
    }
}

/// Writes a whole report to a file, or to standard output for `-`.
///
/// # Errors
/// What writing said.
pub fn write_to(target: &std::path::Path, text: &[u8]) -> io::Result<()> {
    if target.as_os_str() == "-" {
        io::Write::write_all(&mut io::stdout().lock(), text)
    } else {
        write_whole(target, text)
    }
}

/// A file report that appears whole or not at all: it is written beside its place and renamed.
///
/// # Errors
/// What writing said, with the file's name.
pub fn write_whole(path: &std::path::Path, text: &[u8]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(std::path::Path::new("."))).map_err(named)?;
    io::Write::write_all(&mut file, text).map_err(named)?;
    // A report is for others to read; the temporary file is for its owner alone.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(named)?;
    file.persist(path).map_err(|error| named(error.error))?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod sample {
    //! A small run that every reporter's test tells.

    use crate::engine::merge_retries;
    use crate::era::{CutOff, DecidedBy, Eras};
    use crate::event::{Event, KernelName, Row, RunEnd, RunInfo, SkippedKernel};
    use crate::fact::Fact;
    use crate::verdict::Verdict;

    /// A row with this verdict.
    pub fn row(id: &str, verdict: Verdict, reason: Option<&str>) -> Row {
        let fact = |holds| Fact {
            name: "result".into(),
            expected: "ENOENT".into(),
            got: if holds { "ENOENT" } else { "EACCES" }.into(),
            holds,
        };
        Row {
            position: (0, 0, 0),
            id: id.into(),
            catalogue: "PATH-01".into(),
            group: "path".into(),
            statement: "what is promised".into(),
            source: "kernel/umh.c".into(),
            about: "kernel".into(),
            kernel: kernel(),
            eras: Some(Eras { cutoff: CutOff::WaitQueue, cutoff_by: DecidedBy::Image }),
            subject: "ours".into(),
            verdict,
            reason: reason.map(Into::into),
            facts: vec![fact(verdict != Verdict::Fail)],
            guest_ms: Some(12),
            wall_ms: 34,
            console: if verdict == Verdict::Pass { vec![] } else { vec!["last \\x01 <words> & more".into()] },
            findings: Vec::new(),
            flaky: false,
            attempts: Vec::new(),
        }
    }

    fn judged(id: &str, verdict: Verdict, reason: Option<&str>) -> Event {
        Event::Judged(Box::new(row(id, verdict, reason)))
    }

    /// A row that passed when it was tried again.
    pub fn flaky() -> Row {
        let bad = row("path.six", Verdict::Fail, Some("result: expected ENOENT, got EACCES"));
        merge_retries(vec![bad, row("path.six", Verdict::Pass, None)]).expect("two attempts")
    }

    fn kernel() -> KernelName {
        KernelName { name: "6.1".into(), release: "6.1.0-1-cloud-amd64".into() }
    }

    /// One row of each verdict, and a kernel that was left out.
    pub fn events() -> Vec<Event> {
        vec![
            Event::Started(RunInfo {
                kmodlab: "0.1.0".into(),
                qemu: "7.2.0".into(),
                accelerator: "tcg".into(),
                profile: "faithful".into(),
                virtual_time: true,
                shard: None,
                seed: None,
            }),
            Event::Preparing("booting 6.1 with ours".into()),
            Event::KernelSkipped(SkippedKernel { name: "9.9".into(), reason: "no suite offers it".into() }),
            Event::PairReady { kernel: kernel(), subject: "ours".into(), rows: 5 },
            judged("path.one", Verdict::Pass, None),
            judged("path.two", Verdict::Fail, Some("result: expected ENOENT, got EACCES")),
            judged("path.three", Verdict::Known, Some("since 4.13")),
            judged("path.four", Verdict::Skip, Some("needs a kernel with CONFIG_UNIX=m")),
            judged("path.five", Verdict::Error, Some("the guest fell silent")),
            Event::Ended(RunEnd { interrupted: false, stopped: false, not_run: 0, wall_ms: 2345 }),
        ]
    }
}
