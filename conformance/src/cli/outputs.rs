//! The reports that `kmodlab run` writes: their options, what is wrong with them, and their writers.

use super::args::Format;
use super::error::CliError;
use crate::report::kcidb::{self, Origin};
use crate::report::ktap::Ktap;
use crate::report::terminal::Terminal;
use crate::report::{AtEnd, Render, Reporter, html, json, junit};
use anyhow::anyhow;
use clap::Args as Group;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// Where a run's reports go.
#[derive(Clone, Debug, Default, Group)]
#[command(next_help_heading = "Reports")]
pub struct OutputArgs {
    /// What standard output gets; with ktap the terminal report goes to standard error
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Write a JSON report here; `-` is standard output, and the terminal report then goes to standard error
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a JUnit report here
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write one self-contained HTML page here
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write JSON for KCIDB (schema 5.3) here
    #[arg(long, value_name = "FILE", requires = "kcidb_origin")]
    pub kcidb: Option<PathBuf>,
    /// The name that KCIDB has given to who submits
    #[arg(long, value_name = "NAME")]
    pub kcidb_origin: Option<Origin>,
}

/// JSON.
pub(super) fn as_json() -> Render {
    Box::new(json::text)
}

/// JUnit.
pub(super) fn as_junit() -> Render {
    Box::new(|report| Ok(junit::xml(&report.results)?.into_bytes()))
}

/// KCIDB's JSON.
pub(super) fn as_kcidb(origin: Origin) -> Render {
    Box::new(move |report| kcidb::text(report, &origin))
}

/// HTML.
pub(super) fn as_html() -> Render {
    Box::new(html::page)
}

impl OutputArgs {
    fn json_on_stdout(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }

    /// Wrong use, before anything is fetched or booted.
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.format == Format::Ktap && self.json_on_stdout() {
            return Err(CliError::usage(anyhow!(
                "standard output gets one report: --format ktap or --json -, not both"
            )));
        }
        for (option, path) in [("--junit", &self.junit), ("--html", &self.html), ("--kcidb", &self.kcidb)] {
            if path.as_deref() == Some(Path::new("-")) {
                return Err(CliError::usage(anyhow!(
                    "{option} writes a file: name one (./- for one that is called so)"
                )));
            }
        }
        [&self.json, &self.junit, &self.html, &self.kcidb]
            .into_iter()
            .flatten()
            .try_for_each(|path| can_be_written(path))
    }

    /// Every writer that was asked for, the terminal's first.
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
            all.extend(path.clone().map(|path| Box::new(AtEnd::to(path, render)) as Box<dyn Reporter + Send>));
        }
        all
    }
}

/// Whether a report can be written there when it is made.
pub(super) fn can_be_written(path: &Path) -> Result<(), CliError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The report is written beside its place and renamed: the directory decides.
    let writable = || rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    let reason = match path {
        _ if path == Path::new("-") => return Ok(()),
        _ if path.is_dir() => "it is a directory".to_owned(),
        _ if !directory.is_dir() => format!("{} is no directory", directory.display()),
        _ => match writable() {
            Ok(()) => return Ok(()),
            Err(error) => format!("{}: {}", directory.display(), std::io::Error::from(error)),
        },
    };
    Err(CliError::usage(anyhow!("{} cannot be written: {reason}", path.display())))
}
