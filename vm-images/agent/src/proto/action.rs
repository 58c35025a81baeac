//! The operations of a job, and their results.

#[cfg(doc)]
use super::Request;
use super::{Errno, GuestMicros, GuestMillis};
use serde::{Deserialize, Serialize};

/// An operation in the guest. Paths and names are bytes, without NUL unless stated otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Action {
    /// Runs a program and captures its output (1 MiB of each stream). [`Value::Ran`]
    Run {
        /// The path of the program; `PATH` is not searched.
        program: Vec<u8>,
        /// The whole argument vector, from argv\[0\] on.
        argv: Vec<Vec<u8>>,
        /// The whole environment, `NAME=value`.
        env: Vec<Vec<u8>>,
        /// Standard input; if empty, `/dev/null`.
        stdin: Vec<u8>,
        /// The limit in guest time, after which the program is killed.
        limit: GuestMillis,
    },
    /// Executes a file in a child with every descriptor closed. [`Value::Ran`] without output if it started, the
    /// errno of `execve(2)` if not.
    ExecClosed {
        /// The path of the program.
        program: Vec<u8>,
        /// The whole argument vector.
        argv: Vec<Vec<u8>>,
        /// The whole environment.
        env: Vec<Vec<u8>>,
        /// A directory for `chroot(2)`, for example one without `/dev`.
        chroot: Option<Vec<u8>>,
        /// The limit in guest time, after which the program is killed.
        limit: GuestMillis,
    },
    /// Opens a file (`flags` as for open(2), mode 0644), writes `data` with one write(2), closes it.
    /// [`Value::Number`]: the result of write(2).
    Write {
        /// The file.
        path: Vec<u8>,
        /// The data; may contain any byte.
        data: Vec<u8>,
        /// `O_*` flags; `O_WRONLY` is added.
        flags: i32,
    },
    /// Opens a file once, then writes each piece with one write(2), or one pwrite(2) if it has an offset.
    /// [`Value::Numbers`]
    WriteMany {
        /// The file.
        path: Vec<u8>,
        /// The pieces, each with the offset for pwrite(2), if any.
        pieces: Vec<(Option<u64>, Vec<u8>)>,
        /// `O_*` flags; `O_WRONLY` is added.
        flags: i32,
    },
    /// Reads a file to its end, at most `max` bytes. [`Value::Bytes`]
    Read {
        /// The file.
        path: Vec<u8>,
        /// The maximum number of bytes.
        max: u32,
    },
    /// Opens a file once, then makes one read(2) per piece, or one pread(2) if it has an offset. [`Value::Pieces`]
    ReadMany {
        /// The file.
        path: Vec<u8>,
        /// The pieces: the offset for pread(2), if any, and the length of the buffer.
        pieces: Vec<(Option<u64>, u32)>,
    },
    /// Creates a directory and its parents, mode 0755. [`Value::Unit`], also if it exists.
    MkdirAll(Vec<u8>),
    /// Removes a file, a link or a whole directory tree. [`Value::Unit`]
    RemoveAll(Vec<u8>),
    /// rename(2). [`Value::Unit`]
    Rename(Vec<u8>, Vec<u8>),
    /// symlink(2): the target, the path of the link. [`Value::Unit`]
    Symlink(Vec<u8>, Vec<u8>),
    /// link(2): the existing path, the new path. [`Value::Unit`]
    Link(Vec<u8>, Vec<u8>),
    /// chmod(2). [`Value::Unit`]
    Chmod(Vec<u8>, u32),
    /// Lists the names in a directory, sorted. [`Value::Names`]
    List(Vec<u8>),
    /// lstat(2). [`Value::Stat`]
    Stat(Vec<u8>),
    /// mknod(2) with a full mode (`S_IFCHR | 0600`). [`Value::Unit`]
    Mknod {
        /// The path of the node.
        path: Vec<u8>,
        /// The type and permissions.
        mode: u32,
        /// The major number.
        major: u32,
        /// The minor number.
        minor: u32,
    },
    /// open(2) and close(2). [`Value::Unit`]
    Open {
        /// The file.
        path: Vec<u8>,
        /// `O_*` flags.
        flags: i32,
    },
    /// Opens a file, keeps it open for `millis` of guest time, and closes it. [`Value::Unit`]
    Hold {
        /// The file.
        path: Vec<u8>,
        /// `O_*` flags.
        flags: i32,
        /// The duration in guest time.
        millis: u64,
    },
    /// mount(2). [`Value::Unit`]
    Mount {
        /// The source.
        source: Vec<u8>,
        /// The mount point.
        target: Vec<u8>,
        /// The file system type; makes the kernel request `fs-NAME`.
        fstype: Vec<u8>,
        /// `MS_*` flags.
        flags: u64,
        /// The data; NULL if empty.
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
    /// Sleeps for a number of milliseconds of guest time. [`Value::Unit`]
    Sleep(u64),
    /// Creates a socket and closes it at once. [`Value::Unit`]; makes the kernel request `net-pf-F`.
    Socket {
        /// The address family.
        family: i32,
        /// The socket type.
        kind: i32,
        /// The protocol.
        protocol: i32,
    },
    /// Calls an ioctl on an `AF_INET` datagram socket with a `struct ifreq` of this name (at most 15 bytes) and
    /// zeros. [`Value::Unit`]; makes the kernel request `netdev-NAME` and `NAME`.
    InterfaceIoctl {
        /// The request code, such as `SIOCGIFINDEX`.
        code: u32,
        /// The interface name.
        name: Vec<u8>,
    },
    /// Calls an ioctl on an `AF_INET` datagram socket with `argument` zero-padded to 64 bytes. [`Value::Unit`];
    /// `SIOCGIFVLAN` makes the kernel request `8021q`, `SIOCGIFBR` makes it request `bridge`.
    SocketIoctl {
        /// The request code.
        code: u32,
        /// The argument, at most 64 bytes.
        argument: Vec<u8>,
    },
    /// setsockopt(2) on a new socket. [`Value::Unit`]
    SetSockOpt {
        /// The socket.
        socket: SocketSpec,
        /// The level, such as `IPPROTO_TCP`.
        level: i32,
        /// The option, such as `TCP_CONGESTION`.
        option: i32,
        /// The value.
        value: Vec<u8>,
    },
    /// getsockopt(2) on a new socket. [`Value::Bytes`]: the buffer after the call, as long as the kernel says.
    GetSockOpt {
        /// The socket.
        socket: SocketSpec,
        /// The level.
        level: i32,
        /// The option.
        option: i32,
        /// The buffer before the call; its length is the length passed to the kernel.
        value: Vec<u8>,
    },
    /// Opens a file and calls an ioctl on it with `argument` zero-padded to 64 bytes. [`Value::Number`]: its result.
    Ioctl {
        /// The file.
        path: Vec<u8>,
        /// `O_*` flags.
        flags: i32,
        /// The request code.
        code: u32,
        /// The argument, at most 64 bytes.
        argument: Vec<u8>,
    },
    /// fsopen(2) and close(2); makes the kernel request `fs-NAME`. [`Value::Unit`]
    Fsopen(Vec<u8>),
    /// prctl(2). [`Value::Number`]: its result.
    Prctl {
        /// The operation, such as `PR_SET_NO_NEW_PRIVS`.
        option: i32,
        /// Its arguments.
        arguments: [u64; 4],
    },
    /// Any system call, for those without an action. [`Value::Number`]: its result.
    SystemCall {
        /// Its number, such as `SYS_setpriority`.
        number: i64,
        /// Its arguments, at most six.
        arguments: Vec<Argument>,
    },
    /// quotactl(2) without a buffer. [`Value::Unit`]
    Quotactl {
        /// The command: `QCMD(operation, type)`.
        command: i32,
        /// The block device.
        special: Vec<u8>,
        /// The id; for `Q_QUOTAON`, the format.
        id: i32,
    },
    /// Sends one netlink message, with `NLM_F_REQUEST | NLM_F_ACK` added to its flags, and reads the first answer.
    /// [`Value::Unit`], or the errno of the answer.
    Netlink {
        /// The netlink protocol, such as `NETLINK_ROUTE`.
        protocol: i32,
        /// `nlmsg_type`.
        kind: u16,
        /// `nlmsg_flags`.
        flags: u16,
        /// What follows the netlink header.
        payload: Vec<u8>,
    },
    /// `CTRL_CMD_GETFAMILY` by name over generic netlink. [`Value::Unit`], or the errno of the reply.
    GenlGetFamily(Vec<u8>),
    /// `getsockopt(SOL_IP, IPT_SO_GET_INFO)` for a table name of at most 31 bytes: returns exactly the errno of
    /// `request_module()` for `iptable_NAME`. [`Value::Unit`]
    IptGetInfo(Vec<u8>),
    /// bind(2) of an `AF_ALG` socket with this type (at most 13 bytes) and name (at most 63). [`Value::Unit`]
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
        /// The parameters.
        params: Vec<u8>,
        /// `MODULE_INIT_*` flags.
        flags: u32,
    },
    /// init_module(2) with this image. [`Value::Unit`]
    InitModule {
        /// The module's bytes.
        image: Vec<u8>,
        /// The parameters.
        params: Vec<u8>,
    },
    /// delete_module(2). [`Value::Unit`]
    DeleteModule {
        /// The name, passed unchanged.
        name: Vec<u8>,
        /// `O_NONBLOCK`, `O_TRUNC`.
        flags: u32,
    },
    /// Calls `reboot(2)`; there is no reply. For tests of the lab itself.
    Reset,
    /// Makes the kernel panic through `/proc/sysrq-trigger`. For tests of the lab itself.
    Panic,
    /// Spins in user space without end. With [`Request::InInit`] the agent itself spins and never answers again; in a job
    /// the agent continues to work. For tests of the lab itself.
    Hang,
}

/// An argument of a system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Argument {
    /// A number. A negative one is in two's complement.
    Number(u64),
    /// The address of a copy of these bytes; a C string includes its NUL.
    Bytes(Vec<u8>),
    /// The address of an array of 64-bit words: numbers, or addresses.
    Array(Vec<Argument>),
}

/// The arguments of socket(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct SocketSpec {
    /// The address family.
    pub family: i32,
    /// The socket type.
    pub kind: i32,
    /// The protocol.
    pub protocol: i32,
}

/// The result of a successful action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Value {
    /// No value.
    Unit,
    /// A number, such as the result of write(2).
    Number(i64),
    /// Several numbers; a negative one is `-errno`.
    Numbers(Vec<i64>),
    /// The contents of a file.
    Bytes(Vec<u8>),
    /// The results of several reads.
    Pieces(Vec<Vec<u8>>),
    /// The names in a directory.
    Names(Vec<Vec<u8>>),
    /// The status of a file.
    Stat(FileStat),
    /// The end of a program.
    Ran(Ran),
}

/// A part of `struct stat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct FileStat {
    /// The type and permissions.
    pub mode: u32,
    /// The length in bytes.
    pub size: u64,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum ExitKind {
    /// It exited with this status.
    Exited(i32),
    /// A signal killed it.
    Signalled(i32),
    /// It was killed because its limit had passed.
    TimedOut,
}

/// The end and the output of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Ran {
    /// How it ended.
    pub exit: ExitKind,
    /// The first MiB of standard output.
    pub stdout: Vec<u8>,
    /// The first MiB of standard error.
    pub stderr: Vec<u8>,
    /// The guest time from start to end.
    pub took: GuestMillis,
}

/// The result of an action, with the guest time of its start and end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct ActionResult {
    /// The value, or the errno.
    pub result: Result<Value, Errno>,
    /// The time of the start.
    pub began: GuestMicros,
    /// The time of the end.
    pub ended: GuestMicros,
}
