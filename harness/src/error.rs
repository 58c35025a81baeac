//! The errors of the host and of a guest.
//!
//! An error that has a cause exposes it as [`source`](std::error::Error::source) and leaves it out of its own
//! text; [`error_chain`] prints the whole chain.

use crate::ending::Death;
use crate::monitor::Finding;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A failure on the host: QEMU is missing, a file cannot be written, QEMU's control port misbehaves.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// There is no QEMU.
    #[error("QEMU not found: {}", path.display())]
    QemuMissing {
        /// The program that was looked for.
        path: PathBuf,
    },
    /// The program is not a usable QEMU.
    #[error("cannot use {} as QEMU: {reason}", path.display())]
    QemuUnusable {
        /// The program.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// An operation on a file or directory failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An operation without a path failed.
    #[error("cannot {action}")]
    System {
        /// The operation.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The directory belongs to another user, who could change what is in it.
    #[error("{} belongs to another user", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// The program is ending: [`crate::Spawner::kill_all`] was called.
    #[error("interrupted")]
    Interrupted,
    /// QEMU refused a command on its control port, or did not answer.
    #[error("QEMU command `{command}` failed: {reason}")]
    Qmp {
        /// The command.
        command: String,
        /// QEMU's description of the error, or what is missing.
        reason: String,
    },
    /// A command could not be sent to QEMU's control port.
    #[error("cannot send `{command}` to QEMU")]
    QmpSend {
        /// The command.
        command: String,
        /// The system's error.
        source: io::Error,
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

/// A guest did not boot.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A failure on the host.
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
        /// The start of the limit.
        stage: &'static str,
        /// The guest when it was killed.
        death: Box<Death>,
    },
    /// The agent in the initramfs was built from other sources.
    #[error("the guest's agent speaks protocol version {found:#x}, this program {expected:#x}")]
    Version {
        /// The agent's version.
        found: u32,
        /// This program's version.
        expected: u32,
    },
    /// The agent's first message was not a greeting.
    #[error("the agent's first message is not a greeting: {0}")]
    Protocol(String),
}

/// A call to the agent failed.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The guest has ended.
    #[error("the guest ended: {0}")]
    Dead(Box<Death>),
    /// No reply arrived in time. The guest still runs and can be called again; a late reply is dropped.
    #[error("the agent did not answer within {} s of wall time; last lines of the console:\n    {}", limit.as_secs_f32(), tail.join("\n    "))]
    Timeout {
        /// The limit.
        limit: Duration,
        /// The last lines of the console.
        tail: Vec<String>,
        /// The findings on the console so far.
        findings: Vec<Finding>,
    },
    /// The reply cannot be read.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The agent reported a failure.
    #[error("agent: {0}")]
    Agent(String),
    /// A failure on the host.
    #[error(transparent)]
    Harness(#[from] HarnessError),
}

/// Returns an error and its causes, each once, joined with `: `, without the numbers that Rust appends to system errors.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(|error| without_numbers(&error.to_string())).collect::<Vec<_>>().join(": ")
}

/// Removes the numbers that Rust appends to system errors.
fn without_numbers(text: &str) -> String {
    const START: &str = " (os ";
    let mut pieces = text.split(START);
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let number = piece.strip_prefix("error ").and_then(|rest| rest.split_once(')'));
        match number {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => kept.push_str(rest),
            _ => kept.extend([START, piece]),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_printed_once() {
        let error = HarnessError::io("read", Path::new("/k/bzImage"))(io::Error::from_raw_os_error(2));
        assert_eq!(error_chain(&error), "cannot read /k/bzImage: No such file or directory");
        let error =
            BootError::Harness(HarnessError::system("create a pipe for QEMU")(io::Error::from_raw_os_error(24)));
        assert_eq!(error_chain(&error), "cannot create a pipe for QEMU: Too many open files");
        let error = HarnessError::QmpSend { command: "cont".to_owned(), source: io::ErrorKind::TimedOut.into() };
        assert_eq!(error_chain(&error), "cannot send `cont` to QEMU: timed out");
    }

    #[test]
    fn only_the_numbers_of_system_errors_are_removed() {
        let [missing, denied] = [2, 13].map(io::Error::from_raw_os_error);
        assert_eq!(
            without_numbers(&format!("a: {missing}: b: {denied}")),
            "a: No such file or directory: b: Permission denied"
        );
        for text in ["a (os x)", "a (os", "a (b)"] {
            assert_eq!(without_numbers(text), text);
        }
    }
}
