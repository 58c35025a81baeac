//! What changed from one report to another: verdicts, and what was observed. What was expected is not compared, since that
//! follows the kernel's era; nor are times, reasons and consoles. Pure.

use super::json::Report;
use crate::event::Row;
use crate::fact::Fact;
use crate::verdict::{Verdict, exit};
use serde::Serialize;
use std::collections::BTreeSet;

/// What was compared, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Version of this format.
    pub version: u32,
    /// What the base is: its kernels and subjects.
    pub base: Side,
    /// What the head is.
    pub head: Side,
    /// How many rows were compared: judged on both sides.
    pub compared: usize,
    /// What changed.
    pub changes: Vec<Change>,
    /// What could not be compared.
    pub unjudged: Vec<Unjudged>,
    /// The exit code of `kmodlab compare`.
    pub exit_code: u8,
}

/// One side.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Its kernels, as they were asked for and as `uname -r` has them.
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
    /// Whether it was allowed to change: it is told, and does not count.
    pub allowed: bool,
}

/// A fact that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactChange {
    /// What it is about.
    pub name: String,
    /// What was observed with the base; `None` if nothing was.
    pub base: Option<String>,
    /// And with the head.
    pub head: Option<String>,
}

/// A row that could not be compared.
#[derive(Clone, Debug, Serialize)]
pub struct Unjudged {
    /// The behaviour's id.
    pub id: String,
    /// The kernel's name.
    pub kernel: String,
    /// The subject.
    pub subject: String,
    /// Why.
    pub reason: String,
}

/// Version of the format of a comparison.
pub const VERSION: u32 = 1;

/// Compares two reports. With one kernel on each side these belong together whatever their names, else those of the same
/// name do; likewise subjects. `allowed` are ids whose change does not count.
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
    let mut met = BTreeSet::new();
    for old in &base.results {
        let at = head.results.iter().position(|new| pairing.same(old, new));
        let Some(at) = at.filter(|at| met.insert(*at)) else {
            comparison.unjudged.push(unjudged(old, "the head has no such row"));
            continue;
        };
        comparison.pair(old, &head.results[at], allowed);
    }
    let new = head.results.iter().enumerate().filter(|(at, _)| !met.contains(at));
    comparison.unjudged.extend(new.map(|(_, row)| unjudged(row, "the base has no such row")));
    for report in [("base", base), ("head", head)] {
        for kernel in &report.1.skipped_kernels {
            comparison.unjudged.push(Unjudged {
                id: String::new(),
                kernel: kernel.name.clone(),
                subject: String::new(),
                reason: format!("the {} has no such kernel: {}", report.0, kernel.reason),
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

/// Whether the one kernel, or the one subject, of each side belong together.
struct Pairing {
    kernels: bool,
    subjects: bool,
}

impl Pairing {
    fn same(&self, old: &Row, new: &Row) -> bool {
        old.id == new.id
            && (self.kernels || old.kernel.name == new.kernel.name)
            // A row about the kernel alone was run with whichever subject came first.
            && (self.subjects || old.subject == new.subject || (old.about == "kernel" && new.about == "kernel"))
    }
}

fn unjudged(row: &Row, reason: &str) -> Unjudged {
    Unjudged {
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
                self.unjudged.push(unjudged(row, &format!("not judged with the {side}: {reason}")));
                return;
            }
        }
        if (old.verdict, new.verdict) == (Verdict::Skip, Verdict::Skip) {
            return;
        }
        self.compared += 1;
        // A skip observed nothing: that it is one is all that changed.
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

    /// Rows that changed and were not allowed to.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.changes.iter().filter(|change| !change.allowed).count()
    }
}

/// The facts that differ; the n-th of a name belongs to the n-th of that name.
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
    FactChange { name: name.to_owned(), base: base.map(got), head: head.map(got) }
}

/// What a fact says, without what differs from run to run or by name only: a measured value outside of its range is told by
/// that, and the kernel's own release stands as a word.
fn observed(fact: &Fact, row: &Row) -> String {
    if !fact.holds && is_range(&fact.expected) {
        return "outside".to_owned();
    }
    if row.kernel.release.is_empty() { fact.got.clone() } else { fact.got.replace(&row.kernel.release, "RELEASE") }
}

/// `5000 to 8000 ms`, as [`Fact::within`] writes it.
fn is_range(expected: &str) -> bool {
    let number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u64>().is_ok());
    let mut words = expected.split(' ');
    number(words.next()) && words.next() == Some("to") && number(words.next()) && words.count() == 1
}

#[cfg(test)]
mod tests;
