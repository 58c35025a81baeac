//! What a recording helper does when the kernel starts it, and the record that it leaves.
//!
//! The kernel gives a helper no argument of ours, so its plan lies beside it: the helper is the
//! agent's program under any path `P` whose base name is not `agent` or `init`; it reads `P.plan` (a [`Plan`], postcard,
//! found through argv\[0\], which is the path in `/proc/sys/kernel/modprobe`) and appends one framed
//! [`Record`] to `P.log` with a single write(2) (`O_APPEND`). Without a plan it records and exits with 1.

use crate::proto::{Action, GuestMicros};
use serde::{Deserialize, Serialize};

/// What a helper does, in this order: record, act, end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Plan {
    /// Leave a [`Record`].
    pub record: bool,
    /// Carried out in order; results are ignored.
    pub actions: Vec<Action>,
    /// How it ends.
    pub end: End,
}

/// How a helper ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum End {
    /// `_exit(status)`.
    Exit(i32),
    /// Raises this signal with its default action.
    Signal(i32),
    /// `execve(2)`; exits with 127 if that fails. The environment is passed on.
    Exec {
        /// Path of the program.
        program: Vec<u8>,
        /// All of argv.
        argv: Vec<Arg>,
    },
}

/// One argument of [`End::Exec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub enum Arg {
    /// These bytes.
    Literal(Vec<u8>),
    /// The helper's own argument of this number (0 is its path; left out if there is none).
    Own(u32),
    /// All of the helper's own arguments from this number on.
    OwnFrom(u32),
}

/// Who the kernel made the helper. Everything is as found at its very start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(arbitrary::Arbitrary))]
pub struct Record {
    /// When it started.
    pub time: GuestMicros,
    /// Its process id.
    pub pid: i32,
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// Numbers of the descriptors that were open.
    pub fds: Vec<i32>,
    /// Real, effective, saved uid.
    pub uids: [u32; 3],
    /// Real, effective, saved gid.
    pub gids: [u32; 3],
    /// `CapInh CapPrm CapEff CapBnd CapAmb` of `/proc/self/status`.
    pub caps: [u64; 5],
    /// `NoNewPrivs`.
    pub no_new_privs: bool,
    /// `Seccomp`.
    pub seccomp: u32,
    /// umask.
    pub umask: u32,
    /// Nice value.
    pub nice: i32,
    /// Working directory.
    pub cwd: Vec<u8>,
    /// Root directory, as `/proc/self/root` names it.
    pub root: Vec<u8>,
    /// Namespace links, `name:[inode]`, as `/proc/self/ns` lists them.
    pub namespaces: Vec<Vec<u8>>,
    /// Session id.
    pub sid: i32,
    /// Process group id.
    pub pgid: i32,
    /// `SigBlk` and `SigIgn` of `/proc/self/status`.
    pub signals: [u64; 2],
    /// Soft and hard limit of `RLIMIT_NOFILE`.
    pub nofile: [u64; 2],
    /// Soft limit of `RLIMIT_CORE`.
    pub core: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_and_record_is_read_as_it_was_written() {
        arbtest::arbtest(|u| {
            let plan: Plan = u.arbitrary()?;
            assert_eq!(postcard::from_bytes::<Plan>(&postcard::to_stdvec(&plan).unwrap()).unwrap(), plan);
            let record: Record = u.arbitrary()?;
            assert_eq!(postcard::from_bytes::<Record>(&postcard::to_stdvec(&record).unwrap()).unwrap(), record);
            Ok(())
        });
    }
}
