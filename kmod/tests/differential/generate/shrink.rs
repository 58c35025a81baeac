//! Shrinks a plan: removes and simplifies parts as long as the difference remains.

use std::time::{Duration, Instant};

use super::plan::Plan;
use crate::case::Step;

/// The most plans to try, and the time for them.
const ATTEMPTS: usize = 1500;
const TIME: Duration = Duration::from_secs(30);

/// Returns the smallest plan found for which `differs` holds, as it does for `plan`.
pub fn shrink(mut plan: Plan, mut differs: impl FnMut(&Plan) -> bool) -> Plan {
    let (mut attempts, end) = (0, Instant::now() + TIME);
    loop {
        let before = plan.size();
        for pass in [steps, loaded, files, modules, texts, words, details] {
            let mut place = 0;
            // A pass returns its candidate at a place; after a success the same place is tried again.
            while let Some(candidate) = pass(&plan, place) {
                attempts += 1;
                if attempts > ATTEMPTS || Instant::now() > end {
                    return plan;
                }
                if candidate.size() < plan.size() && differs(&candidate) {
                    plan = candidate;
                } else {
                    place += 1;
                }
            }
        }
        if plan.size() == before {
            return plan;
        }
    }
}

fn steps(plan: &Plan, place: usize) -> Option<Plan> {
    // Every other command needs the indexes of the first depmod.
    let is_depmod = |step: &Step| step.words == [b"depmod"];
    if plan.steps.len() > 1 && plan.steps.first().is_some_and(is_depmod) {
        let range = ranges(plan.steps.len() - 1).nth(place)?;
        let mut plan = plan.clone();
        plan.steps.drain(range.start + 1..range.end + 1);
        return Some(plan);
    }
    without(plan, place, |plan| &mut plan.steps)
}

fn loaded(plan: &Plan, place: usize) -> Option<Plan> {
    without(plan, place, |plan| &mut plan.loaded)
}

fn files(plan: &Plan, place: usize) -> Option<Plan> {
    without(plan, place, |plan| &mut plan.files)
}

fn modules(plan: &Plan, place: usize) -> Option<Plan> {
    without(plan, place, |plan| &mut plan.modules)
}

/// Removes a range of a list: halves first, then quarters, down to single entries.
fn without<T>(plan: &Plan, place: usize, list: impl Fn(&mut Plan) -> &mut Vec<T>) -> Option<Plan> {
    let mut plan = plan.clone();
    let list = list(&mut plan);
    let range = ranges(list.len()).nth(place)?;
    list.drain(range);
    Some(plan)
}

/// Returns ranges of a list of this length, the longest first.
fn ranges(length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let halved = |size: &usize| (*size > 1).then_some(size / 2);
    let sizes = std::iter::successors((length > 0).then_some(length), halved);
    sizes.flat_map(move |size| (0..length).step_by(size).map(move |at| at..(at + size).min(length)))
}

/// Shortens the contents of files.
fn texts(plan: &Plan, place: usize) -> Option<Plan> {
    let mut rest = place;
    for (number, (path, content)) in plan.files.iter().enumerate() {
        // The lists of the kernel build have other differences when they are damaged.
        if !path.starts_with('/') {
            continue;
        }
        let mut candidates = shorter(content);
        let count = candidates.len();
        if rest < count {
            let mut plan = plan.clone();
            plan.files[number].1 = candidates.swap_remove(rest);
            return Some(plan);
        }
        rest -= count;
    }
    None
}

/// Removes arguments of commands, and shortens them.
fn words(plan: &Plan, place: usize) -> Option<Plan> {
    let mut rest = place;
    for (number, step) in plan.steps.iter().enumerate() {
        for at in 1..step.words.len() {
            let mut candidates = shorter(&step.words[at]);
            let mut plan = plan.clone();
            if rest == 0 {
                plan.steps[number].words.remove(at);
                return Some(plan);
            }
            rest -= 1;
            if rest < candidates.len() {
                plan.steps[number].words[at] = candidates.swap_remove(rest);
                return Some(plan);
            }
            rest -= candidates.len();
        }
        if !step.env.is_empty() {
            if rest == 0 {
                let mut plan = plan.clone();
                plan.steps[number].env.clear();
                return Some(plan);
            }
            rest -= 1;
        }
    }
    None
}

/// Removes details of modules.
fn details(plan: &Plan, place: usize) -> Option<Plan> {
    let mut rest = place;
    let mut at = |count: usize| match rest < count {
        true => Some(rest),
        false => {
            rest -= count;
            None
        }
    };
    for (number, (_, module)) in plan.modules.iter().enumerate() {
        let mut plan = plan.clone();
        let small = &mut plan.modules[number].1;
        // The first entry is the name.
        if let Some(at) = at(module.modinfo.len().saturating_sub(1)) {
            small.modinfo.remove(at + 1);
            return Some(plan);
        }
        if let Some(at) = at(module.exports.len()) {
            small.exports.remove(at);
            return Some(plan);
        }
        if let Some(at) = at(module.imports.len()) {
            small.imports.remove(at);
            return Some(plan);
        }
    }
    for (number, module) in plan.loaded.iter().enumerate() {
        let mut plan = plan.clone();
        let small = &mut plan.loaded[number];
        if let Some(at) = at(module.users.len()) {
            small.users.remove(at);
            return Some(plan);
        }
        if at(usize::from(module.references > 0)).is_some() {
            small.references -= 1;
            return Some(plan);
        }
    }
    None
}

/// Returns shorter texts: without ranges of lines, then without ranges of bytes.
fn shorter(text: &[u8]) -> Vec<Vec<u8>> {
    let lines: Vec<&[u8]> = text.split_inclusive(|&b| b == b'\n').collect();
    let without_lines = ranges(lines.len()).map(|range| {
        let kept = lines.iter().enumerate().filter(|(number, _)| !range.contains(number));
        kept.flat_map(|(_, line)| line.iter().copied()).collect()
    });
    let without_bytes = ranges(text.len()).map(|range| [&text[..range.start], &text[range.end..]].concat());
    without_lines.chain(without_bytes).collect()
}
