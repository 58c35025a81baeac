//! Runs the behaviours on a kernel with a fault: first those that are expected to fail, then, if none does, all.

use crate::build::{Built, is_built};
use crate::table::Entry;
use crate::work::{Edit, Kernel, WorkError, digest, failed, files, replace};
use conformance::catalogue::behaviours;
use conformance::catalogue::entry::Group;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The groups about the kernel's side.
const GROUPS: [Group; 7] =
    [Group::Path, Group::Env, Group::Loop, Group::Dep, Group::Name, Group::Error, Group::Hostile];

/// Behaviours that run at once, until one fails.
const PART: usize = 12;

/// The wall-clock limit of a behaviour, in seconds. One that takes longer is inconclusive.
const LIMIT: &str = "90";

/// Makes the kernel report a soft lockup after eight seconds of guest time, so that a guest that loops in the kernel fails
/// the behaviour before [`LIMIT`].
const LOCKUP: &str = "watchdog_thresh=4";

/// The verdicts on a kernel.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Verdicts {
    /// The hash of the kmodlab that judged.
    pub kmodlab: String,
    /// Whether the kernel reached the agent.
    pub boots: bool,
    /// The verdict of each behaviour that was run.
    pub rows: BTreeMap<String, String>,
}

/// What happened to a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its image has not been built or run.
    NotRun,
    /// It does not compile.
    NotCompiled,
    /// The image is the same as without it.
    SameImage,
    /// The kernel does not reach the agent.
    NoBoot,
    /// These behaviours fail that pass on the kernel without the fault.
    Caught {
        /// Those that were expected to.
        expected: Vec<String>,
        /// The others.
        others: Vec<String>,
    },
    /// No behaviour fails, but these have no result: the guest hangs.
    Inconclusive(Vec<String>),
    /// No behaviour fails.
    Missed,
}

impl Outcome {
    /// Whether no behaviour has failed yet.
    fn is_open(&self) -> bool {
        matches!(self, Outcome::Missed | Outcome::Inconclusive(_))
    }

    /// Whether a behaviour that was expected to fail does, so that nothing is left to find out.
    pub fn is_expected(&self) -> bool {
        matches!(self, Outcome::Caught { expected, .. } if !expected.is_empty())
    }
}

/// Judges the verdicts on a fault.
pub fn judge(base: &Verdicts, verdicts: &Verdicts, expected: &[String]) -> Outcome {
    if !verdicts.boots {
        return Outcome::NoBoot;
    }
    let passes = |id: &str| matches!(base.rows.get(id).map(String::as_str), Some("pass" | "known"));
    let with = |verdict: &str| {
        let found = verdicts.rows.iter().filter(|(id, got)| *got == verdict && passes(id));
        found.map(|(id, _)| id.clone()).collect::<Vec<_>>()
    };
    let (expected, others): (Vec<_>, Vec<_>) = with("fail").into_iter().partition(|id| expected.contains(id));
    if !expected.is_empty() || !others.is_empty() {
        return Outcome::Caught { expected, others };
    }
    match with("error") {
        inconclusive if inconclusive.is_empty() => Outcome::Missed,
        inconclusive => Outcome::Inconclusive(inconclusive),
    }
}

/// What is run on a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The expected behaviours, and if none fails the others, until one does.
    First,
    /// The same, but a fault that an expected behaviour has caught is not run with a new kmodlab.
    Again,
    /// All behaviours.
    All,
}

/// Runs behaviours with kmodlab.
#[derive(Debug)]
pub struct Runner {
    /// The program.
    kmodlab: PathBuf,
    /// Its hash.
    hash: String,
    /// Guests that run in parallel.
    jobs: String,
    /// Its cache: templates of faulty kernels are of no use to others.
    cache: PathBuf,
}

impl Runner {
    /// Uses this program, with its cache in a directory.
    ///
    /// # Errors
    /// [`WorkError`] if the program cannot be read.
    pub fn new(kmodlab: PathBuf, work: &Path, jobs: String) -> Result<Runner, WorkError> {
        let program = fs::read(&kmodlab).map_err(failed("read", &kmodlab))?;
        let hash = digest(&[&String::from_utf8_lossy(&program)])[..16].to_owned();
        Ok(Runner { kmodlab, hash, jobs, cache: work.join("cache") })
    }

    /// Returns the verdicts of all behaviours on the kernel without a fault.
    ///
    /// # Errors
    /// [`WorkError`] if they cannot be run.
    pub fn base(&self, kernel: &Kernel) -> Result<Verdicts, WorkError> {
        let path = kernel.dir.join("results/base.json");
        if let Some(stored) = stored(&path).filter(|stored| stored.kmodlab == self.hash) {
            return Ok(stored);
        }
        let verdicts = self.run(&kernel.dir.join("base/bzImage"), &kernel.modules()?, &all())?;
        store(&path, &verdicts)?;
        Ok(verdicts)
    }

    /// Runs the behaviours on a kernel with a fault, unless their verdicts are known.
    ///
    /// # Errors
    /// [`WorkError`] if they cannot be run.
    pub fn fault(&self, kernel: &Kernel, base: &Verdicts, entry: &Entry, extent: Extent) -> Result<Outcome, WorkError> {
        let (edit, built) = match is_built(kernel, entry)? {
            Some(found) => found,
            None => return Ok(Outcome::NotRun),
        };
        let expected = &entry.fault.caught_by;
        let path = kernel.result(&edit);
        let known = outcome(kernel, base, entry)?;
        let current = stored(&path).is_some_and(|stored| {
            let complete = all().iter().all(|id| stored.rows.contains_key(id));
            stored.kmodlab == self.hash && (complete || (extent != Extent::All && !known.is_open()))
        });
        if built != Built::Different
            || current
            || (extent == Extent::Again && (known.is_expected() || known == Outcome::NoBoot))
        {
            return Ok(known);
        }
        let image = kernel.image(&edit);
        let modules = self.modules(kernel, &image)?;
        let with_check: Vec<String> = all().into_iter().filter(|id| expected.contains(id)).collect();
        let mut verdicts = Verdicts { boots: true, ..Verdicts::default() };
        if !with_check.is_empty() {
            verdicts = self.run(&image.join("bzImage"), &modules, &with_check)?;
        }
        let others: Vec<String> = all().into_iter().filter(|id| !verdicts.rows.contains_key(id)).collect();
        for part in others.chunks(PART) {
            if extent != Extent::All && !judge(base, &verdicts, expected).is_open() {
                break;
            }
            let more = self.run(&image.join("bzImage"), &modules, part)?;
            verdicts.boots &= more.boots;
            verdicts.kmodlab = more.kmodlab;
            verdicts.rows.extend(more.rows);
        }
        store(&path, &verdicts)?;
        self.forget_guests()?;
        Ok(judge(base, &verdicts, expected))
    }

    /// Returns a module directory with the modules of a kernel with a fault.
    fn modules(&self, kernel: &Kernel, image: &Path) -> Result<PathBuf, WorkError> {
        let base = kernel.modules()?;
        let changed = image.join("modules");
        if !changed.exists() {
            return Ok(base);
        }
        let root = kernel.dir.join("overlay");
        let target = root.join("lib/modules").join(base.file_name().unwrap_or_default());
        let _ = fs::remove_dir_all(&root);
        for file in files(&base)? {
            // `net/x.ko` is installed as `kernel/net/x.ko`, or compressed as `kernel/net/x.ko.xz`.
            let built = file.strip_prefix("kernel").unwrap_or(&file);
            let built = if built.extension().is_some_and(|name| name == "xz") {
                built.with_extension("")
            } else {
                built.into()
            };
            let (from, to) = if changed.join(&built).exists() {
                (changed.join(&built), target.join("kernel").join(&built))
            } else {
                (base.join(&file), target.join(&file))
            };
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(failed("create", parent))?;
            }
            symlink(&from, &to).map_err(failed("create", &to))?;
        }
        Ok(target)
    }

    /// Removes booted guests: each kernel with a fault is booted once.
    fn forget_guests(&self) -> Result<(), WorkError> {
        let templates = self.cache.join("v1/templates");
        match fs::remove_dir_all(&templates) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", &templates)(error)),
            _ => Ok(()),
        }
    }

    fn run(&self, image: &Path, modules: &Path, ids: &[String]) -> Result<Verdicts, WorkError> {
        let report = self.cache.join("report.json");
        let _ = fs::remove_file(&report);
        let mut command = Command::new(&self.kmodlab);
        command.args(["run", "--boot-failure", "fail", "--shard", "all", "--timeout", LIMIT, "--jobs", &self.jobs]);
        command.args(["--append", LOCKUP]);
        command.arg("--cache").arg(&self.cache).arg("--kernel").arg(image).arg("--modules").arg(modules);
        command.arg("--json").arg(&report).args(ids);
        let program = self.kmodlab.display().to_string();
        let failure = |reason: String| WorkError::Program { program: program.clone(), reason };
        let output = command.output().map_err(|error| failure(error.to_string()))?;
        let text = fs::read(&report).map_err(|_| failure(String::from_utf8_lossy(&output.stderr).into_owned()))?;
        let report: Report = serde_json::from_slice(&text).map_err(|error| failure(error.to_string()))?;
        let boots = report.results.iter().any(|row| row.guest_ms.is_some() || row.verdict != "fail");
        let rows = report.results.into_iter().map(|row| (row.id, row.verdict)).collect();
        Ok(Verdicts { kmodlab: self.hash.clone(), boots, rows })
    }
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
    guest_ms: Option<u64>,
}

/// Returns the outcome of the last run.
///
/// # Errors
/// [`WorkError`] if the fault does not fit the sources.
pub fn outcome(kernel: &Kernel, base: &Verdicts, entry: &Entry) -> Result<Outcome, WorkError> {
    Ok(match is_built(kernel, entry)? {
        None => Outcome::NotRun,
        Some((_, Built::Error)) => Outcome::NotCompiled,
        Some((_, Built::Same)) => Outcome::SameImage,
        Some((edit, Built::Different)) => match last(kernel, &edit) {
            None => Outcome::NotRun,
            Some(verdicts) => judge(base, &verdicts, &entry.fault.caught_by),
        },
    })
}

/// Returns the verdicts of the last run on the kernel without a fault.
pub fn last_base(kernel: &Kernel) -> Option<Verdicts> {
    stored(&kernel.dir.join("results/base.json"))
}

/// Returns the verdicts of the last run on a kernel with a fault.
pub fn last(kernel: &Kernel, edit: &Edit) -> Option<Verdicts> {
    stored(&kernel.result(edit))
}

/// Returns the ids of the behaviours of the kernel's side that have a check.
pub fn all() -> Vec<String> {
    let entries = behaviours::all().into_iter().filter(|entry| GROUPS.contains(&entry.group));
    entries.map(|entry| entry.id.to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn stored(path: &Path) -> Option<Verdicts> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn store(path: &Path, verdicts: &Verdicts) -> Result<(), WorkError> {
    let text = serde_json::to_string_pretty(verdicts).map_err(|error| failed("write", path)(error.into()))?;
    replace(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(rows: &[(&str, &str)]) -> Verdicts {
        let rows = rows.iter().map(|(id, verdict)| ((*id).to_owned(), (*verdict).to_owned())).collect();
        Verdicts { kmodlab: String::new(), boots: true, rows }
    }

    #[test]
    fn a_fault_is_caught_by_a_behaviour_that_passes_without_it() {
        let base = verdicts(&[("a", "pass"), ("b", "known"), ("c", "fail"), ("d", "skip"), ("e", "pass")]);
        let judged = |rows: &[(&str, &str)]| judge(&base, &verdicts(rows), &["a".to_owned()]);
        let caught = |expected: &[&str], others: &[&str]| Outcome::Caught {
            expected: expected.iter().map(|&id| id.to_owned()).collect(),
            others: others.iter().map(|&id| id.to_owned()).collect(),
        };
        assert_eq!(judged(&[("a", "fail"), ("b", "fail")]), caught(&["a"], &["b"]));
        assert_eq!(judged(&[("a", "pass"), ("e", "fail")]), caught(&[], &["e"]));
        assert_eq!(judged(&[("c", "fail"), ("d", "fail"), ("e", "skip")]), Outcome::Missed);
        assert_eq!(judged(&[("a", "error")]), Outcome::Inconclusive(vec!["a".to_owned()]));
        assert_eq!(judge(&base, &Verdicts::default(), &[]), Outcome::NoBoot);
    }
}
