//! How a guest ended, and what a dead one leaves as evidence.
//!
//! A good end has three witnesses: the agent said that it ends now, QEMU says that the guest reset itself, and
//! the console is clean. QEMU's exit status is none: it is 0 after a panic too.

use crate::monitor::Finding;
use std::fmt;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The agent said [`Reply::Bye`](agent::proto::Reply::Bye) and then the guest reset itself, as it was asked to.
    pub planned: bool,
    /// Why QEMU says it ended: `guest-reset`, `guest-shutdown`, …; `None`: it did not say.
    pub reason: Option<String>,
    /// How QEMU's process ended.
    pub exit: Exit,
    /// What the console showed.
    pub findings: Vec<Finding>,
    /// Bytes on the agent's port that belong to no message.
    pub noise: u64,
}

/// How QEMU's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// We killed it: the guest did not end.
    Killed,
}

impl Ending {
    /// The three witnesses of a good end agree: planned, a clean console, nothing but messages on the agent's port.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.planned && self.findings.is_empty() && self.noise == 0
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.planned, self.reason.as_deref(), self.exit) {
            (true, ..) => write!(f, "as planned"),
            (_, _, Exit::Killed) => write!(f, "killed by the lab, since it did not end"),
            // The guest's memory is a file: a page that its disk has no room for is a bus error.
            (_, _, Exit::Signal(7)) => write!(f, "QEMU was killed by signal 7 (bus error): is the disk full?"),
            (_, _, Exit::Signal(signal)) => write!(f, "QEMU was killed by signal {signal}"),
            (_, Some("guest-reset"), _) => write!(f, "it reset itself without being asked to"),
            (_, Some("guest-shutdown"), _) => write!(f, "it powered itself off without being asked to"),
            (_, Some(reason), Exit::Code(code)) => write!(f, "QEMU ended with {reason}, exit status {code}"),
            (_, None, Exit::Code(code)) => write!(f, "QEMU ended with exit status {code} and gave no reason"),
        }
    }
}

/// How a guest ended that was not meant to end, and what it said before.
#[derive(Clone, Debug)]
pub struct Death {
    /// How QEMU and the guest ended.
    pub ending: Ending,
    /// The last lines of the console, at most 40.
    pub tail: Vec<String>,
    /// The last lines that QEMU itself wrote to its standard error.
    pub stderr: Vec<String>,
    /// Does the console of a guest whose agent had answered hold a panic, an oops or a lock-up? Then the
    /// guest's kernel is to blame; without it nobody can say.
    pub evidence: bool,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ending)?;
        for finding in &self.ending.findings {
            write!(f, "\n  found on the console: {}: {}", finding.kind, finding.title)?;
        }
        for (name, lines) in [("QEMU wrote", &self.stderr), ("the console's last lines", &self.tail)] {
            if !lines.is_empty() {
                write!(f, "\n  {name}:")?;
                lines.iter().try_for_each(|line| write!(f, "\n    {line}"))?;
            }
        }
        Ok(())
    }
}
