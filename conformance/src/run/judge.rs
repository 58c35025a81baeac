//! Judges a row: facts against what the statement promises and against the known deviations. Pure.

use crate::catalogue::deviations::{Deviation, Deviations, DeviationsError, Listed, Names, Scope};
use crate::catalogue::suggest::nearest;
use crate::check::fact::{Fact, ListedDeviation};
use crate::check::lab::Pair;
use crate::run::allowed_findings::{AllowedFindings, AllowedFindingsError};
use crate::run::verdict::Verdict;
use std::collections::BTreeMap;
use vm_images::Catalogue;

/// What a run judges by.
#[derive(Clone, Debug, Default)]
pub struct Judging {
    /// The known deviations: the shipped ones and those of the user.
    pub deviations: Deviations,
    /// For the names of subjects that are not in the catalogue: the subject by whose shipped deviations each is judged.
    pub like: BTreeMap<String, String>,
    /// The console findings that do not count.
    pub allowed: AllowedFindings,
    /// Whether a kernel that does not reach the agent is a failure instead of an error (to bisect a boot).
    pub boot_failure_fails: bool,
}

/// A shipped table is invalid, which a test excludes.
#[derive(Debug, thiserror::Error)]
pub enum JudgingError {
    /// The table of deviations.
    #[error(transparent)]
    Deviations(#[from] DeviationsError),
    /// The list of allowed findings.
    #[error(transparent)]
    Allowed(#[from] AllowedFindingsError),
}

impl Judging {
    /// Returns a judging by the shipped deviations and allowed findings.
    ///
    /// # Errors
    /// [`JudgingError`] if they are invalid.
    pub fn builtin(catalogue: &Catalogue) -> Result<Judging, JudgingError> {
        let deviations = Deviations::builtin(&Names::new(catalogue))?;
        Ok(Judging { deviations, allowed: AllowedFindings::builtin()?, ..Judging::default() })
    }

    /// Returns the deviations that apply to a behaviour on this kernel with this subject.
    #[must_use]
    pub fn deviations_of(&self, behaviour: &str, pair: &Pair) -> Vec<Listed<'_>> {
        let probes: Vec<(&str, &str)> = pair.probes.iter().map(|(name, probed)| (name, &*probed.value)).collect();
        self.deviations.of(&Scope {
            behaviour,
            subject: &pair.subject,
            like: self.like.get(&pair.subject).map(String::as_str),
            release: &pair.release,
            probes: &probes,
        })
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

/// The evidence about a row.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// How the check ended.
    pub end: CheckEnd,
    /// What it observed. The judge adds the deviations that list a mismatch.
    pub facts: &'a mut [Fact],
    /// The findings on the console that count.
    pub findings: &'a [String],
}

/// Returns the verdict of a row and, unless it is a pass, the reason. Without evidence there is no pass.
#[must_use]
pub fn judge(evidence: Evidence<'_>, deviations: &[Listed<'_>]) -> (Verdict, Option<String>) {
    let Evidence { end, facts, findings } = evidence;
    let wrong = first_wrong(facts, deviations);
    let then = |wrong: String, reason: String| (Verdict::Fail, Some(format!("{wrong}; then {reason}")));
    match end {
        CheckEnd::GuestCrashed(reason) => (Verdict::Fail, Some(reason)),
        _ if !findings.is_empty() => (Verdict::Fail, Some(format!("on the console: {}", findings.join("; ")))),
        // A wrong fact remains a failure even if the check could not continue.
        CheckEnd::NeedUnmet(reason) => match wrong {
            Some(wrong) => then(wrong, reason),
            None => (Verdict::Skip, Some(reason)),
        },
        CheckEnd::LabFailed(reason) => match wrong {
            Some(wrong) => then(wrong, reason),
            None => (Verdict::Error, Some(reason)),
        },
        CheckEnd::Finished => match wrong {
            Some(wrong) => (Verdict::Fail, Some(wrong)),
            None => complete(facts, deviations),
        },
    }
}

/// Judges a complete check without wrong facts.
fn complete(facts: &[Fact], deviations: &[Listed<'_>]) -> (Verdict, Option<String>) {
    if facts.is_empty() {
        return (Verdict::Error, Some("the check recorded no facts".to_owned()));
    }
    if let Some(name) = repeated_name(facts) {
        return (Verdict::Error, Some(format!("the check recorded two facts with the name '{name}'")));
    }
    let stale: Vec<String> = deviations.iter().filter_map(|listed| why_stale(listed, facts)).collect();
    if !stale.is_empty() {
        return (Verdict::Fail, Some(stale.join("; ")));
    }
    let listed = facts.iter().filter_map(|fact| fact.deviation.as_ref()).map(|deviation| deviation.reason.as_str());
    let mut reasons: Vec<&str> = Vec::new();
    for reason in listed {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() { (Verdict::Pass, None) } else { (Verdict::Known, Some(reasons.join("; "))) }
}

/// Adds to each mismatch the deviation that lists it. Returns the first one that none lists.
fn first_wrong(facts: &mut [Fact], deviations: &[Listed<'_>]) -> Option<String> {
    let mut wrong = None;
    for fact in facts.iter_mut().filter(|fact| !fact.holds) {
        let about: Vec<&Deviation> =
            deviations.iter().map(|listed| listed.deviation).filter(|deviation| deviation.names(&fact.name)).collect();
        fact.deviation = about.iter().find(|deviation| deviation.accepts(&fact.got)).map(|deviation| ListedDeviation {
            reason: deviation.reason.clone(),
            reference: deviation.reference.clone(),
        });
        if fact.deviation.is_none() && wrong.is_none() {
            let listed = about.first().map_or_else(String::new, |deviation| {
                format!(" ({} lists {})", deviation.place, deviation.instead.join(" or "))
            });
            wrong = Some(format!("{}{listed}", fact.mismatch()));
        }
    }
    wrong
}

/// Returns why a deviation is stale: all its facts are as expected, or it has none.
fn why_stale(listed: &Listed<'_>, facts: &[Fact]) -> Option<String> {
    let deviation = listed.deviation;
    let mut own = facts.iter().filter(|fact| deviation.names(&fact.name)).peekable();
    let first = own.peek().copied();
    if !listed.must_occur || own.any(|fact| !fact.holds) {
        return None;
    }
    let what = match first {
        Some(fact) => format!("{}: got {}, as expected", fact.name, fact.got),
        None => {
            let names = facts.iter().map(|fact| fact.name.as_str());
            let nearest =
                nearest(&deviation.fact, names).map_or_else(String::new, |name| format!(" (nearest: '{name}')"));
            format!("no fact '{}' was observed{nearest}", deviation.fact)
        }
    };
    Some(format!("the deviation in {} does not occur: {what}", deviation.place))
}

/// Returns a name that two facts have. A deviation names a fact, so names must be unique.
fn repeated_name(facts: &[Fact]) -> Option<&str> {
    let repeated = |(at, fact): &(usize, &Fact)| facts[..*at].iter().any(|earlier| earlier.name == fact.name);
    facts.iter().enumerate().find(repeated).map(|(_, fact)| fact.name.as_str())
}

#[cfg(test)]
mod tests;
