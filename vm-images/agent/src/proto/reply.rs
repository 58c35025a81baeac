//! The agent's replies.

use super::{ActionResult, Errno, GuestMicros, JobId};
#[cfg(doc)]
use super::{Caller, Request, VERSION};
use serde::{Deserialize, Serialize};

/// A job could not become its [`Caller`]; no action was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct SetupFailure {
    /// The step that failed, such as `unshare`.
    pub step: String,
    /// Its errno.
    pub errno: Errno,
}

/// The end of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct JobEnd {
    /// Set if the job could not become its [`Caller`]; it did nothing then.
    pub setup: Option<SetupFailure>,
    /// One entry per finished action; fewer than requested if the job was killed or `setup` failed.
    pub results: Vec<ActionResult>,
    /// The signal that killed the job, if any.
    pub killed_by: Option<i32>,
    /// The time at which PID 1 noticed the end.
    pub ended: GuestMicros,
}

/// A record of the kernel log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct KmsgRecord {
    /// The sequence number.
    pub seq: u64,
    /// The level, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// The facility; 0 is the kernel itself, 1 is user space.
    pub facility: u32,
    /// The guest time of the record.
    pub time: GuestMicros,
    /// The text with the escapes of `/dev/kmsg` (`\xNN`) decoded, without a final newline.
    pub text: Vec<u8>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Process {
    /// The process id.
    pub pid: i32,
    /// The parent's process id.
    pub ppid: i32,
    /// The state letter of `/proc/PID/stat`.
    pub state: u8,
    /// The command name.
    pub comm: Vec<u8>,
    /// The arguments.
    pub argv: Vec<Vec<u8>>,
}

/// A reply of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Reply {
    /// The greeting. Sent once without a request, with sequence number 0, when the agent is ready: a host that sent a
    /// request earlier would write to a port that the guest's kernel is still setting up, and lose bytes.
    Hello {
        /// [`VERSION`] of the agent.
        version: u32,
        /// `uname -r`.
        release: Vec<u8>,
        /// `/proc/cmdline`.
        cmdline: Vec<u8>,
        /// `/proc/sys/kernel/random/boot_id`; it changes when the guest reboots.
        boot_id: Vec<u8>,
    },
    /// The request succeeded and has no result.
    Done,
    /// The started jobs, in order.
    Started(Vec<JobId>),
    /// The job has ended. The agent forgets it with this reply.
    Finished(JobEnd),
    /// The limit has passed and the job is still running.
    StillRunning,
    /// A part of the kernel log.
    Kmsg {
        /// The records.
        records: Vec<KmsgRecord>,
        /// The sequence number to continue from.
        next: u64,
        /// Whether records were overwritten before they could be read.
        lost: bool,
    },
    /// The lines of the trace.
    Trace(Vec<Vec<u8>>),
    /// The processes.
    Processes(Vec<Process>),
    /// The guest time.
    Clock(GuestMicros),
    /// The guest shuts down now, as requested.
    Bye,
    /// The kernel does not have this, which the request needs.
    Missing(String),
    /// The agent itself failed, for this reason. (An errno of the kernel is a result, not a failure.)
    Failed(String),
}
