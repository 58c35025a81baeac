//! Typed operations between host and guest.
//!
//! Every value that a test chooses is bytes, because some names are hostile on purpose. Times are guest
//! time, read from the guest's `CLOCK_MONOTONIC` (it equals `CLOCK_BOOTTIME`, because the guest never suspends).

mod action;
mod reply;

pub use action::{Action, ActionResult, Argument, ExitKind, FileStat, Ran, SocketSpec, Value};
pub use reply::{JobEnd, KmsgRecord, Process, Reply, SetupFailure};

use serde::{Deserialize, Serialize};

/// Version of the protocol: a fingerprint of the files that define it. The agent sends it in [`Reply::Hello`], and
/// a host built from other sources rejects it. Without that check a message of a changed protocol could be decoded
/// as a different message.
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
    /// Returns the time from `earlier` to `self` in milliseconds, 0 if `earlier` is later.
    #[must_use]
    pub fn millis_since(self, earlier: GuestMicros) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// A limit or duration in milliseconds of guest time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct GuestMillis(pub u64);

/// A Linux errno returned by the guest's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Errno(pub i32);

/// The id of a job that [`Request::Start`] started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct JobId(pub u32);

/// A request of the host. Each is answered by exactly one [`Reply`], in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Request {
    /// Requests the greeting. Answered by [`Reply::Hello`].
    Hello,
    /// Sets `CLOCK_REALTIME` (nanoseconds since the epoch) and adds `seed` to the kernel's random pool; in a clone
    /// both are those of the template. Answered by [`Reply::Done`].
    Refresh {
        /// Nanoseconds since the epoch.
        realtime_ns: u64,
        /// Random bytes of the host.
        seed: Vec<u8>,
    },
    /// Waits until the kernel has finished the part of its boot that continues after the greeting: its clock source
    /// is final. Answered by [`Reply::Done`].
    Settle,
    /// Starts `count` jobs, each of which carries out `actions` in order in its own child process.
    /// Answered by [`Reply::Started`] when all are started.
    Start {
        /// The identity of the jobs.
        caller: Caller,
        /// The actions. If one fails, the following ones are carried out all the same.
        actions: Vec<Action>,
        /// The number of jobs; at most 1,000 may exist at once.
        count: u32,
    },
    /// Starts several groups of jobs at once. Guest time advances while the host works, and under virtual time an
    /// idle guest skips seconds of it. So actions that must happen together, or at a fixed distance, belong into a
    /// single request. Answered by [`Reply::Started`] with the jobs of the first group, of the second, and so on.
    StartAll(Vec<Group>),
    /// Waits for a job, at most `limit` of guest time. Answered by [`Reply::Finished`] or [`Reply::StillRunning`].
    Wait {
        /// The job.
        job: JobId,
        /// The limit in guest time.
        limit: GuestMillis,
    },
    /// Sends a signal to a job's process. Answered by [`Reply::Done`], also if the job has ended.
    Signal {
        /// The job.
        job: JobId,
        /// The signal number.
        signal: i32,
    },
    /// Carries out one action in PID 1 itself, for changes that must last (chdir, chroot, unshare, mounts). Answered
    /// by [`Reply::Finished`].
    InInit(Action),
    /// Requests the kernel log from sequence number `since` on. With `flush`, a line is first written to a newly
    /// opened `/dev/kmsg` and read back, which proves that everything before it was seen (the kernel delays a message
    /// without a final newline). Flush lines are omitted. Answered by [`Reply::Kmsg`].
    Kmsg {
        /// The first sequence number.
        since: u64,
        /// Whether to write the flush line and wait for it.
        flush: bool,
    },
    /// Enables kernel trace events (such as `"module/module_request"`) and clears the trace. Answered by
    /// [`Reply::Done`], or by [`Reply::Missing`] if tracefs has no such event.
    TraceOn(Vec<String>),
    /// Requests the trace since [`Request::TraceOn`], without comments. Answered by [`Reply::Trace`].
    Trace,
    /// Requests all processes except kernel threads, the agent and its jobs; programs that jobs run are included.
    /// Answered by [`Reply::Processes`].
    Processes,
    /// Requests the current guest time. Answered by [`Reply::Clock`].
    Clock,
    /// Shuts the guest down: the agent answers [`Reply::Bye`] and then resets the machine.
    Shutdown,
}

/// A group of identical jobs, for [`Request::StartAll`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Group {
    /// The identity of the jobs.
    pub caller: Caller,
    /// The actions of each job. If one fails, the following ones are carried out all the same.
    pub actions: Vec<Action>,
    /// The number of jobs.
    pub count: u32,
    /// The delay before the first action.
    pub after: GuestMillis,
    /// A signal for each job that still runs at the given time after its start.
    pub signal: Option<(GuestMillis, i32)>,
}

/// The identity of a job. The default is that of PID 1: uid 0, all capabilities, initial namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Caller {
    /// The real, effective and saved uid and gid; supplementary groups are dropped. `None`: those of PID 1.
    pub uid: Option<u32>,
    /// The capabilities to keep in the effective, permitted and bounding set. `None`: unchanged (all for uid 0,
    /// none for another uid).
    pub caps: Option<u64>,
    /// `CLONE_NEW*` flags for `unshare(2)`. It is called before uid and capabilities change; with `CLONE_NEWUSER`,
    /// after the change of uid, so that the new user namespace belongs to that uid. With `CLONE_NEWPID` the first
    /// process of the new namespace carries out the actions.
    pub unshare: u64,
    /// With `CLONE_NEWUSER`: the uid inside the namespace to which the uid outside is mapped. `None`: no mapping.
    pub map_uid: Option<u32>,
    /// Whether to set `no_new_privs`.
    pub no_new_privs: bool,
    /// A directory for `chroot(2)` and `chdir("/")`, after `unshare`.
    pub chroot: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, Decoder};

    #[test]
    fn requests_round_trip() {
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
    fn replies_round_trip() {
        arbtest::arbtest(|u| {
            let sent: Reply = u.arbitrary()?;
            let bytes = postcard::to_stdvec(&sent).unwrap();
            assert_eq!(frame::decode::<Reply>(&bytes).unwrap(), sent);
            Ok(())
        });
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let _ = frame::decode::<Request>(&bytes);
            Ok(())
        });
    }
}
