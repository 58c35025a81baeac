//! The plan of a recording helper, and the record it leaves.
//!
//! The kernel passes no arguments of ours to a helper, so its plan is in a file beside it. The helper is the
//! agent's program under any path `P` whose base name is not `agent` or `init`. It reads `P.plan` (a
//! [`HelperPlan`] in postcard), where `P` is argv\[0\], the path in `/proc/sys/kernel/modprobe`, and appends one
//! framed [`Record`] to `P.log` with a single write(2) (`O_APPEND`). Without a plan it records and exits with 1.

use crate::proto::{Action, GuestMicros};
use serde::{Deserialize, Serialize};

/// The plan of a helper, carried out in this order: record, act, end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct HelperPlan {
    /// Whether to leave a [`Record`].
    pub record: bool,
    /// Actions, carried out in order; their results are ignored.
    pub actions: Vec<Action>,
    /// How the helper ends.
    pub end: End,
}

/// The end of a helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum End {
    /// `_exit(status)`.
    Exit(i32),
    /// Raises this signal with its default action.
    Signal(i32),
    /// `execve(2)` with the helper's own environment; exits with 127 if that fails.
    Exec {
        /// The path of the program.
        program: Vec<u8>,
        /// The whole argument vector.
        argv: Vec<Arg>,
    },
}

/// One argument of [`End::Exec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Arg {
    /// These bytes.
    Literal(Vec<u8>),
    /// The helper's own argument with this index (0 is its path); omitted if there is none.
    Own(u32),
    /// All of the helper's own arguments from this index on.
    OwnFrom(u32),
}

/// The process that the kernel created for the helper, as found at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Record {
    /// The time of the start.
    pub time: GuestMicros,
    /// The process id.
    pub pid: i32,
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// The open descriptors.
    pub fds: Vec<i32>,
    /// The real, effective and saved uid.
    pub uids: [u32; 3],
    /// The real, effective and saved gid.
    pub gids: [u32; 3],
    /// `CapInh CapPrm CapEff CapBnd CapAmb` of `/proc/self/status`.
    pub caps: [u64; 5],
    /// `NoNewPrivs`.
    pub no_new_privs: bool,
    /// `Seccomp`.
    pub seccomp: u32,
    /// The umask.
    pub umask: u32,
    /// The nice value.
    pub nice: i32,
    /// The working directory.
    pub cwd: Vec<u8>,
    /// The root directory, as in `/proc/self/root`.
    pub root: Vec<u8>,
    /// The namespaces as `name:[inode]`, as in `/proc/self/ns`.
    pub namespaces: Vec<Vec<u8>>,
    /// The session id.
    pub sid: i32,
    /// The process group id.
    pub pgid: i32,
    /// `SigBlk` and `SigIgn` of `/proc/self/status`.
    pub signals: [u64; 2],
    /// The soft and hard limit of `RLIMIT_NOFILE`.
    pub nofile: [u64; 2],
    /// The soft limit of `RLIMIT_CORE`.
    pub core: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_and_records_round_trip() {
        arbtest::arbtest(|u| {
            let plan: HelperPlan = u.arbitrary()?;
            assert_eq!(postcard::from_bytes::<HelperPlan>(&postcard::to_stdvec(&plan).unwrap()).unwrap(), plan);
            let record: Record = u.arbitrary()?;
            assert_eq!(postcard::from_bytes::<Record>(&postcard::to_stdvec(&record).unwrap()).unwrap(), record);
            Ok(())
        });
    }
}
