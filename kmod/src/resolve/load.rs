//! Plans a load: the module and everything that it needs, each module once, after its dependencies.
//!
//! The order for a module M is: its dependencies from right to left of its line in modules.dep (each with its own soft
//! dependencies around it), M's `pre` soft dependencies, M, M's `post` soft dependencies. A line of modules.dep may be
//! incomplete, and soft dependencies may form cycles or lead back to a module whose dependencies are still being planned.
//! Therefore the walk has an explicit stack, starts each module once, and moves a required module forward if a soft dependency
//! led back to it ([`Walk::bring_forward`]).

use super::graph::{DepList, Deps, Graph};
use super::{Hit, Lookup, find_with};
use crate::config::{Config, Mask, MaskProblem, Search};
use crate::memory;
use crate::name::ModuleName;
use crate::tree::TreeError;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::rc::Rc;

/// The options of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadRequest {
    /// Options for the module itself, after those of the configuration.
    pub arguments: Vec<u8>,
    /// Ignore the install command and the soft dependencies of the module itself, but not those of its dependencies.
    pub ignore_commands: bool,
    /// Do not load a blacklisted module even if it is requested by its name.
    pub use_blacklist: bool,
    /// The file to load instead of the one in the module directory.
    pub file: Option<PathBuf>,
}

/// How a module is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// From this file.
    Insert(PathBuf),
    /// By this install command; `$CMDLINE_OPTS` is replaced by the options.
    Run(Vec<u8>),
    /// There is no file. A built-in module needs none; for other modules this is an error.
    None,
}

/// A name that is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// The name.
    pub module: ModuleName,
    /// The line that masks it.
    pub mask: Mask,
}

/// A module of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadStep {
    /// The module.
    pub module: ModuleName,
    /// How it is loaded.
    pub action: Action,
    /// Its options, in the form that the kernel expects.
    pub options: Vec<u8>,
    /// Whether the request fails without it: true for the requested module and its dependencies, false for modules that are
    /// needed by soft dependencies only.
    pub required: bool,
    /// Whether it is built into the kernel: then there is nothing to do.
    pub builtin: bool,
    /// Its names that are masked: its own one, and those in its file if they are different. [`LoadPlan::masked`] has those of
    /// its dependencies, too.
    pub masks: Vec<Masked>,
    /// Why the names in its file are not known. A module that may be masked under them must not be loaded.
    pub unknown_names: Option<String>,
}

/// The plan for a [`Hit`].
#[derive(Debug)]
pub struct LoadPlan {
    /// The requested module.
    pub module: ModuleName,
    /// The module is blacklisted: nothing is loaded, without an error.
    pub blacklisted: bool,
    /// The steps, in order. Empty if the module is blacklisted.
    pub steps: Vec<LoadStep>,
    /// Damaged indexes. The plan was made without them.
    pub problems: Vec<TreeError>,
    /// The part of kmod.d that could not be read: no module may be loaded.
    pub mask_problem: Option<MaskProblem>,
    /// There is not enough memory for the steps; there are none.
    pub out_of_memory: bool,
    /// The dependencies of the steps, by their positions.
    graph: Graph,
    /// The position in `graph` of each step, and the reverse.
    nodes: Vec<usize>,
    step_of: Vec<Option<usize>>,
}

impl LoadPlan {
    /// Returns the masked names of a step and of all its dependencies, sorted by name. It may be loaded only if the modules of
    /// all these names are loaded already.
    #[must_use]
    pub fn masked(&self, step: usize) -> Vec<&Masked> {
        // Most systems have no masks.
        if self.steps.iter().all(|step| step.masks.is_empty()) {
            return Vec::new();
        }
        let Some(&node) = self.nodes.get(step) else { return Vec::new() };
        let steps = self.graph.closure(node).into_iter().filter_map(|node| self.step_of.get(node).copied().flatten());
        let mut masked: Vec<&Masked> =
            steps.filter_map(|step| self.steps.get(step)).flat_map(|step| &step.masks).collect();
        masked.sort_by(|a, b| a.module.cmp(&b.module));
        masked
    }
}

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

/// Returns the dependencies of a module in load order.
pub(super) fn dependencies(tree: &impl Lookup, module: &ModuleName) -> Result<Vec<ModuleName>, TreeError> {
    let Some(line) = tree.line(module)? else { return Ok(Vec::new()) };
    let named = |(word, _): (&[u8], usize)| ModuleName::from_path(word).ok();
    let mut names: Vec<ModuleName> = line.words().filter_map(named).filter(|name| name != module).collect();
    names.reverse();
    Ok(names)
}

impl LoadStep {
    /// Returns the line that modprobe prints for the step: `insmod PATH OPTIONS`, `install COMMAND OPTIONS`, `builtin NAME`.
    /// There is a space after PATH even without options: programs that parse these lines expect it.
    #[must_use]
    pub fn line(&self) -> Option<Vec<u8>> {
        let parts: [&[u8]; 4] = match &self.action {
            Action::Insert(path) => [b"insmod ", path.as_os_str().as_bytes(), b" ", &self.options],
            Action::Run(command) => [b"install ", command, b" ", &self.options],
            Action::None if self.builtin => [b"builtin ", self.module.as_bytes(), b"", b""],
            Action::None => return None,
        };
        Some(parts.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::super::model::{ModelTree, config, name};
    use super::*;

    fn lines(model: &ModelTree, text: &str, module: &str, request: &LoadRequest) -> Vec<String> {
        let config = config(text);
        let hit = find(model, &config, module.as_bytes()).unwrap().hits.remove(0);
        let plan = load_plan(model, &config, &hit, request);
        let shown = |step: &LoadStep| {
            let line = step.line().unwrap_or_else(|| b"none".to_vec());
            format!("{}{}", if step.required { "" } else { "~" }, String::from_utf8(line).unwrap())
        };
        plan.steps.iter().map(shown).collect()
    }

    fn order(model: &ModelTree, text: &str, module: &str) -> String {
        let lines = lines(model, text, module, &LoadRequest::default());
        let short = |line: &String| line.replace("insmod /m/", "").replace(".ko ", "");
        lines.iter().map(short).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn dependencies_are_loaded_from_right_to_left() {
        let model = ModelTree::new(&["m: c b a", "c: b a", "b: a", "a:"]);
        assert_eq!(order(&model, "", "m"), "a b c m");
    }

    #[test]
    fn an_incomplete_line_of_modules_dep_is_completed() {
        assert_eq!(order(&ModelTree::new(&["m: c", "c: b", "b: a", "a:"]), "", "m"), "a b c m");
        assert_eq!(order(&ModelTree::new(&["m: c"]), "", "m"), "c m");
    }

    #[test]
    fn soft_dependencies_are_loaded_around_their_module_and_are_not_required() {
        let model = ModelTree::new(&["m: d", "d:", "p: q", "q:", "o:", "e:"]);
        let config = "softdep m pre: p nosuch post: o\nsoftdep d pre: e\n";
        assert_eq!(order(&model, config, "m"), "~e d ~q ~p m ~o");
    }

    #[test]
    fn cycles_of_soft_dependencies_end() {
        let model = ModelTree::new(&["a:", "b:", "c:"]);
        assert_eq!(order(&model, "softdep a pre: b\nsoftdep b pre: c\nsoftdep c pre: a", "a"), "~c ~b a");
        assert_eq!(order(&model, "softdep a pre: a post: a", "a"), "a");
        assert_eq!(order(&model, "softdep a post: b\nsoftdep b post: a", "a"), "a ~b");
    }

    #[test]
    fn a_dependency_is_loaded_first_even_if_a_soft_dependency_leads_back_to_it() {
        let model = ModelTree::new(&["m: d", "d:", "x: d"]);
        assert_eq!(order(&model, "softdep d pre: x", "m"), "d ~x m");
        let model = ModelTree::new(&["m: d", "d:", "z: m"]);
        assert_eq!(order(&model, "softdep d pre: z", "m"), "d m ~z");
    }

    #[test]
    fn cycles_of_dependencies_end() {
        assert_eq!(order(&ModelTree::new(&["a: b", "b: a"]), "", "a"), "b a");
        assert_eq!(order(&ModelTree::new(&["a: a"]), "", "a"), "a");
    }

    #[test]
    fn a_plan_without_memory_for_a_line_has_no_steps() {
        let mut model = ModelTree::new(&["m: d", "d: e", "e:", "p:"]);
        model.too_large = Some(name("d"));
        let hit = Hit { module: name("m"), alias: None };
        let plan = load_plan(&model, &config("softdep m pre: p"), &hit, &LoadRequest::default());
        assert!(plan.out_of_memory && plan.steps.is_empty());
        assert_eq!(plan.problems[0].to_string(), "could not read /m/modules.dep: Cannot allocate memory");
    }

    #[test]
    fn an_install_command_replaces_the_insertion_even_with_soft_dependencies() {
        let model = ModelTree::new(&["m: d", "d:", "p:"]);
        let config = "install m echo $CMDLINE_OPTS\ninstall d true\noptions m a=1\noptions d z\nsoftdep m pre: p";
        let request = LoadRequest { arguments: b"b=2".to_vec(), ..LoadRequest::default() };
        let expected = ["install true z ", "~insmod /m/p.ko ", "install echo $CMDLINE_OPTS a=1 b=2"];
        assert_eq!(lines(&model, config, "m", &request), expected);
        let request = LoadRequest { ignore_commands: true, ..request };
        assert_eq!(lines(&model, config, "m", &request), ["install true z ", "insmod /m/m.ko a=1 b=2"]);
    }

    #[test]
    fn built_in_modules_and_modules_without_a_file_are_distinguished() {
        let mut model = ModelTree::new(&[]);
        model.builtin("bi");
        assert_eq!(lines(&model, "", "bi", &LoadRequest::default()), ["builtin bi"]);
        model.builtin_alias("unlisted", "known_by_its_alias");
        assert_eq!(lines(&model, "", "unlisted", &LoadRequest::default()), ["builtin known_by_its_alias"]);
        assert_eq!(lines(&model, "alias x y", "x", &LoadRequest::default()), ["none"]);
    }

    #[test]
    fn options_of_the_alias_are_used() {
        let model = ModelTree::new(&["m:"]);
        let config = "alias al-* m\noptions al-x k=1\noptions m j=2";
        assert_eq!(lines(&model, config, "al-x", &LoadRequest::default()), ["insmod /m/m.ko k=1 j=2 "]);
    }

    #[test]
    fn the_blacklist_applies_to_aliases_to_names_on_request_and_not_to_dependencies() {
        let model = ModelTree::new(&["m: d", "d:"]);
        let config = config("blacklist m\nblacklist d\nalias al m");
        let plan = |name: &str, use_blacklist| {
            let hit = find(&model, &config, name.as_bytes()).unwrap().hits.remove(0);
            let plan = load_plan(&model, &config, &hit, &LoadRequest { use_blacklist, ..LoadRequest::default() });
            (plan.blacklisted, plan.steps.len())
        };
        assert_eq!(plan("al", false), (true, 0));
        assert_eq!(plan("m", false), (false, 2));
        assert_eq!(plan("m", true), (true, 0));
    }

    #[test]
    fn a_mask_applies_to_each_step_that_depends_on_the_module() {
        let model = ModelTree::new(&["m: d", "d: e", "e:", "s: e", "t:"]);
        let mut config = config("softdep m pre: s t");
        config.masks.add_file(std::path::Path::new("k.conf"), b"mask e\n", &mut Vec::new());
        let hit = Hit { module: name("m"), alias: None };
        let plan = load_plan(&model, &config, &hit, &LoadRequest::default());
        let shown = |step: usize| {
            let masked = plan.masked(step).into_iter().map(|masked| format!("{} by {}", masked.module, masked.mask));
            format!("{}: {}", plan.steps[step].module, masked.collect::<Vec<_>>().join(", "))
        };
        let by = "e by k.conf line 1";
        let expected = [format!("e: {by}"), format!("d: {by}"), format!("s: {by}"), "t: ".into(), format!("m: {by}")];
        assert_eq!((0..plan.steps.len()).map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_module_is_masked_under_the_names_in_its_file() {
        let mut model = ModelTree::new(&["m: d", "d:"]);
        model.names_in_file("d", &["d", "re-al"]).names_in_file("m", &["m"]);
        let mut config = config("");
        config.masks.add_file(std::path::Path::new("k.conf"), b"mask real\n", &mut Vec::new());
        let hit = Hit { module: name("m"), alias: None };
        let plan = load_plan(&model, &config, &hit, &LoadRequest::default());
        let masked: Vec<_> = plan.masked(1).into_iter().map(|masked| masked.module.to_string()).collect();
        assert_eq!(masked, ["re_al"; 0]);
        config.masks.add_file(std::path::Path::new("k.conf"), b"mask re-al\n", &mut Vec::new());
        let plan = load_plan(&model, &config, &hit, &LoadRequest::default());
        let masked: Vec<_> = plan.masked(1).into_iter().map(|masked| masked.module.to_string()).collect();
        assert_eq!(masked, ["re_al"]);
    }

    #[test]
    fn a_given_file_replaces_the_one_in_the_directory() {
        let model = ModelTree::new(&["m: d", "d:"]);
        let request = LoadRequest { file: Some(PathBuf::from("/t/m.ko")), ..LoadRequest::default() };
        assert_eq!(lines(&model, "", "m", &request), ["insmod /m/d.ko ", "insmod /t/m.ko "]);
    }

    #[test]
    fn every_plan_is_finite_and_has_each_module_once_after_its_dependencies() {
        const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
        arbtest::arbtest(|u| {
            // Dependencies point to later letters only, so that an order exists; soft ones point anywhere.
            let mut deps = Vec::new();
            let mut text = String::new();
            for (index, module) in NAMES.iter().enumerate() {
                let later: Vec<&str> = NAMES[index + 1..].to_vec();
                let chosen: Vec<&str> = later.into_iter().filter(|_| u.ratio(1, 3).unwrap_or(false)).collect();
                deps.push((module, chosen));
                for mark in ["pre:", "post:"] {
                    if u.ratio(1, 2)? {
                        text += &format!("softdep {module} {mark} {} {}\n", u.choose(&NAMES)?, u.choose(&NAMES)?);
                    }
                }
            }
            let lines: Vec<String> =
                deps.iter().map(|(module, deps)| format!("{module}: {}", deps.join(" "))).collect();
            let model = ModelTree::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            let target = Hit { module: name(u.choose(&NAMES)?), alias: None };
            let plan = load_plan(&model, &config(&text), &target, &LoadRequest::default());
            let order: Vec<String> = plan.steps.iter().map(|step| step.module.to_string()).collect();
            let at = |module: &str| order.iter().position(|other| other == module);
            assert!(at(&target.module.to_string()).is_some());
            for (module, deps) in &deps {
                assert!(order.iter().filter(|other| other == module).count() <= 1, "{order:?} for\n{lines:?}\n{text}");
                if let Some(position) = at(module) {
                    for dep in deps {
                        let before = at(dep).is_some_and(|dep| dep < position);
                        assert!(before, "{dep} is not before {module} in {order:?} for\n{lines:?}\n{text}");
                    }
                }
            }
            Ok(())
        });
    }
}
