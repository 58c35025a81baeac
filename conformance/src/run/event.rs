//! The events of a run, which reporters consume. Nothing in the lab prints.

use crate::catalogue::entry::About;
use crate::check::fact::Fact;
use crate::check::probes::Probes;
use crate::run::rows::RowPosition;
use crate::run::shard::Shard;
use crate::run::verdict::Verdict;
use harness::{Accel, Kind, Profile};
use serde::{Deserialize, Serialize};

/// An event of a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run has started.
    Started(RunInfo),
    /// Preparation in progress, as one line.
    Preparing(String),
    /// A note to the user.
    Note(String),
    /// A requested kernel is left out, which does not fail the run.
    KernelSkipped(SkippedKernel),
    /// A kernel with a subject is ready to run.
    PairReady {
        /// The kernel.
        kernel: KernelName,
        /// The subject.
        subject: String,
        /// The number of rows that will follow.
        rows: usize,
    },
    /// A row has been judged.
    Judged(Box<Row>),
    /// The run has ended.
    Ended(RunEnd),
}

/// The lab in which a run took place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunInfo {
    /// The version of kmodlab.
    pub kmodlab: String,
    /// The version of QEMU.
    pub qemu: String,
    /// The accelerator.
    pub accelerator: Accel,
    /// The boot profile.
    pub profile: Profile,
    /// Whether guest time is virtual.
    pub virtual_time: bool,
    /// The part of the rows that was run; absent if all were run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The seed of the order in which rows were run; absent for the default order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// A kernel in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelName {
    /// The name that the user gave.
    pub name: String,
    /// The release (`uname -r`).
    pub release: String,
}

/// A kernel that was left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SkippedKernel {
    /// The name that the user gave.
    pub name: String,
    /// The reason.
    pub reason: String,
}

/// One behaviour on one kernel with one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The numbers of the kernel, the subject and the behaviour. Reports written at the end are sorted by it.
    #[serde(skip)]
    pub position: RowPosition,
    /// The id of the behaviour.
    pub id: String,
    /// Its catalogue id.
    pub catalogue: String,
    /// Its group.
    pub group: String,
    /// Its statement.
    pub statement: String,
    /// Its source.
    pub source: String,
    /// What the behaviour is about. One about the kernel alone is run once per kernel.
    pub about: About,
    /// The kernel.
    pub kernel: KernelName,
    /// The probes on which the behaviour depends; empty if the kernel could not be prepared.
    #[serde(default)]
    pub probes: Probes,
    /// The subject.
    pub subject: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, unless it passed.
    pub reason: Option<String>,
    /// The observations.
    pub facts: Vec<Fact>,
    /// The duration of the check in milliseconds of guest time; absent if the guest did not report its clock.
    pub guest_ms: Option<u64>,
    /// The duration in milliseconds of wall time, from the start of the guest to its end.
    pub wall_ms: u64,
    /// The last lines of the console, if it failed or could not be judged.
    pub console: Vec<String>,
    /// The findings on the console, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ConsoleFinding>,
    /// Whether attempts had different verdicts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub flaky: bool,
    /// All attempts in order, if there was more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

/// A finding on a guest's console: a report of the kernel that something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleFinding {
    /// The kind.
    pub kind: Kind,
    /// The line that describes it.
    pub title: String,
    /// Its lines on the console and a few lines before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
    /// Whether it appeared while the guest or its template booted, before the check.
    #[serde(default, skip_serializing_if = "is_false")]
    pub boot: bool,
    /// The reason for which it does not count, if it is in a list of allowed findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

impl std::fmt::Display for ConsoleFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let when = if self.boot { "while booting: " } else { "" };
        write!(f, "{when}{}: {}", self.kind, self.title)
    }
}

/// One of several attempts at a row, each in a new guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, unless it passed.
    pub reason: Option<String>,
    /// The observations, if it was unsuccessful.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// The duration in guest time, as in a row.
    pub guest_ms: Option<u64>,
    /// The duration in wall time, as in a row.
    pub wall_ms: u64,
    /// The last lines of the console, if it was unsuccessful.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
    /// The findings on the console, if it was unsuccessful.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ConsoleFinding>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// How a run ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunEnd {
    /// Whether it was interrupted, so that rows are missing.
    pub interrupted: bool,
    /// Whether it stopped at the first unsuccessful row, so that rows are missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stopped: bool,
    /// The number of missing rows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_run: usize,
    /// The conditions of the gate that are not met, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
    /// The duration of the run in milliseconds of wall time.
    pub wall_ms: u64,
}

impl RunEnd {
    /// Returns whether the run says less than it was asked to, so that it cannot be a success.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.interrupted || !self.unmet.is_empty()
    }
}
