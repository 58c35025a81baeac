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

/// Returns the exit code of a run with these verdicts. An interrupted run is inconclusive.
#[must_use]
pub fn exit_code(verdicts: impl IntoIterator<Item = Verdict>, interrupted: bool) -> u8 {
    let (mut passed, mut inconclusive) = (false, interrupted);
    for verdict in verdicts {
        match verdict {
            Verdict::Fail => return exit::FAILED,
            Verdict::Error => inconclusive = true,
            Verdict::Pass => passed = true,
            Verdict::Known | Verdict::Skip => {}
        }
    }
    if passed && !inconclusive { exit::OK } else { exit::INCONCLUSIVE }
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
