//! Console lines -> findings. Pure: no clock, no guest; tested on recorded logs in `fixtures/console`.

use std::fmt;

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The kernel gave up.
    Panic,
}

impl Kind {
    /// Does the kernel not work as a kernel after this: panic, oops, lock-up?
    #[must_use]
    pub fn is_fatal(self) -> bool {
        true
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("panic")
    }
}

/// One report on the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// The line that tells most.
    pub title: String,
    /// The report, with a few lines from before it.
    pub lines: Vec<String>,
}

/// Reads a console as it comes.
#[derive(Debug)]
pub struct Monitor {
    findings: Vec<Finding>,
}

impl Monitor {
    /// `boots`: is a boot expected on this console? A clone does not boot.
    #[must_use]
    pub fn new(boots: bool) -> Self {
        let _ = boots;
        Self { findings: Vec::new() }
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// What was found so far.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.findings.clone()
    }
}
