//! `modprobe -r` with a cycle of soft dependencies, at which C kmod crashes: ours must do what C kmod does without the words that
//! close a cycle.
//!
//! The words depend on where the removal starts, so that C kmod removes the modules of the command one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::super::judge::{Differing, Judge};
use super::super::plan::Plan;
use super::getopt::{Arguments, tool};
use super::inputs::{self, module_of};
use super::{Rewritten, apply, results};
use crate::results::Done;
use crate::setup::OURS;

pub const REASON: &str = "modprobe: `-r` with a cycle of softdeps";

/// Returns the reasons if cycles explain the difference. C kmod crashes in this step, perhaps only where all soft dependencies count.
pub fn explain(
    at: &Differing<'_>,
    ours: &Done,
    rewritten: &mut Rewritten,
    judge: &Judge<'_>,
) -> io::Result<Option<Vec<&'static str>>> {
    let step = &at.plan.steps[at.step];
    let arguments = Arguments::of(step);
    if !ours.end.starts_with("exit ") || tool(step) != b"modprobe" || !arguments.has(b'r') {
        return Ok(None);
    }
    let dump = inputs::dump(at.plan, rewritten, judge)?.to_vec();
    let config = Config::of(at.plan, &dump);
    let mut theirs = Done { end: "exit 0".into(), ..Done::default() };
    let mut is_cut = false;
    let is_holders = step.words.iter().any(|word| word.starts_with(b"--remove-h"));
    for operand in &arguments.operands {
        let mut cut = config.clone();
        let name = String::from_utf8_lossy(operand).replace('-', "_");
        if is_holders {
            let holders = at.plan.loaded.iter().filter(|module| config.modules(&name).contains(&module.name));
            let holders = holders.flat_map(|module| &module.users).cloned();
            cut.dependencies.entry(name.clone()).or_default().extend(holders);
        }
        is_cut |= cut.cut(&name, &mut Vec::new(), &mut BTreeSet::new());
        let mut plan = with_all(at);
        plan.files.retain(|(path, _)| !path.contains("/modprobe.d/") && path != "/proc/cmdline");
        plan.file("/etc/modprobe.d/0.conf", cut.text(&dump));
        if let Some(step) = plan.steps.last_mut() {
            step.words.retain(|word| !arguments.operands.contains(word));
            step.words.push(operand.clone());
        }
        let Some(done) = judge.run(&plan.case(), "34")?.pop() else { return Ok(None) };
        if done.end != "exit 0" {
            theirs.end = done.end;
        }
        theirs.out.extend(done.out);
        theirs.err.extend(done.err);
        theirs.syslog.extend(done.syslog);
    }
    let Some(mut with_all) = judge.run(&with_all(at).case(), OURS)?.pop() else { return Ok(None) };
    if !is_cut || !results::is_cut(ours, &with_all) {
        return Ok(None);
    }
    // The changed configuration has other messages, and C kmod reads it once for each module.
    for done in [&mut theirs, &mut with_all] {
        results::without_configuration_messages(done);
    }
    let (rest, reasons) = apply(at, &theirs, &with_all, Some(&dump));
    Ok(rest.is_empty().then(|| reasons.into_iter().chain([REASON]).collect()))
}

/// Returns the plan with the first depmod and the step alone, with `-a`: then C kmod reports a soft dependency that fails and goes
/// on, as ours does.
fn with_all(at: &Differing<'_>) -> Plan {
    let mut plan = at.plan.clone();
    let mut step = plan.steps[at.step].clone();
    if !Arguments::of(&step).has(b'a') {
        step.words.insert(1, b"-a".to_vec());
    }
    plan.steps.truncate(1);
    plan.steps.push(step);
    plan
}

/// The soft dependencies, aliases and dependencies of a plan.
#[derive(Clone)]
struct Config {
    /// The words before and after each module.
    softdeps: BTreeMap<String, [Vec<String>; 2]>,
    aliases: BTreeMap<String, Vec<String>>,
    dependencies: BTreeMap<String, Vec<String>>,
}

impl Config {
    fn of(plan: &Plan, dump: &[u8]) -> Self {
        let names = inputs::names(plan, dump);
        let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let softdeps = names.iter().map(|name| {
            let (mut pre, mut post) = (Vec::new(), Vec::new());
            for value in inputs::matching(dump, "softdep", name) {
                let (before, after) = inputs::softdep(&value);
                pre.extend(words(before));
                post.extend(words(after));
            }
            (name.clone(), [pre, post])
        });
        let of_modules = |name: &str| {
            let alias = format!("alias={name}");
            let has_alias = |module: &crate::testing::TinyModule| module.modinfo.contains(&alias);
            let modules = plan.modules.iter().filter(|(_, module)| has_alias(module));
            modules.map(|(path, _)| module_of(path)).collect::<Vec<_>>()
        };
        let aliases = names.iter().map(|name| {
            let all = of_modules(name).into_iter().chain(inputs::matching(dump, "alias", name));
            (name.clone(), all.map(|name| name.replace('-', "_")).collect())
        });
        let exporters = |symbol: &String| -> Vec<String> {
            let exports = |module: &crate::testing::TinyModule| module.exports.iter().any(|(name, ..)| name == symbol);
            plan.modules.iter().filter(|(_, module)| exports(module)).map(|(path, _)| module_of(path)).collect()
        };
        let dependencies = plan
            .modules
            .iter()
            .map(|(path, module)| (module_of(path), module.imports.iter().flat_map(exporters).collect::<Vec<_>>()));
        Self { softdeps: softdeps.collect(), aliases: aliases.collect(), dependencies: dependencies.collect() }
    }

    /// Returns the modules that a name means.
    fn modules(&self, name: &str) -> Vec<String> {
        let name = name.replace('-', "_");
        let aliases = self.aliases.get(&name).cloned().unwrap_or_default();
        aliases.into_iter().chain([name]).collect()
    }

    /// Removes the soft dependencies that lead back to a module whose removal has begun; `stack` are these modules.
    fn cut(&mut self, name: &str, stack: &mut Vec<String>, seen: &mut BTreeSet<String>) -> bool {
        let mut is_cut = false;
        for module in self.modules(name) {
            if stack.contains(&module) || !seen.insert(module.clone()) {
                continue;
            }
            stack.push(module.clone());
            let mut kept = self.softdeps.get(&module).cloned().unwrap_or_default();
            for words in &mut kept {
                let before = words.len();
                words.retain(|word| !self.modules(word).iter().any(|module| stack.contains(module)));
                is_cut |= words.len() != before;
            }
            let next: Vec<String> =
                kept.iter().flatten().chain(self.dependencies.get(&module).into_iter().flatten()).cloned().collect();
            self.softdeps.insert(module, kept);
            for name in next {
                is_cut |= self.cut(&name, stack, seen);
            }
            stack.pop();
        }
        is_cut
    }

    /// Returns a file with the soft dependencies, and all other lines of the configuration.
    fn text(&self, dump: &[u8]) -> Vec<u8> {
        let mut text = String::new();
        for (name, [pre, post]) in &self.softdeps {
            text += &format!("softdep {name} pre: {} post: {}\n", pre.join(" "), post.join(" "));
        }
        for line in inputs::lines(dump).filter(|line| !line.starts_with("softdep ")) {
            text += &line.replace('\\', "\\\\");
            text.push('\n');
        }
        text.chars().map(|c| c as u8).collect()
    }
}
