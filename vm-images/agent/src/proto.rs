//! Typed operations between host and guest.
//!
//! Every value that comes from a test is bytes: names are hostile on purpose. Times are guest
//! time, read from the guest's `CLOCK_MONOTONIC` (`CLOCK_BOOTTIME` does not matter: nothing suspends).

use serde::{Deserialize, Serialize};

/// Version of the protocol. The agent names it in [`Reply::Hello`]; host and agent must agree.
pub const VERSION: u32 = 1;

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
        /// How many such jobs.
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

/// One operation in the guest. Paths and names are bytes; none may hold NUL unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Action {
    /// Runs a program to its end and captures what it writes (1 MiB of each stream). [`Value::Ran`]
    Run {
        /// Path of the program; no search in `PATH`.
        program: Vec<u8>,
        /// All of argv, from argv\[0\] on.
        argv: Vec<Vec<u8>>,
        /// The whole environment, `NAME=value`.
        env: Vec<Vec<u8>>,
        /// Standard input; empty: `/dev/null`.
        stdin: Vec<u8>,
        /// Killed after this much guest time.
        limit: GuestMillis,
    },
    /// `execve(2)` of a file, in a child, with every descriptor closed. [`Value::Ran`] without output if it
    /// started, the errno if it could not be executed.
    ExecClosed {
        /// Path of the program.
        program: Vec<u8>,
        /// All of argv.
        argv: Vec<Vec<u8>>,
        /// The whole environment.
        env: Vec<Vec<u8>>,
        /// `chroot(2)` here first, if given (a root without `/dev`).
        chroot: Option<Vec<u8>>,
        /// Killed after this much guest time.
        limit: GuestMillis,
    },
    /// Opens (`flags` as open(2), mode 0644), writes all of `data` in one write(2), closes. [`Value::Number`]: what write returned.
    Write {
        /// The file.
        path: Vec<u8>,
        /// What to write; may hold any byte.
        data: Vec<u8>,
        /// `O_*` flags, `O_WRONLY` is added.
        flags: i32,
    },
    /// Opens once, then each element is one write(2), or one pwrite(2) where an offset is given. [`Value::Numbers`]
    WriteMany {
        /// The file.
        path: Vec<u8>,
        /// The pieces, with the offset of a pwrite.
        pieces: Vec<(Option<u64>, Vec<u8>)>,
        /// `O_*` flags, `O_WRONLY` is added.
        flags: i32,
    },
    /// Reads a file to its end, or to `max` bytes. [`Value::Bytes`]
    Read {
        /// The file.
        path: Vec<u8>,
        /// At most this many bytes.
        max: u32,
    },
    /// Creates a directory and its parents, mode 0755. [`Value::Unit`], also if it is there.
    MkdirAll(Vec<u8>),
    /// Removes a file, a link or a whole directory tree. [`Value::Unit`]
    RemoveAll(Vec<u8>),
    /// rename(2). [`Value::Unit`]
    Rename(Vec<u8>, Vec<u8>),
    /// symlink(2): target, path of the link. [`Value::Unit`]
    Symlink(Vec<u8>, Vec<u8>),
    /// link(2): existing path, new path. [`Value::Unit`]
    Link(Vec<u8>, Vec<u8>),
    /// chmod(2). [`Value::Unit`]
    Chmod(Vec<u8>, u32),
    /// Names in a directory, sorted. [`Value::Names`]
    List(Vec<u8>),
    /// lstat(2). [`Value::Stat`]
    Stat(Vec<u8>),
    /// mknod(2) with a full mode (`S_IFCHR | 0600`). [`Value::Unit`]
    Mknod {
        /// The node.
        path: Vec<u8>,
        /// Type and permissions.
        mode: u32,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// open(2) and close(2). [`Value::Unit`]
    Open {
        /// The file.
        path: Vec<u8>,
        /// `O_*` flags.
        flags: i32,
    },
    /// Opens a file, keeps it open for `millis` of guest time, closes it. [`Value::Unit`]
    Hold {
        /// The file.
        path: Vec<u8>,
        /// `O_*` flags.
        flags: i32,
        /// How long, in guest time.
        millis: u64,
    },
    /// mount(2). [`Value::Unit`]
    Mount {
        /// Source.
        source: Vec<u8>,
        /// Where.
        target: Vec<u8>,
        /// Type; the trigger of `fs-NAME`.
        fstype: Vec<u8>,
        /// `MS_*`.
        flags: u64,
        /// Data; empty: NULL.
        data: Vec<u8>,
    },
    /// umount2(2) with flags. [`Value::Unit`]
    Umount(Vec<u8>, i32),
    /// chdir(2). [`Value::Unit`]
    Chdir(Vec<u8>),
    /// chroot(2), without chdir. [`Value::Unit`]
    Chroot(Vec<u8>),
    /// unshare(2). [`Value::Unit`]
    Unshare(u64),
    /// Sleeps this many milliseconds of guest time. [`Value::Unit`]
    Sleep(u64),
    /// socket(2), closed at once. [`Value::Unit`]; asks for `net-pf-F`.
    Socket {
        /// Address family.
        family: i32,
        /// Socket type.
        kind: i32,
        /// Protocol.
        protocol: i32,
    },
    /// An ioctl on an `AF_INET` datagram socket with a `struct ifreq` of this name (15 bytes at most)
    /// and zeros. [`Value::Unit`]; asks for `netdev-NAME` and `NAME`.
    InterfaceIoctl {
        /// Request code, such as `SIOCGIFINDEX`.
        code: u32,
        /// Interface name.
        name: Vec<u8>,
    },
    /// An ioctl on an `AF_INET` datagram socket whose argument is `argument` zero-padded to 64 bytes.
    /// [`Value::Unit`]; `SIOCGIFVLAN` asks for `8021q`, `SIOCGIFBR` for `bridge`.
    SocketIoctl {
        /// Request code.
        code: u32,
        /// Argument bytes, 64 at most.
        argument: Vec<u8>,
    },
    /// `CTRL_CMD_GETFAMILY` by name over generic netlink. [`Value::Unit`], or the errno of the reply.
    GenlGetFamily(Vec<u8>),
    /// `getsockopt(SOL_IP, IPT_SO_GET_INFO)` for this table name (31 bytes at most): hands back the exact
    /// errno of `request_module()` for `iptable_NAME`. [`Value::Unit`]
    IptGetInfo(Vec<u8>),
    /// bind(2) of an `AF_ALG` socket with this type (13 bytes at most) and name (63 at most). [`Value::Unit`]
    AlgBind {
        /// `salg_type`.
        kind: Vec<u8>,
        /// `salg_name`.
        name: Vec<u8>,
    },
    /// finit_module(2) with the file opened read-only. [`Value::Unit`]
    FinitModule {
        /// The module file.
        path: Vec<u8>,
        /// Parameters.
        params: Vec<u8>,
        /// `MODULE_INIT_*` flags.
        flags: u32,
    },
    /// init_module(2) with this image. [`Value::Unit`]
    InitModule {
        /// The module's bytes.
        image: Vec<u8>,
        /// Parameters.
        params: Vec<u8>,
    },
    /// delete_module(2). [`Value::Unit`]
    DeleteModule {
        /// The name, as it is passed.
        name: Vec<u8>,
        /// `O_NONBLOCK`, `O_TRUNC`.
        flags: u32,
    },
    /// Calls `reboot(2)` without a reply (for tests of the lab itself): the guest dies.
    Reset,
    /// Makes the kernel panic through `/proc/sysrq-trigger` (for tests of the lab itself).
    Panic,
    /// Spins in user space for ever (for tests of the lab itself). By [`Request::InInit`] it is the agent that
    /// spins and never answers again; in a job the agent goes on.
    Hang,
}

/// What an action gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Value {
    /// It succeeded; there is nothing to say.
    Unit,
    /// A number, such as write(2)'s result.
    Number(i64),
    /// Several numbers; a negative one is `-errno`.
    Numbers(Vec<i64>),
    /// Contents.
    Bytes(Vec<u8>),
    /// Directory entries.
    Names(Vec<Vec<u8>>),
    /// A file's status.
    Stat(FileStat),
    /// A program ran.
    Ran(Ran),
}

/// Part of `struct stat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct FileStat {
    /// Type and permissions.
    pub mode: u32,
    /// Length in bytes.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum ExitKind {
    /// It exited with this status.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
    /// Its limit passed and it was killed.
    TimedOut,
}

/// A program that ran: its end and its output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Ran {
    /// How it ended.
    pub exit: ExitKind,
    /// Standard output, cut at 1 MiB.
    pub stdout: Vec<u8>,
    /// Standard error, cut at 1 MiB.
    pub stderr: Vec<u8>,
    /// From start to end, guest time.
    pub took: GuestMillis,
}

/// One action's result with the guest time at which it began and ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct ActionResult {
    /// The value, or the errno.
    pub result: Result<Value, Errno>,
    /// When it began.
    pub began: GuestMicros,
    /// When it ended.
    pub ended: GuestMicros,
}

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
