//! Verdicts, and the exit code of a run.

use crate::check::fact::Fact;
use serde::{Deserialize, Serialize};

/// The result of one behaviour on one kernel with one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every fact is as the statement says.
    Pass,
    /// A known deviation: every mismatch is listed in the check.
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

/// How a check ended.
#[derive(Debug)]
pub enum CheckEnd {
    /// The check is complete.
    Finished,
    /// The kernel or the subject does not meet a need.
    NeedUnmet(String),
    /// The guest ended with a panic, an oops or a lockup on its console, after the agent had replied.
    GuestCrashed(String),
    /// The lab failed: no reply, a limit was exceeded, or the set-up failed.
    LabFailed(String),
}

/// Returns the verdict of a check and, unless it is a pass, the reason. The evidence is how the check ended, its facts,
/// the deviation that it declared, and the findings on the console. Without evidence there is no pass.
#[must_use]
pub fn judge(end: CheckEnd, facts: &[Fact], known: Option<&str>, findings: &[String]) -> (Verdict, Option<String>) {
    let first_wrong = facts.iter().find(|fact| !fact.holds);
    match end {
        CheckEnd::GuestCrashed(reason) => (Verdict::Fail, Some(reason)),
        _ if !findings.is_empty() => (Verdict::Fail, Some(format!("on the console: {}", findings.join("; ")))),
        // A wrong fact remains a failure even if the check could not continue.
        CheckEnd::NeedUnmet(reason) => match first_wrong {
            Some(fact) => (Verdict::Fail, Some(format!("{}; then {reason}", fact.mismatch()))),
            None => (Verdict::Skip, Some(reason)),
        },
        CheckEnd::LabFailed(reason) => match first_wrong {
            Some(fact) => (Verdict::Fail, Some(format!("{}; then {reason}", fact.mismatch()))),
            None => (Verdict::Error, Some(reason)),
        },
        CheckEnd::Finished => match (first_wrong, known) {
            (Some(fact), None) => (Verdict::Fail, Some(fact.mismatch())),
            (Some(fact), Some(reason)) => {
                (Verdict::Fail, Some(format!("differs from the known deviation ({reason}): {}", fact.mismatch())))
            }
            (None, _) if facts.is_empty() => (Verdict::Error, Some("the check recorded no facts".to_owned())),
            (None, Some(reason)) => (Verdict::Known, Some(reason.to_owned())),
            (None, None) => (Verdict::Pass, None),
        },
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

    fn fact(holds: bool) -> Fact {
        Fact { name: "n".into(), expected: "1".into(), got: if holds { "1" } else { "2" }.into(), holds }
    }

    #[test]
    fn a_check_without_facts_is_an_error_and_never_a_pass() {
        assert_eq!(judge(CheckEnd::Finished, &[], None, &[]).0, Verdict::Error);
        assert_eq!(judge(CheckEnd::Finished, &[], Some("listed"), &[]).0, Verdict::Error);
    }

    #[test]
    fn a_finding_on_the_console_fails_a_check_whose_facts_hold() {
        assert_eq!(judge(CheckEnd::Finished, &[fact(true)], None, &["WARNING: x".into()]).0, Verdict::Fail);
    }

    #[test]
    fn a_known_deviation_fails_if_a_fact_differs_from_it() {
        assert_eq!(judge(CheckEnd::Finished, &[fact(true)], Some("listed"), &[]).0, Verdict::Known);
        assert_eq!(judge(CheckEnd::Finished, &[fact(false)], Some("listed"), &[]).0, Verdict::Fail);
    }

    #[test]
    fn a_lab_failure_is_an_error_unless_a_fact_is_wrong() {
        assert_eq!(judge(CheckEnd::LabFailed("x".into()), &[fact(true)], None, &[]).0, Verdict::Error);
        assert_eq!(judge(CheckEnd::LabFailed("x".into()), &[fact(false)], None, &[]).0, Verdict::Fail);
    }

    #[test]
    fn an_unmet_need_is_a_skip_unless_a_fact_is_wrong() {
        assert_eq!(judge(CheckEnd::NeedUnmet("x".into()), &[fact(true)], None, &[]).0, Verdict::Skip);
        assert_eq!(judge(CheckEnd::NeedUnmet("x".into()), &[fact(false)], None, &[]).0, Verdict::Fail);
        assert_eq!(judge(CheckEnd::NeedUnmet("x".into()), &[], None, &["oops: x".into()]).0, Verdict::Fail);
    }

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
