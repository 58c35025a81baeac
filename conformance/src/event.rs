//! What a run tells: events, which reporters consume. Nothing in the lab prints.

use crate::era::Eras;
use crate::fact::Fact;
use crate::shard::Shard;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// Something happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins.
    Started(RunInfo),
    /// One line on what is being prepared.
    Preparing(String),
    /// Something that the user should know.
    Note(String),
    /// A kernel that was asked for is left out; the reason says why. It never fails a run.
    KernelSkipped(SkippedKernel),
    /// A kernel with a subject is ready; so many rows will follow.
    PairReady {
        /// The kernel.
        kernel: KernelName,
        /// The subject.
        subject: String,
        /// How many rows.
        rows: usize,
    },
    /// One behaviour was judged.
    Judged(Box<Row>),
    /// The run is over.
    Ended(RunEnd),
}

/// The lab, as reports name it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunInfo {
    /// Version of kmodlab.
    pub kmodlab: String,
    /// QEMU's version.
    pub qemu: String,
    /// `tcg` or `kvm`.
    pub accelerator: String,
    /// `faithful` or `fast`.
    pub profile: String,
    /// Whether guest time is virtual.
    pub virtual_time: bool,
    /// The part of the rows that was run; absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The seed of the order in which rows were begun; absent for the usual order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// A kernel in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelName {
    /// What the user called it.
    pub name: String,
    /// `uname -r`.
    pub release: String,
}

/// A kernel that was left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SkippedKernel {
    /// What the user called it.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// One behaviour on one kernel with one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Which kernel, subject and behaviour of the run: reports that are written at the end have this order, whichever
    /// guest was done first.
    #[serde(skip)]
    pub place: (usize, usize, usize),
    /// The behaviour's id.
    pub id: String,
    /// Its catalogue id.
    pub catalogue: String,
    /// Its group.
    pub group: String,
    /// Its statement.
    pub statement: String,
    /// Its source.
    pub source: String,
    /// `kernel` or `both`: a row about the kernel alone is run once for each kernel.
    pub about: String,
    /// The kernel.
    pub kernel: KernelName,
    /// The kernel's eras and what decided them; absent if the kernel never came so far.
    pub eras: Option<Eras>,
    /// The subject.
    pub subject: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub reason: Option<String>,
    /// What was observed.
    pub facts: Vec<Fact>,
    /// Guest time from the check's begin to its end, in milliseconds; absent if the guest never said.
    pub guest_ms: Option<u64>,
    /// Wall time from the clone's start to its end, in milliseconds.
    pub wall_ms: u64,
    /// The console's last lines, unless it passed.
    pub console: Vec<String>,
    /// What the monitor found on the console, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ConsoleFinding>,
    /// Whether attempts came out differently.
    #[serde(default, skip_serializing_if = "is_false")]
    pub flaky: bool,
    /// Every attempt in its order, if there was more than one (`--retries`, `--repeat`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

/// A report of trouble on a guest's console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleFinding {
    /// What kind: panic, oops, warning, …
    pub kind: String,
    /// The line that names it.
    pub title: String,
    /// Its lines with a few from before it, cut out of the console; none for one of the template's boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
    /// Why it does not count, if it stands in a list of allowed findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

impl std::fmt::Display for ConsoleFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.title)
    }
}

/// One of several attempts at a row, each in a guest of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub reason: Option<String>,
    /// What was observed, of a bad one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// Guest time, as in a row.
    pub guest_ms: Option<u64>,
    /// Wall time, as in a row.
    pub wall_ms: u64,
    /// The console's last lines, of a bad one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
    /// What the monitor found, of a bad one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ConsoleFinding>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunEnd {
    /// It was interrupted: rows are missing.
    pub interrupted: bool,
    /// It stopped at the first bad row (`--fail-fast`): rows are missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stopped: bool,
    /// How many rows are missing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_run: usize,
    /// Wall time of the run in milliseconds.
    pub wall_ms: u64,
}
