//! Builds the tools with a fault and runs the behaviours that are expected to fail.

use crate::edit::{self, EditError};
use crate::table::{Entry, root};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What happened to a fault.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It does not compile.
    NotCompiled,
    /// The verdict of each expected behaviour.
    Ran(BTreeMap<String, String>),
}

impl Outcome {
    /// Whether every expected behaviour failed.
    pub fn is_caught(&self) -> bool {
        matches!(self, Outcome::Ran(rows) if !rows.is_empty() && rows.values().all(|verdict| verdict == "fail"))
    }
}

impl Outcome {
    /// Parses what `Display` writes; `None` for a fault that was not run.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "not run" => None,
            "does not compile" => Some(Self::NotCompiled),
            _ => {
                let row = |text: &str| match text.strip_suffix(')').and_then(|text| text.split_once(" (")) {
                    Some((id, verdict)) => (id.to_owned(), verdict.to_owned()),
                    None => (text.to_owned(), "fail".to_owned()),
                };
                Some(Self::Ran(text.split(", ").map(row).collect()))
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome::Ran(rows) = self else { return f.write_str("does not compile") };
        let text =
            rows.iter().map(|(id, verdict)| if verdict == "fail" { id.clone() } else { format!("{id} ({verdict})") });
        f.write_str(&text.collect::<Vec<_>>().join(", "))
    }
}

/// A fault cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file cannot be read or written.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A fault does not fit its file.
    #[error("{id} does not fit the sources")]
    Edit {
        /// The id of the fault.
        id: String,
        /// What is wrong.
        source: EditError,
    },
    /// A program failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// The program.
        program: String,
        /// Its last lines.
        reason: String,
    },
    /// Behaviours fail without a fault.
    #[error("without a fault: {0}")]
    Base(Outcome),
}

fn failed<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RunError + 'a {
    move |source| RunError::File { verb, path: path.to_owned(), source }
}

/// The result of a fault, as it is stored.
#[derive(Deserialize, Serialize)]
struct Stored {
    change: [String; 4],
    kernel: String,
    outcome: Outcome,
}

/// Builds and runs.
///
/// ```text
/// WORK/source/     a copy of the repository
/// WORK/target/     its target directory, with guest/
/// WORK/results/    the results, by the id of the fault
/// ```
#[derive(Debug)]
pub struct Runner<'a> {
    work: &'a Path,
    kmodlab: &'a Path,
    jobs: &'a str,
}

impl<'a> Runner<'a> {
    /// Uses this directory, and this program with N guests at a time.
    pub fn new(work: &'a Path, kmodlab: &'a Path, jobs: &'a str) -> Self {
        Self { work, kmodlab, jobs }
    }

    /// Copies the sources, builds the tools without a fault, and checks that the behaviours pass.
    ///
    /// # Errors
    /// [`RunError`] if anything fails.
    pub fn prepare(&self, entries: &[Entry]) -> Result<(), RunError> {
        self.copy_sources()?;
        self.build()?;
        let kernels: BTreeSet<&str> = entries.iter().map(|entry| entry.fault.kernel.as_str()).collect();
        for kernel in kernels {
            let on_kernel = entries.iter().filter(|entry| entry.fault.kernel == kernel);
            let ids: BTreeSet<&String> = on_kernel.flat_map(|entry| &entry.fault.caught_by).collect();
            let mut rows = self.judge(kernel, ids)?;
            rows.retain(|_, verdict| verdict != "pass");
            if !rows.is_empty() {
                return Err(RunError::Base(Outcome::Ran(rows)));
            }
        }
        Ok(())
    }

    /// Builds the tools with a fault and runs its behaviours.
    ///
    /// # Errors
    /// [`RunError`] if the fault does not fit, or the behaviours cannot be run.
    pub fn fault(&self, entry: &Entry) -> Result<Outcome, RunError> {
        let path = self.work.join("source").join(&entry.fault.file);
        let original = fs::read_to_string(&path).map_err(failed("read", &path))?;
        let edited =
            edit::apply(&original, &entry.fault).map_err(|source| RunError::Edit { id: entry.id.clone(), source })?;
        fs::write(&path, edited).map_err(failed("write", &path))?;
        let outcome = match self.build() {
            Ok(()) => self.judge(&entry.fault.kernel, &entry.fault.caught_by).map(Outcome::Ran),
            Err(RunError::Program { .. }) => Ok(Outcome::NotCompiled),
            Err(error) => Err(error),
        };
        fs::write(&path, original).map_err(failed("write", &path))?;
        let outcome = outcome?;
        self.store(entry, &outcome)?;
        Ok(outcome)
    }

    /// Returns the outcome of the last run of a fault.
    pub fn last(&self, entry: &Entry) -> Option<Outcome> {
        let stored: Stored = serde_json::from_slice(&fs::read(self.result(entry)).ok()?).ok()?;
        (stored.change == change(entry) && stored.kernel == entry.fault.kernel).then_some(stored.outcome)
    }

    fn store(&self, entry: &Entry, outcome: &Outcome) -> Result<(), RunError> {
        let (path, outcome) = (self.result(entry), outcome.clone());
        let stored = Stored { change: change(entry), kernel: entry.fault.kernel.clone(), outcome };
        let text = serde_json::to_string_pretty(&stored).map_err(|error| failed("write", &path)(error.into()))?;
        fs::create_dir_all(self.work.join("results"))
            .and_then(|()| fs::write(&path, text))
            .map_err(failed("write", &path))
    }

    fn result(&self, entry: &Entry) -> PathBuf {
        self.work.join("results").join(format!("{}.json", entry.id))
    }

    /// Copies the files that git lists and whose contents differ, so that cargo compiles only what has changed.
    fn copy_sources(&self) -> Result<(), RunError> {
        let source = self.work.join("source");
        let listed = program(Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]))?;
        for name in String::from_utf8_lossy(&listed).split_terminator('\0') {
            let (from, to) = (root().join(name), source.join(name));
            // A file that is deleted but not yet committed is listed too.
            let Ok(contents) = fs::read(&from) else { continue };
            if fs::read(&to).is_ok_and(|old| old == contents) {
                continue;
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(failed("create", parent))?;
            }
            // fs::copy also copies the permissions: ci/setup is run.
            fs::copy(&from, &to).map_err(failed("write", &to))?;
        }
        Ok(())
    }

    fn build(&self) -> Result<(), RunError> {
        let mut setup = Command::new(self.work.join("source/ci/setup"));
        setup.env("CARGO_TARGET_DIR", self.work.join("target"));
        // The profile of the guest programs makes them small, and each build slow.
        setup.env("CARGO_PROFILE_GUEST_LTO", "false").env("CARGO_PROFILE_GUEST_CODEGEN_UNITS", "16");
        setup.env("CARGO_PROFILE_GUEST_OPT_LEVEL", "1").env("CARGO_INCREMENTAL", "1");
        program(&mut setup).map(drop)
    }

    /// Runs behaviours with the tools that were built last.
    fn judge<'b>(
        &self,
        kernel: &str,
        ids: impl IntoIterator<Item = &'b String>,
    ) -> Result<BTreeMap<String, String>, RunError> {
        let report = self.work.join("report.json");
        let _ = fs::remove_file(&report);
        let mut command = Command::new(self.kmodlab);
        command.args(["run", "--shard", "all", "--kernel", kernel, "--jobs", self.jobs, "--guest-dir"]);
        command.arg(self.work.join("target/guest")).arg("--json").arg(&report).args(ids);
        let name = command.get_program().to_string_lossy().into_owned();
        let output = command.output().map_err(failed("run", self.kmodlab))?;
        let failure = |reason: String| RunError::Program { program: name, reason };
        let text = match fs::read(&report) {
            Ok(text) => text,
            Err(_) => return Err(failure(last_lines(&output.stderr))),
        };
        let report: Report = serde_json::from_slice(&text).map_err(|error| failure(error.to_string()))?;
        Ok(report.results.into_iter().map(|row| (row.id, row.verdict)).collect())
    }
}

fn change(entry: &Entry) -> [String; 4] {
    let fault = &entry.fault;
    [&fault.file, &fault.function, &fault.pattern, &fault.replacement].map(Clone::clone)
}

/// Runs a program and returns its output.
fn program(command: &mut Command) -> Result<Vec<u8>, RunError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(failed("run", Path::new(&name)))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(RunError::Program { program: name, reason: last_lines(&output.stderr) })
}

fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The parts of kmodlab's JSON report that are used here.
#[derive(Deserialize)]
struct Report {
    results: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    verdict: String,
}
