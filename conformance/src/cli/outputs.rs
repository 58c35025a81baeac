//! The reports that `kmodlab run` writes: options, checks of the options, and reporters.

use super::args::Format;
use super::error::CliError;
use crate::report::kcidb::{self, Origin};
use crate::report::ktap::Ktap;
use crate::report::terminal::Terminal;
use crate::report::{Render, ReportFile, Reporter, html, json, junit};
use anyhow::anyhow;
use clap::Args as Group;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// The reports of a run.
#[derive(Clone, Debug, Default, Group)]
#[command(next_help_heading = "Reports")]
pub struct OutputArgs {
    /// Select the report on standard output; with ktap, the terminal report goes to standard error
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Write a JSON report; `-` is standard output, and the terminal report then goes to standard error
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a report for KCIDB (schema 5.3)
    #[arg(long, value_name = "FILE", requires = "kcidb_origin")]
    pub kcidb: Option<PathBuf>,
    /// Set the origin that KCIDB assigned to you
    #[arg(long, value_name = "NAME")]
    pub kcidb_origin: Option<Origin>,
}

/// Renders JSON.
pub(super) fn as_json() -> Render {
    Box::new(json::text)
}

/// Renders JUnit.
pub(super) fn as_junit() -> Render {
    Box::new(|report| Ok(junit::xml(&report.results)?.into_bytes()))
}

/// Renders JSON for KCIDB.
pub(super) fn as_kcidb(origin: Origin) -> Render {
    Box::new(move |report| kcidb::text(report, &origin))
}

/// Renders HTML.
pub(super) fn as_html() -> Render {
    Box::new(html::page)
}

impl OutputArgs {
    fn json_on_stdout(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }

    /// Rejects options that cannot work, before anything is fetched or booted.
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.format == Format::Ktap && self.json_on_stdout() {
            return Err(CliError::usage(anyhow!("--format ktap and --json - both write to standard output"))
                .hint("write the JSON report to a file: --json FILE"));
        }
        for (option, path) in [("--junit", &self.junit), ("--html", &self.html), ("--kcidb", &self.kcidb)] {
            if path.as_deref() == Some(Path::new("-")) {
                let command = option.trim_start_matches("--");
                return Err(CliError::usage(anyhow!("{option} cannot write to standard output"))
                    .hint(format!("give a file, or use `kmodlab report {command}` on a JSON report")));
            }
        }
        [&self.json, &self.junit, &self.html, &self.kcidb]
            .into_iter()
            .flatten()
            .try_for_each(|path| can_be_written(path))
    }

    /// Returns the reporters, the one for the terminal first.
    pub(super) fn reporters(&self) -> Vec<Box<dyn Reporter + Send>> {
        let mut all: Vec<Box<dyn Reporter + Send>> = Vec::new();
        if self.format == Format::Ktap || self.json_on_stdout() {
            all.push(Box::new(Terminal::new(io::stderr(), io::stderr().is_terminal())));
        } else {
            all.push(Box::new(Terminal::new(io::stdout(), io::stdout().is_terminal() && io::stderr().is_terminal())));
        }
        if self.format == Format::Ktap {
            all.push(Box::new(Ktap::new(io::stdout())));
        }
        let files = [(&self.json, as_json()), (&self.junit, as_junit()), (&self.html, as_html())];
        let kcidb = self.kcidb_origin.clone().map(|origin| (&self.kcidb, as_kcidb(origin)));
        for (path, render) in files.into_iter().chain(kcidb) {
            all.extend(path.clone().map(|path| Box::new(ReportFile::new(path, render)) as Box<dyn Reporter + Send>));
        }
        all
    }
}

/// Rejects a path to which no report can be written.
pub(super) fn can_be_written(path: &Path) -> Result<(), CliError> {
    if path == Path::new("-") {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A report is written to a temporary file in the directory and renamed: the directory decides.
    let reason = if path.is_dir() {
        io::Error::from_raw_os_error(libc::EISDIR)
    } else if directory.exists() && !directory.is_dir() {
        io::Error::from_raw_os_error(libc::ENOTDIR)
    } else {
        match rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
            Ok(()) => return Ok(()),
            Err(errno) => errno.into(),
        }
    };
    Err(CliError::usage(anyhow::Error::new(reason).context(format!("cannot write {}", path.display()))))
}
