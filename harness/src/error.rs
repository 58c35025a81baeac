//! What can go wrong between the host and a guest.

use crate::ending::Death;
use crate::monitor::Finding;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The host's side failed: QEMU is missing, a file cannot be written, QEMU's control port talks nonsense.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// No QEMU.
    #[error(
        "{} was not found: install it (`apt-get install qemu-system-x86`, or ci/setup), or name one with --qemu",
        path.display()
    )]
    QemuMissing {
        /// What was looked for.
        path: PathBuf,
    },
    /// There is a QEMU that cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    QemuUnusable {
        /// The program.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file or directory.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A system call without a path.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A directory that others may write to.
    #[error("{} belongs to another user: remove it or name another cache directory", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// The program is ending: [`crate::Spawner::kill_all`] was called.
    #[error("interrupted: no further guest is started")]
    Interrupted,
    /// QEMU's control port.
    #[error("QEMU refused or did not answer `{command}`: {reason}")]
    Qmp {
        /// The command.
        command: String,
        /// QEMU's words, or what is missing.
        reason: String,
    },
}

impl HarnessError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { action, source: source.into() }
    }
}

/// No guest came up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The host's side.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// The guest ended before its agent answered.
    #[error("the guest ended before its agent answered: {0}")]
    Dead(Box<Death>),
    /// The agent did not answer in time; the guest was killed.
    #[error("the agent did not answer within {} s of {}: {death}", limit.as_secs_f32(), stage)]
    Timeout {
        /// The limit.
        limit: Duration,
        /// Since when.
        stage: &'static str,
        /// The guest as it was when it was killed.
        death: Box<Death>,
    },
    /// The agent in the initramfs was built from other sources.
    #[error(
        "the guest's agent speaks version {found:#x} of the protocol, this program {expected:#x}: build the guest programs anew with ci/setup"
    )]
    Version {
        /// The agent's.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The agent answered nonsense.
    #[error("the agent's first answer was not a greeting: {0}")]
    Protocol(String),
}

/// A call to the agent that gave no result.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The guest has ended.
    #[error("the guest ended: {0}")]
    Dead(Box<Death>),
    /// No reply in time. The guest still runs and may be called again; a late reply is dropped.
    #[error("the agent did not answer within {} s of wall time; the console's last lines:\n    {}", limit.as_secs_f32(), tail.join("\n    "))]
    Timeout {
        /// The limit.
        limit: Duration,
        /// The console's last lines.
        tail: Vec<String>,
        /// What the console has shown so far.
        findings: Vec<Finding>,
    },
    /// A reply that is none.
    #[error("protocol: {0}")]
    Protocol(String),
    /// The agent could not do it.
    #[error("agent: {0}")]
    Agent(String),
    /// The host's side.
    #[error(transparent)]
    Harness(#[from] HarnessError),
}
