//! Verdicts, and the exit code that a run's verdicts give.

use crate::fact::Fact;
use serde::{Deserialize, Serialize};

/// What is said of one behaviour on one kernel with one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every fact is as the statement promises.
    Pass,
    /// A listed deviation, still as it was listed.
    Known,
    /// A need is not met.
    Skip,
    /// A fact is not as promised, or the guest died showing why.
    Fail,
    /// The lab could not judge.
    Error,
}

impl Verdict {
    /// The word in reports.
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

/// How a check ended, before it is judged.
#[derive(Debug)]
pub enum CheckEnd {
    /// It ran to its end.
    Finished,
    /// It needs something that this kernel or subject does not have.
    NeedUnmet(String),
    /// The guest died with a panic, an oops or a lock-up on its console, after the agent had answered.
    GuestCrashed(String),
    /// The lab failed: no answer, a limit, a set-up step that did not work.
    LabFailed(String),
}

/// Judges a check: its end, its facts, the deviation that it declared, and what the monitor found on
/// the console. Gives the verdict and, unless it is a pass, the reason. No evidence is no pass.
#[must_use]
pub fn judge(end: CheckEnd, facts: &[Fact], known: Option<&str>, findings: &[String]) -> (Verdict, Option<String>) {
    let first_wrong = facts.iter().find(|fact| !fact.holds);
    let differing = |fact: &Fact| format!("{}: expected {}, got {}", fact.name, fact.expected, fact.got);
    match end {
        CheckEnd::GuestCrashed(reason) => (Verdict::Fail, Some(reason)),
        _ if !findings.is_empty() => (Verdict::Fail, Some(format!("on the console: {}", findings.join("; ")))),
        // A fact that was wrong stays wrong, whatever could not be looked at after it.
        CheckEnd::NeedUnmet(reason) => match first_wrong {
            Some(fact) => (Verdict::Fail, Some(format!("{}; then {reason}", differing(fact)))),
            None => (Verdict::Skip, Some(reason)),
        },
        CheckEnd::LabFailed(reason) => match first_wrong {
            Some(fact) => (Verdict::Fail, Some(format!("{}; then {reason}", differing(fact)))),
            None => (Verdict::Error, Some(reason)),
        },
        CheckEnd::Finished => match (first_wrong, known) {
            (Some(fact), None) => (Verdict::Fail, Some(differing(fact))),
            (Some(fact), Some(reason)) => {
                (Verdict::Fail, Some(format!("the known deviation is not as listed ({reason}): {}", differing(fact))))
            }
            (None, _) if facts.is_empty() => (Verdict::Error, Some("the check recorded no fact".to_owned())),
            (None, Some(reason)) => (Verdict::Known, Some(reason.to_owned())),
            (None, None) => (Verdict::Pass, None),
        },
    }
}

/// The exit codes of `kmodlab`, see docs/architecture.md.
pub mod exit {
    /// At least one behaviour passed; every other passed, is known, or is skipped.
    pub const OK: u8 = 0;
    /// A behaviour failed.
    pub const FAILED: u8 = 1;
    /// Wrong use, found before anything is built or booted, or an empty selection.
    pub const USAGE: u8 = 2;
    /// No failure, but something could not be judged, or nothing but skips.
    pub const INCONCLUSIVE: u8 = 125;
}

/// The exit code of a run with these verdicts; of an interrupted one, something was not judged.
#[must_use]
pub fn exit_code(verdicts: impl IntoIterator<Item = Verdict>, interrupted: bool) -> u8 {
    let (mut passed, mut unjudged) = (false, interrupted);
    for verdict in verdicts {
        match verdict {
            Verdict::Fail => return exit::FAILED,
            Verdict::Error => unjudged = true,
            Verdict::Pass => passed = true,
            Verdict::Known | Verdict::Skip => {}
        }
    }
    if passed && !unjudged { exit::OK } else { exit::INCONCLUSIVE }
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
    fn a_known_deviation_fails_when_it_stops_being_true() {
        assert_eq!(judge(CheckEnd::Finished, &[fact(true)], Some("listed"), &[]).0, Verdict::Known);
        assert_eq!(judge(CheckEnd::Finished, &[fact(false)], Some("listed"), &[]).0, Verdict::Fail);
    }

    #[test]
    fn a_lab_failure_is_an_error_unless_a_fact_was_wrong_before() {
        assert_eq!(judge(CheckEnd::LabFailed("x".into()), &[fact(true)], None, &[]).0, Verdict::Error);
        assert_eq!(judge(CheckEnd::LabFailed("x".into()), &[fact(false)], None, &[]).0, Verdict::Fail);
    }

    #[test]
    fn an_unmet_need_is_a_skip_unless_a_fact_was_wrong_before() {
        assert_eq!(judge(CheckEnd::NeedUnmet("x".into()), &[fact(true)], None, &[]).0, Verdict::Skip);
        assert_eq!(judge(CheckEnd::NeedUnmet("x".into()), &[fact(false)], None, &[]).0, Verdict::Fail);
        assert_eq!(judge(CheckEnd::NeedUnmet("x".into()), &[], None, &["oops: x".into()]).0, Verdict::Fail);
    }

    #[test]
    fn a_failure_wins_over_what_could_not_be_judged() {
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
