//! Runs a plan with C kmod 34.2 and our tools, and returns the differences that are not listed.

use std::io;

use super::known;
use super::plan::Plan;
use crate::case::Case;
use crate::compare::{Difference, compare};
use crate::results::{Done, Row};
use crate::sandbox::Sandbox;
use crate::setup::OURS;

/// The result of a plan.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The step and part of each difference that is not listed.
    pub differences: Vec<(usize, Difference)>,
    /// The rows of docs/reference/compatibility.md that explain the other differences.
    pub reasons: Vec<&'static str>,
    /// Whether C kmod did not end in some step: its result is then unknown, and so are those of the steps that follow.
    pub is_cut: bool,
    /// What C kmod and our tools did in each step.
    pub theirs: Vec<Done>,
    pub ours: Vec<Done>,
}

/// Runs plans in a sandbox.
pub struct Judge<'s> {
    sandbox: &'s Sandbox<'s>,
}

/// A step whose results differ.
pub struct Differing<'a> {
    pub plan: &'a Plan,
    pub case: &'a Case,
    pub step: usize,
}

impl<'s> Judge<'s> {
    pub fn new(sandbox: &'s Sandbox<'s>) -> Self {
        Self { sandbox }
    }

    /// Compares the results of a plan.
    pub fn judge(&mut self, plan: &Plan) -> io::Result<Verdict> {
        let case = plan.case();
        let (theirs, ours) = (self.run(&case, "34")?, self.run(&case, OURS)?);
        let mut verdict = Verdict { theirs, ours, ..Verdict::default() };
        let mut rewritten = known::Rewritten::default();
        for step in 0..case.steps.len() {
            let (theirs, ours) = (&verdict.theirs[step], &verdict.ours[step]);
            if !theirs.has_ended() && ours.has_ended() {
                verdict.is_cut = true;
                break;
            }
            if compare(&case, &case.steps[step], theirs, ours).is_empty() {
                continue;
            }
            let differing = Differing { plan, case: &case, step };
            let (rest, reasons) = known::explain(&differing, theirs, ours, &mut rewritten, self)?;
            verdict.differences.extend(rest.into_iter().map(|difference| (step, difference)));
            verdict.reasons.extend(reasons);
        }
        verdict.reasons.sort_unstable();
        verdict.reasons.dedup();
        Ok(verdict)
    }

    /// Runs a case with one tool and returns the result of each step.
    pub fn run(&self, case: &Case, tool: &str) -> io::Result<Vec<Done>> {
        let rows = self.sandbox.run(case, tool);
        self.sandbox.clear()?;
        Ok(rows?.into_iter().filter(|(_, by, _)| by == tool).map(|(_, _, done): Row| done).collect())
    }
}
