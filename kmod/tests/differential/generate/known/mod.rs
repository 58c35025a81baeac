//! Recognises the differences that docs/reference/compatibility.md lists.
//!
//! [`results`] has rules on what was printed: each changes one result according to one row of that page, and the results must
//! then be equal. [`inputs`] and [`steps`] have rules on the input of C kmod: each changes it so that C kmod must do what the row says of our
//! tools, and the results must then be equal, after the rules on results. [`ties`] does so for files of equal priority,
//! [`cycles`] where C kmod crashes at a cycle of soft dependencies. A difference that remains is not listed.

mod cycles;
mod getopt;
mod inputs;
mod results;
mod steps;
mod ties;

use std::io;

use super::judge::{Differing, Judge};
use super::plan::Plan;
use crate::compare::{Difference, compare};
use crate::results::Done;
use crate::setup::OURS;

/// The results of both tools on changed input, kept for all steps of a plan.
#[derive(Default)]
pub struct Rewritten {
    stages: Vec<Option<Stage>>,
    dump: Option<Vec<u8>>,
}

/// The results of one stage of changes; no results if the stage changed nothing.
struct Stage {
    reasons: Vec<&'static str>,
    theirs: Vec<Done>,
    ours: Vec<Done>,
    /// Whether the files are made from the output of `modprobe -c`: then messages about them are different.
    is_from_dump: bool,
}

/// The input of each tool.
#[derive(Clone)]
pub struct Inputs {
    pub theirs: Plan,
    pub ours: Plan,
}

/// Returns the differences that no rule explains, and the reasons for the others.
pub fn explain(
    at: &Differing<'_>,
    theirs: &Done,
    ours: &Done,
    rewritten: &mut Rewritten,
    judge: &Judge<'_>,
) -> io::Result<(Vec<Difference>, Vec<&'static str>)> {
    let (differences, reasons) = apply(at, theirs, ours, None);
    if differences.is_empty() {
        return Ok((Vec::new(), reasons));
    }
    let mut is_crash = theirs.end == "signal 11";
    for (number, changes) in inputs::STAGES.iter().enumerate() {
        if rewritten.stages.len() <= number {
            let stage = stage(at.plan, changes, rewritten, judge)?;
            rewritten.stages.push(stage);
        }
        let dump = rewritten.dump.as_deref();
        let Some(Some(stage)) = rewritten.stages.get(number) else { continue };
        let mut changed = stage.theirs[at.step].clone();
        is_crash |= changed.end == "signal 11";
        if stage.is_from_dump {
            let before = rewritten.stages[0].as_ref().map_or(theirs, |first| &first.theirs[at.step]);
            results::keep_configuration_messages(before, &mut changed);
        }
        let (rest, reasons) = apply(at, &changed, &stage.ours[at.step], dump);
        // Where our input changed too, our results must differ as the rule says.
        let has = |change: &inputs::Change| stage.reasons.contains(&change.reason);
        let is_right = (!has(&inputs::FAILING_SOFTDEP) || results::is_cut(ours, &stage.ours[at.step]))
            && (!has(&inputs::NO_SUFFIX) || results::depmod::is_refused(at, ours, &stage.ours[at.step]));
        if rest.is_empty() && is_right {
            return Ok((Vec::new(), reasons.into_iter().chain(stage.reasons.iter().copied()).collect()));
        }
    }
    if is_crash {
        if let Some(reasons) = cycles::explain(at, ours, rewritten, judge)? {
            return Ok((Vec::new(), reasons));
        }
    }
    Ok((differences, reasons))
}

/// Applies the rules on results, except those that make the difference larger.
fn apply(at: &Differing<'_>, theirs: &Done, ours: &Done, dump: Option<&[u8]>) -> (Vec<Difference>, Vec<&'static str>) {
    let compared = |theirs: &Done, ours: &Done| compare(at.case, &at.case.steps[at.step], theirs, ours);
    let size = |differences: &[Difference]| differences.iter().map(|(_, lines)| lines.len()).sum::<usize>();
    let (mut theirs, mut ours) = (theirs.clone(), ours.clone());
    let mut differences = compared(&theirs, &ours);
    let mut reasons = Vec::new();
    for rule in &results::RULES {
        if differences.is_empty() {
            break;
        }
        let (mut new_theirs, mut new_ours) = (theirs.clone(), ours.clone());
        (rule.apply)(at, dump, &mut new_theirs, &mut new_ours);
        if (&new_theirs, &new_ours) == (&theirs, &ours) {
            continue;
        }
        let new = compared(&new_theirs, &new_ours);
        if size(&new) <= size(&differences) {
            (theirs, ours, differences) = (new_theirs, new_ours, new);
            reasons.push(rule.reason);
        }
    }
    (differences, reasons)
}

/// Changes the input and runs the tools whose input changed.
fn stage(
    plan: &Plan,
    changes: &[inputs::Change],
    rewritten: &mut Rewritten,
    judge: &Judge<'_>,
) -> io::Result<Option<Stage>> {
    let mut inputs = Inputs { theirs: plan.clone(), ours: plan.clone() };
    let mut reasons = Vec::new();
    for change in changes {
        if (change.apply)(&mut inputs, rewritten, judge)? {
            reasons.push(change.reason);
        }
    }
    if reasons.is_empty() {
        return Ok(None);
    }
    let theirs = judge.run(&inputs.theirs.case(), "34")?;
    let ours = judge.run(&inputs.ours.case(), OURS)?;
    let is_from_dump = reasons.contains(&inputs::SOFTDEPS.reason);
    Ok(Some(Stage { reasons, theirs, ours, is_from_dump }))
}

/// Returns the reasons of all rules.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    let of_inputs = inputs::STAGES.iter().flat_map(|stage| stage.iter().map(|change| change.reason));
    results::RULES.iter().map(|rule| rule.reason).chain(of_inputs).chain([cycles::REASON])
}
