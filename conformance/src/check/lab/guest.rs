//! The connection to a guest, and the errors of a check.

use crate::check::errno;
use agent::proto::{Errno, Reply, Request};
use std::time::Duration;

/// A connection to a guest: a machine of the harness, or a script in unit tests.
pub trait Guest {
    /// Sends a request and waits for the reply, at most for `wall` of wall time.
    ///
    /// # Errors
    /// [`GuestError`] if there is no reply.
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError>;
}

/// The guest did not answer.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// It crashed, with evidence on its console: a panic, an oops or a lockup.
    #[error("the guest crashed: {0}")]
    Crashed(String),
    /// It ended or stopped answering without such evidence.
    #[error("{0}")]
    Lost(String),
}

/// An error that ends a check.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The guest did not answer.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The agent reported a failure.
    #[error("the agent cannot {what}: {why}")]
    Agent {
        /// The request, as a verb phrase.
        what: &'static str,
        /// The agent's message.
        why: String,
    },
    /// The guest's kernel refused a step of the set-up.
    #[error("set-up failed: cannot {what}: {}", errno::name(*errno))]
    SetUp {
        /// The step, as a verb phrase.
        what: String,
        /// The errno.
        errno: Errno,
    },
    /// A step of the set-up had no usable result.
    #[error("set-up failed: {0}")]
    Unexpected(String),
    /// An action has not ended. The check has recorded that as a fact.
    #[error("the check cannot continue")]
    Hung,
    /// The kernel or the subject does not have something that the check needs.
    #[error("needs {0}")]
    Need(String),
    /// The check asks for a probe that its entry does not list.
    #[error("the entry of the behaviour does not list the probe {0}")]
    Probe(String),
    /// The wall-clock limit of the behaviour was reached.
    #[error("{0}")]
    TimeUp(String),
}
