//! How a guest ended, and the evidence a dead guest leaves.
//!
//! A good end has three witnesses: the agent announced it, QEMU reports that the guest reset itself, and the
//! console is clean. QEMU's exit status is not a witness: it is 0 after a panic too.

use crate::monitor::Finding;
use std::fmt;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The agent replied [`Reply::Bye`](agent::proto::Reply::Bye) and the guest then reset itself, as requested.
    pub planned: bool,
    /// The reason QEMU reports: `guest-reset`, `guest-shutdown`, …; `None` if it reported none.
    pub reason: Option<String>,
    /// How the QEMU process ended.
    pub exit: Exit,
    /// The findings on the console.
    pub findings: Vec<Finding>,
    /// Bytes on the agent's port that are not part of a message.
    pub noise: u64,
}

/// How the QEMU process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// A signal from outside killed it.
    Signal(i32),
    /// The harness killed it because the guest did not end.
    Killed,
}

impl Ending {
    /// Returns whether the end was planned, the console is clean, and the agent's port carried only messages.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.planned && self.findings.is_empty() && self.noise == 0
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.planned, self.reason.as_deref(), self.exit) {
            (true, ..) => write!(f, "ended as planned"),
            (_, _, Exit::Killed) => write!(f, "killed because it did not end"),
            // The guest's memory is a file: if the disk has no room for a page, touching it is a bus error.
            (_, _, Exit::Signal(7)) => write!(f, "QEMU was killed by signal 7 (bus error): is the disk full?"),
            (_, _, Exit::Signal(signal)) => write!(f, "QEMU was killed by signal {signal}"),
            (_, Some("guest-reset"), _) => write!(f, "unexpected reset by the guest"),
            (_, Some("guest-shutdown"), _) => write!(f, "unexpected power-off by the guest"),
            (_, Some(reason), Exit::Code(code)) => write!(f, "QEMU exited with status {code} ({reason})"),
            (_, None, Exit::Code(code)) => write!(f, "QEMU exited with status {code} and reported no reason"),
        }
    }
}

/// An unexpected end of a guest, with its last output.
#[derive(Clone, Debug)]
pub struct Death {
    /// How QEMU and the guest ended.
    pub ending: Ending,
    /// The last lines of the console, at most 40.
    pub tail: Vec<String>,
    /// The lines that QEMU itself wrote to standard error.
    pub stderr: Vec<String>,
    /// Whether the agent had answered and the console shows a panic, an oops or a lock-up. If so, the guest's
    /// kernel is to blame; otherwise the cause is unknown.
    pub evidence: bool,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ending)?;
        for finding in &self.ending.findings {
            write!(f, "\n  on the console: {}: {}", finding.kind, finding.title)?;
        }
        for (name, lines) in [("QEMU's standard error", &self.stderr), ("last lines of the console", &self.tail)] {
            if !lines.is_empty() {
                write!(f, "\n  {name}:")?;
                lines.iter().try_for_each(|line| write!(f, "\n    {line}"))?;
            }
        }
        Ok(())
    }
}
