//! What the agent answers.

use super::{ActionResult, Errno, GuestMicros, JobId};
#[cfg(doc)]
use super::{Caller, Request, VERSION};
use serde::{Deserialize, Serialize};

/// A step of becoming the [`Caller`] that failed: no action was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct SetupFailure {
    /// The system call or file, such as `unshare`.
    pub step: String,
    /// Why.
    pub errno: Errno,
}

/// How a job ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct JobEnd {
    /// The job could not become its [`Caller`]; it did nothing.
    pub setup: Option<SetupFailure>,
    /// One entry for each action that was finished; fewer than asked if the job was killed or `setup` failed.
    pub results: Vec<ActionResult>,
    /// The signal that killed the job, if one did.
    pub killed_by: Option<i32>,
    /// When its process was seen to end.
    pub ended: GuestMicros,
}

/// One record of the kernel log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct KmsgRecord {
    /// Sequence number.
    pub seq: u64,
    /// Level, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// Facility; 0 is the kernel itself, 1 is user space.
    pub facility: u32,
    /// Guest time of the record.
    pub time: GuestMicros,
    /// The text, escapes of `/dev/kmsg` (`\xNN`) undone, no newline at the end.
    pub text: Vec<u8>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Parent's id.
    pub ppid: i32,
    /// State letter of `/proc/PID/stat`.
    pub state: u8,
    /// Command name.
    pub comm: Vec<u8>,
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Reply {
    /// The agent is ready. Sent once without being asked, with sequence number 0, when it begins to serve: a host
    /// that asked earlier would write to a port that the guest's kernel still sets up, and lose bytes.
    Hello {
        /// [`VERSION`] of the agent.
        version: u32,
        /// `uname -r`.
        release: Vec<u8>,
        /// `/proc/cmdline`.
        cmdline: Vec<u8>,
        /// `/proc/sys/kernel/random/boot_id`: another one means that the guest booted anew.
        boot_id: Vec<u8>,
    },
    /// Done; there is nothing to say.
    Done,
    /// The jobs that were started, in order.
    Started(Vec<JobId>),
    /// The job has ended. It is forgotten with this reply.
    Finished(JobEnd),
    /// The limit passed and the job still runs.
    StillRunning,
    /// Kernel log.
    Kmsg {
        /// The records.
        records: Vec<KmsgRecord>,
        /// Ask from here the next time.
        next: u64,
        /// Records that were overwritten before they could be read.
        lost: bool,
    },
    /// Trace lines.
    Trace(Vec<Vec<u8>>),
    /// Processes.
    Processes(Vec<Process>),
    /// Guest time.
    Clock(GuestMicros),
    /// The guest ends now, as planned.
    Bye,
    /// The agent could not do it; the text says why (not a result of the kernel's).
    Failed(String),
}
