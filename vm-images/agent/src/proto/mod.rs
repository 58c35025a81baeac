//! Typed operations between host and guest.
//!
//! Every value that comes from a test is bytes: names are hostile on purpose. Times are guest
//! time, read from the guest's `CLOCK_MONOTONIC` (`CLOCK_BOOTTIME` does not matter: nothing suspends).

mod action;
mod reply;

pub use action::{Action, ActionResult, ExitKind, FileStat, Ran, Value};
pub use reply::{JobEnd, KmsgRecord, Process, Reply, SetupFailure};

use serde::{Deserialize, Serialize};

/// Version of the protocol: a fingerprint of the files that define it. The agent names it in [`Reply::Hello`], and
/// a host that was built from another state of them refuses it: a message of a changed protocol does not fail
/// to be read, it is read as another one.
pub const VERSION: u32 = fingerprint(&[
    include_bytes!("mod.rs"),
    include_bytes!("action.rs"),
    include_bytes!("reply.rs"),
    include_bytes!("../frame.rs"),
    include_bytes!("../plan.rs"),
]);

/// FNV-1a.
const fn fingerprint(files: &[&[u8]]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    let mut file = 0;
    while file < files.len() {
        let mut at = 0;
        while at < files[file].len() {
            hash = (hash ^ files[file][at] as u32).wrapping_mul(0x0100_0193);
            at += 1;
        }
        file += 1;
    }
    hash
}

/// Microseconds of guest time since the guest booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct GuestMicros(pub u64);

impl GuestMicros {
    /// The time from `earlier` to `self`, in milliseconds, 0 if `earlier` is later.
    #[must_use]
    pub fn millis_since(self, earlier: GuestMicros) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// Milliseconds of guest time: a limit or a duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct GuestMillis(pub u64);

/// A Linux errno as the guest's kernel returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Errno(pub i32);

/// Names one job that [`Request::Start`] began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct JobId(pub u32);

/// What the host asks. One request is answered by exactly one [`Reply`], in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Request {
    /// Are you there, and who are you? Answered by [`Reply::Hello`].
    Hello,
    /// Sets `CLOCK_REALTIME` (nanoseconds since the epoch) and mixes `seed` into the kernel's random
    /// pool: after a restore from a template both are the template's. Answered by [`Reply::Done`].
    Refresh {
        /// Nanoseconds since the epoch.
        realtime_ns: u64,
        /// Bytes from the host for `/dev/urandom`.
        seed: Vec<u8>,
    },
    /// Starts `count` jobs that each carry out `actions` in order, in a child of their own.
    /// Answered by [`Reply::Started`] as soon as all are started.
    Start {
        /// As whom.
        caller: Caller,
        /// What, in this order. All are carried out, also after one failed.
        actions: Vec<Action>,
        /// How many such jobs; 1,000 may be there at once.
        count: u32,
    },
    /// Starts several groups of jobs at once. Guest time runs on while the host thinks, and under virtual time an
    /// idle guest skips seconds of it; so what must happen together, or so long after something else, is asked for
    /// in one request. Answered by [`Reply::Started`] with the jobs of the first group, of the second, and so on.
    StartAll(Vec<Group>),
    /// Waits for a job, at most `limit` of guest time. Answered by [`Reply::Finished`] or [`Reply::StillRunning`].
    Wait {
        /// The job.
        job: JobId,
        /// How long, in guest time.
        limit: GuestMillis,
    },
    /// Sends a signal to a job's process. Answered by [`Reply::Done`], also if the job has ended.
    Signal {
        /// The job.
        job: JobId,
        /// Signal number.
        signal: i32,
    },
    /// Carries out one action in PID 1 itself (chdir, chroot, unshare, mounts that must stay). Answered by [`Reply::Finished`].
    InInit(Action),
    /// Kernel log from sequence number `since` on. With `flush`, a line is written to a newly opened
    /// `/dev/kmsg` first and read back as proof that everything before it was seen (records without a
    /// final newline are shown late). The flush lines themselves are left out. Answered by [`Reply::Kmsg`].
    Kmsg {
        /// First sequence number wanted.
        since: u64,
        /// Write and await the flush line.
        flush: bool,
    },
    /// Turns kernel trace events on (`"module/module_request"`), and empties the trace. Answered by
    /// [`Reply::Done`], or [`Reply::Failed`] if tracefs has no such event.
    TraceOn(Vec<String>),
    /// The trace since [`Request::TraceOn`], comments left out. Answered by [`Reply::Trace`].
    Trace,
    /// All processes but kernel threads, the agent and its own jobs (what jobs run is listed). Answered by [`Reply::Processes`].
    Processes,
    /// Guest time now. Answered by [`Reply::Clock`].
    Clock,
    /// Ends the guest in the planned way: the agent answers [`Reply::Bye`], then resets the machine.
    Shutdown,
}

/// Jobs that are alike, for [`Request::StartAll`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Group {
    /// As whom.
    pub caller: Caller,
    /// What each does, in this order, also after one failed.
    pub actions: Vec<Action>,
    /// How many such jobs.
    pub count: u32,
    /// Each waits this long before its first action.
    pub after: GuestMillis,
    /// Each is sent this signal so long after it was started, if it still runs then.
    pub signal: Option<(GuestMillis, i32)>,
}

/// As whom a job acts. The default is PID 1's own identity: uid 0, all capabilities, initial namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Caller {
    /// Real, effective and saved uid and gid; supplementary groups are dropped. `None`: as PID 1.
    pub uid: Option<u32>,
    /// Effective, permitted and bounding set are cut to these bits. `None`: unchanged (all for uid 0,
    /// none for another uid).
    pub caps: Option<u64>,
    /// `CLONE_NEW*` flags for `unshare(2)`, before uid and capabilities change; but after the change of uid
    /// if `CLONE_NEWUSER` is among them, so that the new user namespace belongs to that uid. With
    /// `CLONE_NEWPID` the actions are carried out by the namespace's first process.
    pub unshare: u64,
    /// With `CLONE_NEWUSER` in `unshare`: maps this inside uid to the outside uid the child had. `None`: no mapping.
    pub map_uid: Option<u32>,
    /// Sets `no_new_privs`.
    pub no_new_privs: bool,
    /// `chroot(2)` and `chdir("/")` there, after `unshare`.
    pub chroot: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, Decoder};

    #[test]
    fn every_request_arrives_as_it_was_sent() {
        arbtest::arbtest(|u| {
            let sent: Request = u.arbitrary()?;
            let mut decoder = Decoder::new();
            decoder.push(&frame::encode(3, &sent).unwrap());
            let (seq, payload) = decoder.next_frame().unwrap();
            assert_eq!((seq, frame::decode::<Request>(&payload).unwrap()), (3, sent));
            Ok(())
        });
    }

    #[test]
    fn every_reply_arrives_as_it_was_sent() {
        arbtest::arbtest(|u| {
            let sent: Reply = u.arbitrary()?;
            let bytes = postcard::to_stdvec(&sent).unwrap();
            assert_eq!(frame::decode::<Reply>(&bytes).unwrap(), sent);
            Ok(())
        });
    }

    #[test]
    fn any_bytes_are_a_request_or_an_error() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let _ = frame::decode::<Request>(&bytes);
            Ok(())
        });
    }
}
