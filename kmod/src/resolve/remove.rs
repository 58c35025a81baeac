//! Plans a removal: the module, its soft dependencies, its holders and its dependencies, in removal order.
//!
//! Parts of a plan are skipped depending on whether a module is loaded, in use or built in, which is only known when the plan
//! is executed. Therefore the plan is a list with nested frames: [`RemovalStep::Begin`] has the index of the end of its frame.

use super::{Hit, Lookup, find_with};
use crate::config::{Config, Search};
use crate::name::ModuleName;
use crate::tree::TreeError;
use std::collections::BTreeSet;

/// The options of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovalRequest {
    /// Ignore remove commands and soft dependencies, those of dependencies too.
    pub ignore_commands: bool,
    /// The holders of the module, which are removed first.
    pub holders: Vec<ModuleName>,
}

/// A step of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalStep {
    /// The frame of a module, up to `end`. It is skipped if the module is not loaded, unless it has a remove command, since the
    /// command may do something else.
    Begin {
        /// The module.
        module: ModuleName,
        /// Whether it has a remove command.
        command: bool,
        /// Whether it is built into the kernel.
        builtin: bool,
        /// Whether it is removed because of another module: then it is skipped silently if it is built in.
        listed: bool,
        /// Whether a failure in this frame also ends the enclosing frame; else it is only reported.
        fatal: bool,
        /// The index of the first step after the frame.
        end: usize,
    },
    /// Removes a module, by its command if it has one.
    Unload {
        /// The module.
        module: ModuleName,
        /// The remove command.
        command: Option<Vec<u8>>,
    },
    /// Removes those of a module's dependencies that are no longer in use, in order.
    Sweep(Vec<ModuleName>),
}

/// The plan for a [`Hit`].
#[derive(Debug)]
pub struct RemovalPlan {
    /// The steps, in order. The first one is the frame of the requested module.
    pub steps: Vec<RemovalStep>,
    /// Damaged indexes. The plan was made without them.
    pub problems: Vec<TreeError>,
}

enum Work {
    Frame { module: ModuleName, listed: bool, fatal: bool },
    Step(RemovalStep),
    End(usize),
}

/// Plans the removal of a hit: `post` soft dependencies in reverse order, the holders, the module, its dependencies, `pre` soft
/// dependencies in reverse order.
#[must_use]
pub fn removal_plan(tree: &impl Lookup, config: &Config, hit: &Hit, request: &RemovalRequest) -> RemovalPlan {
    removal_plan_with(tree, config, hit, request, |_| true)
}

/// Like [`removal_plan`], with the modules that are loaded. The frame of a module that is not loaded and has no remove command is
/// empty: what it would remove may have to be removed for another module.
#[must_use]
pub fn removal_plan_with(
    tree: &impl Lookup,
    config: &Config,
    hit: &Hit,
    request: &RemovalRequest,
    mut is_loaded: impl FnMut(&ModuleName) -> bool,
) -> RemovalPlan {
    let mut plan = RemovalPlan { steps: Vec::new(), problems: Vec::new() };
    let mut config = Search::new(config);
    let mut seen = BTreeSet::new();
    // The modules of the frames that have begun and not ended.
    let mut open = BTreeSet::new();
    // A stack: the last entry is next.
    let mut work = vec![Work::Frame { module: hit.module.clone(), listed: false, fatal: true }];
    while let Some(next) = work.pop() {
        match next {
            Work::Step(step) => plan.steps.push(step),
            Work::End(begin) => {
                let here = plan.steps.len();
                if let Some(RemovalStep::Begin { module, end, .. }) = plan.steps.get_mut(begin) {
                    open.remove(module);
                    *end = here;
                }
            }
            Work::Frame { module, listed, fatal }
                if (request.ignore_commands || config.remove(&module).is_none()) && !is_loaded(&module) =>
            {
                let (builtin, end) = (is_builtin(tree, &module, &mut plan.problems), plan.steps.len() + 1);
                plan.steps.push(RemovalStep::Begin { module, command: false, builtin, listed, fatal, end });
            }
            // Soft dependencies may form cycles. A holder that is a soft dependency, too, must be removed all the same: what was
            // tried before may have failed.
            Work::Frame { module, fatal, .. } if !seen.insert(module.clone()) && (!fatal || open.contains(&module)) => {
            }
            Work::Frame { module, listed, fatal } => {
                let (mut pre, mut post, mut command) = (Vec::new(), Vec::new(), None);
                if !request.ignore_commands {
                    let (before, after) = config.softdeps(&module);
                    pre = resolve(tree, &mut config, &before, &mut plan.problems);
                    post = resolve(tree, &mut config, &after, &mut plan.problems);
                    command = config.remove(&module).map(<[u8]>::to_vec);
                }
                let soft = |hit: Hit| Work::Frame { module: hit.module, listed: true, fatal: false };
                work.push(Work::End(plan.steps.len()));
                open.insert(module.clone());
                // Popped in reverse: the last soft dependency is removed first.
                work.extend(pre.into_iter().map(soft));
                if command.is_none() {
                    let mut needed = needed(tree, &module, &mut plan.problems);
                    // A soft dependency may depend on a module whose frame is open: that module is removed there.
                    needed.retain(|module| !open.contains(module));
                    work.push(Work::Step(RemovalStep::Sweep(needed)));
                }
                let has_command = command.is_some();
                work.push(Work::Step(RemovalStep::Unload { module: module.clone(), command }));
                if !listed {
                    let holders = request.holders.iter().rev().cloned();
                    work.extend(holders.map(|module| Work::Frame { module, listed: true, fatal: true }));
                }
                work.extend(post.into_iter().map(soft));
                let builtin = is_builtin(tree, &module, &mut plan.problems);
                plan.steps.push(RemovalStep::Begin { module, command: has_command, builtin, listed, fatal, end: 0 });
            }
        }
    }
    plan
}

fn is_builtin(tree: &impl Lookup, module: &ModuleName, problems: &mut Vec<TreeError>) -> bool {
    tree.is_builtin(module).unwrap_or_else(|problem| {
        problems.push(problem);
        false
    })
}

/// Returns the dependencies of a module in removal order, which is the reverse of the load order.
fn needed(tree: &impl Lookup, module: &ModuleName, problems: &mut Vec<TreeError>) -> Vec<ModuleName> {
    let mut needed = dependencies(tree, module).unwrap_or_else(|problem| {
        problems.push(problem);
        Vec::new()
    });
    needed.reverse();
    needed
}

/// Returns the dependencies of a module in load order.
fn dependencies(tree: &impl Lookup, module: &ModuleName) -> Result<Vec<ModuleName>, TreeError> {
    let Some(line) = tree.line(module)? else { return Ok(Vec::new()) };
    let named = |(word, _): (&[u8], usize)| ModuleName::from_path(word).ok();
    let mut names: Vec<ModuleName> = line.words().filter_map(named).filter(|name| name != module).collect();
    names.reverse();
    Ok(names)
}

fn resolve(tree: &impl Lookup, config: &mut Search<'_>, names: &[&[u8]], problems: &mut Vec<TreeError>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for found in names.iter().filter_map(|name| find_with(tree, config, name).ok()) {
        hits.extend(found.hits);
        problems.extend(found.problems);
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::super::model::{ModelTree, config, name};
    use super::*;

    fn shown(model: &ModelTree, text: &str, module: &str, request: &RemovalRequest) -> String {
        let hit = Hit { module: name(module), alias: None };
        shown_plan(removal_plan(model, &config(text), &hit, request))
    }

    fn shown_plan(plan: RemovalPlan) -> String {
        let mut out = String::new();
        let mut ends: Vec<usize> = Vec::new();
        for (index, step) in plan.steps.into_iter().enumerate() {
            while ends.last() == Some(&index) {
                ends.pop();
                out += ") ";
            }
            match step {
                RemovalStep::Begin { module, command, builtin, listed, fatal, end } => {
                    assert!(end > index);
                    ends.push(end);
                    let marks = [(builtin, "="), (command, "!"), (listed, "~"), (fatal, "*")];
                    out += &marks.iter().filter(|(on, _)| *on).map(|(_, mark)| *mark).collect::<String>();
                    out += &format!("({module}: ");
                }
                RemovalStep::Unload { module, command } => {
                    out += &format!("-{module} ");
                    out += &command
                        .map(|command| format!("by '{}' ", String::from_utf8(command).unwrap()))
                        .unwrap_or_default();
                }
                RemovalStep::Sweep(modules) if modules.is_empty() => {}
                RemovalStep::Sweep(modules) => out += &format!("sweep {modules:?} "),
            }
        }
        out + &") ".repeat(ends.len())
    }

    #[test]
    fn dependencies_are_removed_after_the_module_from_left_to_right() {
        let model = ModelTree::new(&["m: c b", "c: b", "b:"]);
        let plan = shown(&model, "", "m", &RemovalRequest::default());
        assert_eq!(plan, "*(m: -m sweep [ModuleName(c), ModuleName(b)] ) ");
    }

    #[test]
    fn soft_dependencies_are_removed_in_reverse_order_around_the_module() {
        let model = ModelTree::new(&["m:", "a:", "b:", "c:", "d:"]);
        let plan = shown(&model, "softdep m pre: a b post: c d nosuch", "m", &RemovalRequest::default());
        assert_eq!(plan, "*(m: ~(d: -d ) ~(c: -c ) -m ~(b: -b ) ~(a: -a ) ) ");
    }

    #[test]
    fn a_soft_dependency_that_depends_on_the_module_does_not_sweep_it() {
        let model = ModelTree::new(&["m: e", "e:", "d: e m"]);
        let plan = shown(&model, "softdep m post: d", "m", &RemovalRequest::default());
        assert_eq!(plan, "*(m: ~(d: -d sweep [ModuleName(e)] ) -m sweep [ModuleName(e)] ) ");
    }

    #[test]
    fn holders_are_removed_first_and_their_failure_is_fatal() {
        let model = ModelTree::new(&["m:"]);
        let request = RemovalRequest { holders: vec![name("h"), name("i")], ..RemovalRequest::default() };
        assert_eq!(shown(&model, "", "m", &request), "*(m: ~*(h: -h ) ~*(i: -i ) -m ) ");
    }

    #[test]
    fn a_holder_that_is_a_soft_dependency_is_removed_before_the_module_in_any_case() {
        let model = ModelTree::new(&["m:", "h:"]);
        let request = RemovalRequest { holders: vec![name("h"), name("m")], ..RemovalRequest::default() };
        assert_eq!(shown(&model, "softdep m post: h", "m", &request), "*(m: ~(h: -h ) ~*(h: -h ) -m ) ");
    }

    #[test]
    fn a_remove_command_replaces_the_removal() {
        let model = ModelTree::new(&["m: d", "d:", "p:"]);
        let text = "remove m echo bye\nsoftdep m pre: p";
        assert_eq!(shown(&model, text, "m", &RemovalRequest::default()), "!*(m: -m by 'echo bye' ~(p: -p ) ) ");
        let request = RemovalRequest { ignore_commands: true, ..RemovalRequest::default() };
        assert_eq!(shown(&model, text, "m", &request), "*(m: -m sweep [ModuleName(d)] ) ");
    }

    #[test]
    fn what_a_module_that_is_not_loaded_needs_is_removed_for_others() {
        let model = ModelTree::new(&["m:", "a:", "b:"]);
        let config = config("softdep m pre: b a\nsoftdep a pre: b");
        let hit = Hit { module: name("m"), alias: None };
        let plan = removal_plan_with(&model, &config, &hit, &RemovalRequest::default(), |module| *module != name("a"));
        assert_eq!(shown_plan(plan), "*(m: -m ~(a: ) ~(b: -b ) ) ");
    }

    #[test]
    fn cycles_of_soft_dependencies_end() {
        let model = ModelTree::new(&["a:", "b:"]);
        let plan = shown(&model, "softdep a pre: b post: a\nsoftdep b pre: a b", "a", &RemovalRequest::default());
        assert_eq!(plan, "*(a: -a ~(b: -b ) ) ");
    }
}
