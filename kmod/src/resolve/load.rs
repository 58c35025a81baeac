//! Plans a load: the module and everything that it needs, each module once, after its dependencies.
//!
//! The order for a module M is: its dependencies from right to left of its line in modules.dep (each with its own soft
//! dependencies around it), M's `pre` soft dependencies, M, M's `post` soft dependencies. A line of modules.dep may be
//! incomplete, and soft dependencies may form cycles or lead back to a module whose dependencies are still being planned.
//! Therefore the walk has an explicit stack, starts each module once, and moves a required module forward if a soft dependency
//! led back to it ([`Walk::bring_forward`]).

use super::graph::{DepList, Deps, Graph};
use super::{Action, Hit, LoadPlan, LoadRequest, LoadStep, Lookup, Masked, find_with};
use crate::config::{Config, Search};
use crate::memory;
use crate::name::ModuleName;
use crate::tree::TreeError;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

/// Plans the load of a hit.
#[must_use]
pub fn load_plan(tree: &impl Lookup, config: &Config, hit: &Hit, request: &LoadRequest) -> LoadPlan {
    let blacklisted = config.is_blacklisted(&hit.module) && (request.use_blacklist || hit.alias.is_some());
    let mut walk = Walk {
        tree,
        has_masks: !config.masks.lines.is_empty(),
        config: Search::new(config),
        request,
        target: hit,
        nodes: Vec::new(),
        by_name: HashMap::new(),
        work: Vec::new(),
        steps: Vec::new(),
        planned: Vec::new(),
        problems: Vec::new(),
        out_of_memory: false,
    };
    if !blacklisted {
        walk.run();
    }
    if walk.out_of_memory {
        walk = Walk { nodes: Vec::new(), steps: Vec::new(), planned: Vec::new(), ..walk };
    }
    let mut step_of = vec![None; walk.nodes.len()];
    for (step, node) in walk.planned.iter().enumerate() {
        if let Some(place) = step_of.get_mut(*node) {
            *place = Some(step);
        }
    }
    LoadPlan {
        module: hit.module.clone(),
        blacklisted,
        graph: walk.graph(),
        steps: walk.steps,
        problems: walk.problems,
        mask_problem: config.masks.problems.first().cloned(),
        out_of_memory: walk.out_of_memory,
        nodes: walk.planned,
        step_of,
    }
}

/// A module that the walk met.
struct Node {
    name: ModuleName,
    /// Its file according to the line of another module: used if it has no line itself.
    path: Option<PathBuf>,
    /// What its line contains; `None` if the line was not read yet.
    line: Option<Line>,
    /// Whether its dependencies are on the stack, or were.
    started: bool,
    /// Whether it is in the plan.
    done: bool,
}

#[derive(Clone)]
struct Line {
    path: Option<PathBuf>,
    deps: Deps,
}

enum Work {
    /// A dependency, the one at this position of a list: it must be in the plan before the work below on the stack.
    Need(usize, Rc<DepList>, usize),
    /// A soft dependency and its alias: started unless it was started before.
    Want(usize, Option<Vec<u8>>),
    /// Everything that precedes this module is in the plan.
    Emit(usize, Option<Vec<u8>>),
}

struct Walk<'a, L> {
    tree: &'a L,
    config: Search<'a>,
    has_masks: bool,
    request: &'a LoadRequest,
    target: &'a Hit,
    nodes: Vec<Node>,
    by_name: HashMap<ModuleName, usize>,
    work: Vec<Work>,
    steps: Vec<LoadStep>,
    /// The node of each step.
    planned: Vec<usize>,
    problems: Vec<TreeError>,
    /// Whether the walk ended because there was not enough memory.
    out_of_memory: bool,
}

/// The memory that the plan may still need for each module, in addition to what was checked when its line was read, in bytes:
/// lists grow to twice their length.
const NODE: usize = 1024;

impl<L: Lookup> Walk<'_, L> {
    fn run(&mut self) {
        let target = self.node(&self.target.module);
        self.start(target, self.target.alias.clone(), None);
        while let Some(work) = self.work.pop() {
            if self.out_of_memory {
                return;
            }
            match work {
                Work::Need(node, ..) if self.nodes[node].done => {}
                Work::Need(node, ..) if self.nodes[node].started => self.bring_forward(node),
                Work::Want(node, _) if self.nodes[node].started => {}
                Work::Need(node, list, position) => self.start(node, None, Some((&list, position))),
                Work::Want(node, alias) => self.start(node, alias, None),
                Work::Emit(node, alias) => self.emit(node, alias.as_deref()),
            }
        }
        let required = self.graph().closure(target);
        let mut is_required = vec![false; self.nodes.len()];
        for node in required {
            is_required[node] = true;
        }
        for (step, node) in self.steps.iter_mut().zip(&self.planned) {
            step.required = is_required[*node];
        }
    }

    /// Ends the walk if the plan may not fit into memory.
    fn require_memory(&mut self) {
        self.out_of_memory |= memory::require(self.nodes.len().saturating_mul(NODE)).is_err();
    }

    fn graph(&self) -> Graph {
        Graph::new(self.nodes.iter().map(|node| node.line.as_ref().map(|line| line.deps.clone()).unwrap_or_default()))
    }

    /// Pushes the module, its dependencies and its soft dependencies onto the stack, the last one first. `from` is the list that
    /// contains it as a dependency, and its position: the dependencies before it are in the plan.
    fn start(&mut self, node: usize, alias: Option<Vec<u8>>, from: Option<(&Rc<DepList>, usize)>) {
        self.nodes[node].started = true;
        let deps = self.line(node, from).deps;
        let (pre, post) = self.softdeps(node);
        self.work.extend(post.into_iter().rev());
        self.work.push(Work::Emit(node, alias));
        self.work.extend(pre.into_iter().rev());
        if from.is_some_and(|(list, position)| deps.is_within(list, position)) {
            return;
        }
        for (position, dep) in deps.iter().enumerate().rev() {
            if !self.nodes[dep].done {
                self.work.push(Work::Need(dep, Rc::clone(&deps.list), position));
            }
        }
    }

    /// Plans a dependency that is already on the stack because a soft dependency led back to it: it and its dependencies are
    /// emitted now, without their soft dependencies. For modules that depend on each other in a cycle no order is right, and
    /// any order is used.
    fn bring_forward(&mut self, node: usize) {
        let mut seen = vec![false; self.nodes.len()];
        seen[node] = true;
        let mut stack = vec![(node, self.line(node, None).deps, 0)];
        while let Some((node, deps, next)) = stack.last_mut() {
            if self.out_of_memory {
                return;
            }
            if let Some(dep) = deps.get(*next) {
                *next += 1;
                // Nodes may be new: reading a line adds some.
                seen.resize(self.nodes.len(), false);
                if !self.nodes[dep].done && !seen[dep] {
                    seen[dep] = true;
                    self.nodes[dep].started = true;
                    stack.push((dep, self.line(dep, None).deps, 0));
                }
            } else {
                let node = *node;
                stack.pop();
                self.emit(node, None);
            }
        }
    }

    fn emit(&mut self, node: usize, alias: Option<&[u8]>) {
        if std::mem::replace(&mut self.nodes[node].done, true) {
            return;
        }
        self.require_memory();
        if self.out_of_memory {
            return;
        }
        let module = self.nodes[node].name.clone();
        let is_target = module == self.target.module;
        let alias = if is_target { self.target.alias.as_deref() } else { alias };
        let path = self.line(node, None).path;
        let command = if is_target && self.request.ignore_commands { None } else { self.config.install(&module) };
        let has_file = path.is_some();
        let action = match (command, &self.request.file, path) {
            (Some(command), _, _) => Action::Run(command.to_vec()),
            (None, Some(file), _) if is_target => Action::Insert(file.clone()),
            (None, _, Some(path)) => Action::Insert(path),
            (None, _, None) => Action::None,
        };
        let mut options = self.config.options(&module, alias);
        // Configured options end with a space even if no arguments follow: C kmod prints it.
        if !options.is_empty() {
            options.push(b' ');
        }
        if is_target {
            options.extend_from_slice(&self.request.arguments);
        }
        let builtin = self.is_builtin(&module, alias, has_file);
        let (masks, unknown_names) = self.masks(&module, &action);
        self.steps.push(LoadStep { module, action, options, required: false, builtin, masks, unknown_names });
        self.planned.push(node);
    }

    /// Returns the masks of a module, by its name and by the names in its file, or why those are not known.
    fn masks(&mut self, module: &ModuleName, action: &Action) -> (Vec<Masked>, Option<String>) {
        if !self.has_masks {
            return (Vec::new(), None);
        }
        let mut names = vec![module.clone()];
        let mut unknown_names = None;
        if let Action::Insert(file) = action {
            match self.tree.own_names(file) {
                Ok(own) => own.into_iter().for_each(|name| {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }),
                Err(problem) => unknown_names = Some(problem),
            }
        }
        let masked = |name: ModuleName| Some(Masked { mask: self.config.mask(&name)?.clone(), module: name });
        (names.into_iter().filter_map(masked).collect(), unknown_names)
    }

    /// Whether a module is built in: by its name or, if modules.builtin does not list it, by the alias of the hit.
    fn is_builtin(&mut self, module: &ModuleName, alias: Option<&[u8]>, has_file: bool) -> bool {
        let by_name = self.tree.is_builtin(module).unwrap_or_else(|problem| {
            self.problems.push(problem);
            false
        });
        // A damaged index of aliases was reported when this hit was looked up.
        let by_alias = |alias: &[u8]| self.tree.builtin_aliases(alias).is_ok_and(|all| all.contains(module));
        by_name || !has_file && alias.is_some_and(by_alias)
    }

    fn softdeps(&mut self, node: usize) -> (Vec<Work>, Vec<Work>) {
        let module = self.nodes[node].name.clone();
        if module == self.target.module && self.request.ignore_commands {
            return (Vec::new(), Vec::new());
        }
        let (pre, post) = self.config.softdeps(&module);
        (self.resolve(&pre), self.resolve(&post))
    }

    /// Looks up soft dependencies. Unknown and invalid names are ignored.
    fn resolve(&mut self, names: &[&[u8]]) -> Vec<Work> {
        let mut wanted = Vec::new();
        for name in names {
            if let Ok(found) = find_with(self.tree, &mut self.config, name) {
                for hit in found.hits {
                    wanted.push(Work::Want(self.node(&hit.module), hit.alias));
                }
                self.problems.extend(found.problems);
            }
        }
        wanted
    }

    fn node(&mut self, name: &ModuleName) -> usize {
        if let Some(node) = self.by_name.get(name) {
            return *node;
        }
        let node = self.nodes.len();
        self.nodes.push(Node { name: name.clone(), path: None, line: None, started: false, done: false });
        self.by_name.insert(name.clone(), node);
        node
    }

    /// Returns the line of a module. `from` is a list that contains the module as a dependency, and its position.
    fn line(&mut self, node: usize, from: Option<(&Rc<DepList>, usize)>) -> Line {
        if let Some(line) = &self.nodes[node].line {
            return line.clone();
        }
        self.require_memory();
        let found = self.tree.line(&self.nodes[node].name).unwrap_or_else(|problem| {
            self.out_of_memory |= problem.is_out_of_memory();
            self.problems.push(problem);
            None
        });
        let line = match found {
            None => Line { path: self.nodes[node].path.clone(), deps: Deps::default() },
            Some(found) => {
                let shared = from.and_then(|(list, position)| Deps::shared(list, position, &found));
                let deps = shared.unwrap_or_else(|| self.deps(node, &found));
                Line { path: Some(found.path), deps }
            }
        };
        self.nodes[node].line = Some(line.clone());
        line
    }

    /// Parses the dependencies of a line. A path whose base name is not a module name does not come from depmod and is ignored.
    fn deps(&mut self, node: usize, line: &crate::tree::ModuleLine) -> Deps {
        let mut list = DepList::new(line);
        for (word, end) in line.words() {
            let Ok(name) = ModuleName::from_path(word) else {
                list.skip();
                continue;
            };
            let dep = self.node(&name);
            if dep == node {
                list.skip();
                continue;
            }
            // The dependency may have no line in modules.dep.
            if self.nodes[dep].path.is_none() {
                self.nodes[dep].path = Some(line.path_of(word));
            }
            list.add(dep, end);
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests;
