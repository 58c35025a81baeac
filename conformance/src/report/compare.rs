//! Compares the verdicts and observations of two reports. Expected values are not compared, because they depend on the
//! kernel's probes; nor are times, reasons and consoles. Pure.

use super::document::Report;
use crate::catalogue::entry::About;
use crate::check::fact::{Fact, ListedDeviation};
use crate::run::event::Row;
use crate::run::verdict::{Verdict, exit};
use serde::Serialize;
use std::collections::BTreeSet;

/// The result of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The version of this format.
    pub version: u32,
    /// The kernels and subjects of the base.
    pub base: Side,
    /// The kernels and subjects of the head.
    pub head: Side,
    /// The number of rows that were compared, because both sides judged them.
    pub compared: usize,
    /// The rows that changed.
    pub changes: Vec<Change>,
    /// The rows that could not be compared.
    pub unjudged: Vec<NotCompared>,
    /// The exit code of `kmodlab compare`.
    pub exit_code: u8,
}

/// One side of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Its kernels: the requested name and the release (`uname -r`).
    pub kernels: Vec<(String, String)>,
    /// Its subjects.
    pub subjects: Vec<String>,
}

/// A row that changed.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The behaviour's id.
    pub id: String,
    /// Its statement.
    pub statement: String,
    /// The kernels' names, base and head.
    pub kernels: (String, String),
    /// The subjects, base and head.
    pub subjects: (String, String),
    /// The verdicts, base and head.
    pub verdicts: (Verdict, Verdict),
    /// The reasons, base and head.
    pub reasons: (Option<String>, Option<String>),
    /// The facts that changed.
    pub facts: Vec<FactChange>,
    /// Whether the change is allowed. It is then reported but does not count.
    pub allowed: bool,
}

/// A fact that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactChange {
    /// The name of the fact.
    pub name: String,
    /// The value observed in the base; `None` if it has no such fact.
    pub base: Option<String>,
    /// The value observed in the head; `None` if it has no such fact.
    pub head: Option<String>,
    /// The known deviation that lists the value in the base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_deviation: Option<ListedDeviation>,
    /// The known deviation that lists the value in the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_deviation: Option<ListedDeviation>,
}

/// A row that could not be compared.
#[derive(Clone, Debug, Serialize)]
pub struct NotCompared {
    /// The behaviour's id.
    pub id: String,
    /// The kernel's name.
    pub kernel: String,
    /// The subject.
    pub subject: String,
    /// The reason.
    pub reason: String,
}

/// The version of the format of a comparison.
pub const VERSION: u32 = 1;

/// Compares two reports. If each side has one kernel, these two are compared whatever their names; otherwise kernels of the
/// same name are compared. The same applies to subjects. Changes of the behaviours in `allowed` do not count.
#[must_use]
pub fn compare(base: &Report, head: &Report, allowed: &BTreeSet<String>) -> Comparison {
    let sides = (side(base), side(head));
    let pairing = Pairing {
        kernels: sides.0.kernels.len() == 1 && sides.1.kernels.len() == 1,
        subjects: sides.0.subjects.len() == 1 && sides.1.subjects.len() == 1,
    };
    let mut comparison = Comparison {
        version: VERSION,
        base: sides.0,
        head: sides.1,
        compared: 0,
        changes: Vec::new(),
        unjudged: Vec::new(),
        exit_code: exit::INCONCLUSIVE,
    };
    let mut matched = BTreeSet::new();
    for old in &base.results {
        let at = head.results.iter().position(|new| pairing.matches(old, new));
        let Some(at) = at.filter(|at| matched.insert(*at)) else {
            comparison.unjudged.push(not_compared(old, "missing in the head"));
            continue;
        };
        comparison.pair(old, &head.results[at], allowed);
    }
    let new = head.results.iter().enumerate().filter(|(at, _)| !matched.contains(at));
    comparison.unjudged.extend(new.map(|(_, row)| not_compared(row, "missing in the base")));
    for report in [("base", base), ("head", head)] {
        for kernel in &report.1.skipped_kernels {
            comparison.unjudged.push(NotCompared {
                id: String::new(),
                kernel: kernel.name.clone(),
                subject: String::new(),
                reason: format!("kernel skipped in the {}: {}", report.0, kernel.reason),
            });
        }
    }
    let interrupted = [base, head].iter().any(|report| report.end.as_ref().is_none_or(|end| end.interrupted));
    comparison.exit_code = if comparison.changes.iter().any(|change| !change.allowed) {
        exit::FAILED
    } else if comparison.compared == 0 || !comparison.unjudged.is_empty() || interrupted {
        exit::INCONCLUSIVE
    } else {
        exit::OK
    };
    comparison
}

fn side(report: &Report) -> Side {
    let mut side = Side { kernels: Vec::new(), subjects: Vec::new() };
    for row in &report.results {
        let kernel = (row.kernel.name.clone(), row.kernel.release.clone());
        if !side.kernels.contains(&kernel) {
            side.kernels.push(kernel);
        }
        if !side.subjects.contains(&row.subject) {
            side.subjects.push(row.subject.clone());
        }
    }
    side
}

/// Whether the single kernels, or the single subjects, of both sides are compared with each other.
struct Pairing {
    kernels: bool,
    subjects: bool,
}

impl Pairing {
    fn matches(&self, old: &Row, new: &Row) -> bool {
        old.id == new.id
            && (self.kernels || old.kernel.name == new.kernel.name)
            // A behaviour about the kernel alone is run with the first subject, whichever that is.
            && (self.subjects || old.subject == new.subject || (old.about == About::Kernel && new.about == About::Kernel))
    }
}

fn not_compared(row: &Row, reason: &str) -> NotCompared {
    NotCompared {
        id: row.id.clone(),
        kernel: row.kernel.name.clone(),
        subject: row.subject.clone(),
        reason: reason.to_owned(),
    }
}

impl Comparison {
    fn pair(&mut self, old: &Row, new: &Row, allowed: &BTreeSet<String>) {
        for (row, side) in [(old, "base"), (new, "head")] {
            if row.verdict == Verdict::Error {
                let reason = row.reason.as_deref().unwrap_or("no reason");
                self.unjudged.push(not_compared(row, &format!("inconclusive in the {side}: {reason}")));
                return;
            }
        }
        if (old.verdict, new.verdict) == (Verdict::Skip, Verdict::Skip) {
            return;
        }
        self.compared += 1;
        // A skipped row has no observations to compare.
        let judged = old.verdict != Verdict::Skip && new.verdict != Verdict::Skip;
        let facts = if judged { changed_facts(old, new) } else { Vec::new() };
        if facts.is_empty() && old.verdict == new.verdict {
            return;
        }
        self.changes.push(Change {
            id: old.id.clone(),
            statement: new.statement.clone(),
            kernels: (old.kernel.name.clone(), new.kernel.name.clone()),
            subjects: (old.subject.clone(), new.subject.clone()),
            verdicts: (old.verdict, new.verdict),
            reasons: (old.reason.clone(), new.reason.clone()),
            facts,
            allowed: allowed.contains(&old.id),
        });
    }

    /// Returns the number of changes that are not allowed.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.changes.iter().filter(|change| !change.allowed).count()
    }
}

/// Returns the facts that differ. The n-th fact of a name is compared with the n-th fact of that name.
fn changed_facts(old: &Row, new: &Row) -> Vec<FactChange> {
    let (old_facts, new_facts) = (numbered(&old.facts), numbered(&new.facts));
    let mut changes = Vec::new();
    for (key, fact) in &old_facts {
        let other = new_facts.iter().find(|(other, _)| other == key).map(|(_, fact)| *fact);
        if other.is_none_or(|other| observed(fact, old) != observed(other, new)) {
            changes.push(change(&fact.name, Some(fact), other));
        }
    }
    let added = new_facts.iter().filter(|(key, _)| !old_facts.iter().any(|(other, _)| other == key));
    changes.extend(added.map(|(_, fact)| change(&fact.name, None, Some(fact))));
    changes
}

fn numbered(facts: &[Fact]) -> Vec<((&str, usize), &Fact)> {
    let number = |at: usize| facts[..at].iter().filter(|other| other.name == facts[at].name).count();
    facts.iter().enumerate().map(|(at, fact)| ((fact.name.as_str(), number(at)), fact)).collect()
}

fn change(name: &str, base: Option<&Fact>, head: Option<&Fact>) -> FactChange {
    let got = |fact: &Fact| fact.got.clone();
    let deviation = |fact: Option<&Fact>| fact.and_then(|fact| fact.deviation.clone());
    FactChange {
        name: name.to_owned(),
        base: base.map(got),
        head: head.map(got),
        base_deviation: deviation(base),
        head_deviation: deviation(head),
    }
}

/// Returns the observation of a fact without the parts that differ from run to run or between releases: a measured value
/// outside its range is `outside`, and the release of the kernel is `RELEASE`.
fn observed(fact: &Fact, row: &Row) -> String {
    if !fact.holds && is_range(&fact.expected) {
        return "outside".to_owned();
    }
    if row.kernel.release.is_empty() { fact.got.clone() } else { fact.got.replace(&row.kernel.release, "RELEASE") }
}

/// Returns whether an expected value is a range such as `5000 to 8000 ms`, as written by [`Fact::within`].
fn is_range(expected: &str) -> bool {
    let number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u64>().is_ok());
    let mut words = expected.split(' ');
    number(words.next()) && words.next() == Some("to") && number(words.next()) && words.count() == 1
}

#[cfg(test)]
mod tests;
