//! Several files for one module with the same priority: C kmod lists the first that readdir(3) returns, ours the first by path.
//!
//! Two files have the same priority if C kmod's choice between them changes with the order in which they are created. For each
//! module with such files, C kmod gets only the file that our tools chose.

use std::collections::BTreeMap;
use std::io;

use super::super::judge::Judge;
use super::super::plan::Plan;
use super::{Inputs, Rewritten};
use crate::results::Done;
use crate::setup::OURS;

/// Removes the files that our tools did not choose from C kmod's input, if only the order of readdir(3) prefers them.
pub fn our_choice(inputs: &mut Inputs, _: &mut Rewritten, judge: &Judge<'_>) -> io::Result<bool> {
    let plan = inputs.theirs.clone();
    let (theirs, ours) = (choice(&plan, judge, "34")?, choice(&inputs.ours, judge, OURS)?);
    let mut changed = false;
    for (module, our_path) in &ours {
        let Some(their_path) = theirs.get(module).filter(|path| *path != our_path) else { continue };
        let mut pair = plan.clone();
        pair.modules
            .retain(|(path, _)| super::inputs::module_of(path) != *module || [our_path, their_path].contains(&path));
        let mut chosen = Vec::new();
        for reversed in [false, true] {
            pair.reversed = reversed;
            chosen.extend(choice(&pair, judge, "34")?.remove(module));
        }
        if chosen.contains(our_path) && chosen.contains(their_path) {
            let plan = &mut inputs.theirs;
            plan.modules.retain(|(path, _)| super::inputs::module_of(path) != *module || path == our_path);
            changed = true;
        }
    }
    Ok(changed)
}

/// Returns the path that a tool lists for each module.
fn choice(plan: &Plan, judge: &Judge<'_>, tool: &str) -> io::Result<BTreeMap<String, String>> {
    let mut plan = plan.clone();
    plan.steps.clear();
    plan.run_line("depmod");
    let done = judge.run(&plan.case(), tool)?;
    let list = |done: &Done| {
        done.files.iter().find(|(path, ..)| path.ends_with(b"/modules.dep")).map(|(.., text)| text.clone())
    };
    let text = String::from_utf8_lossy(&done.first().and_then(list).unwrap_or_default()).into_owned();
    let path = |line: &str| {
        let path = line.split(':').next().unwrap_or_default().to_owned();
        (super::inputs::module_of(&path), path)
    };
    Ok(text.lines().map(path).collect())
}
