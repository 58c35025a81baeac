//! Verdicts, and the exit code of a run.

use serde::{Deserialize, Serialize};

/// The result of one behaviour on one kernel with one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every fact is as the statement says.
    Pass,
    /// A known deviation: every mismatch is listed with its reason.
    Known,
    /// A need of the behaviour is not met.
    Skip,
    /// A fact differs from the statement, or the guest crashed.
    Fail,
    /// Inconclusive: kmodlab or QEMU failed, not the kernel or the tools.
    Error,
}

impl Verdict {
    /// Returns the name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Known => "known",
            Verdict::Skip => "skip",
            Verdict::Fail => "fail",
            Verdict::Error => "error",
        }
    }
}

/// The exit codes of `kmodlab`, see docs/architecture.md.
pub mod exit {
    /// At least one behaviour passed; the rest passed, are known deviations or were skipped.
    pub const OK: u8 = 0;
    /// A behaviour failed.
    pub const FAILED: u8 = 1;
    /// Invalid arguments or no behaviour selected; nothing was built or booted.
    pub const USAGE: u8 = 2;
    /// No behaviour failed, but one is inconclusive, or none passed.
    pub const INCONCLUSIVE: u8 = 125;
}

/// The number of rows per verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Passed.
    pub pass: usize,
    /// Failed.
    pub fail: usize,
    /// Known deviations.
    pub known: usize,
    /// Skipped.
    pub skip: usize,
    /// Could not be judged.
    pub error: usize,
    /// Rows among these whose attempts had different verdicts.
    #[serde(default)]
    pub flaky: usize,
}

impl Counts {
    /// Counts one row.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => self.pass += 1,
            Verdict::Fail => self.fail += 1,
            Verdict::Known => self.known += 1,
            Verdict::Skip => self.skip += 1,
            Verdict::Error => self.error += 1,
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.pass + self.fail + self.known + self.skip + self.error
    }

    /// Returns the exit code of a run with these verdicts. An incomplete run is inconclusive.
    #[must_use]
    pub fn exit_code(&self, incomplete: bool) -> u8 {
        match (self.fail, self.error, self.pass) {
            (1.., _, _) => exit::FAILED,
            (0, 0, 1..) if !incomplete => exit::OK,
            _ => exit::INCONCLUSIVE,
        }
    }
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The number of rows per verdict.
    pub counts: Counts,
    /// The exit code, see [`exit`].
    pub exit_code: u8,
}

/// Returns the exit code of a run with these verdicts. An interrupted run is inconclusive.
#[must_use]
pub fn exit_code(verdicts: impl IntoIterator<Item = Verdict>, interrupted: bool) -> u8 {
    let mut counts = Counts::default();
    verdicts.into_iter().for_each(|verdict| counts.add(verdict));
    counts.exit_code(interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_takes_precedence_over_an_inconclusive_row() {
        use Verdict::{Error, Fail, Known, Pass, Skip};
        assert_eq!(exit_code([Pass, Known, Skip], false), exit::OK);
        assert_eq!(exit_code([Pass, Error, Fail], false), exit::FAILED);
        assert_eq!(exit_code([Pass, Error], false), exit::INCONCLUSIVE);
        assert_eq!(exit_code([Skip, Skip], false), exit::INCONCLUSIVE);
        assert_eq!(exit_code([Known], false), exit::INCONCLUSIVE);
        assert_eq!(exit_code([], false), exit::INCONCLUSIVE);
        assert_eq!(exit_code([Pass], true), exit::INCONCLUSIVE);
        assert_eq!(exit_code([Pass, Fail], true), exit::FAILED);
    }
}
