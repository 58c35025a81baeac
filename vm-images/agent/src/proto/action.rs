//! What a job can be asked to do, one operation each, and what comes of it.

#[cfg(doc)]
use super::Request;
use super::{Errno, GuestMicros, GuestMillis};
use serde::{Deserialize, Serialize};

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
