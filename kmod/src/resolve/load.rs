//! Plans a load: the module and everything that it needs, each module once, after its dependencies.
//!
//! The order for a module M is: its dependencies from right to left of its line in modules.dep (each with its own soft
//! dependencies around it), M's `pre` soft dependencies, M, M's `post` soft dependencies. A line of modules.dep may be
//! incomplete, and soft dependencies may form cycles or lead back to a module whose dependencies are still being planned.
//! Therefore the walk has an explicit stack, starts each module once, and moves a required module forward if a soft dependency
//! led back to it ([`Walk::bring_forward`]).

use super::{Hit, Lookup, find};
use crate::config::{Config, Mask};
use crate::name::ModuleName;
use crate::tree::{ModuleEntry, TreeError};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The masked modules among it and its dependencies, each with the `mask` line. It is loaded only if all of them are
    /// loaded already.
    pub masked: Vec<(ModuleName, Mask)>,
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
}

/// Plans the load of a hit.
#[must_use]
pub fn load_plan(tree: &impl Lookup, config: &Config, hit: &Hit, request: &LoadRequest) -> LoadPlan {
    let blacklisted = config.is_blacklisted(&hit.module) && (request.use_blacklist || hit.alias.is_some());
    let mut walk = Walk {
        tree,
        config,
        request,
        target: hit,
        nodes: BTreeMap::new(),
        started: BTreeSet::new(),
        done: BTreeSet::new(),
        work: Vec::new(),
        steps: Vec::new(),
        problems: Vec::new(),
    };
    if !blacklisted {
        walk.run(hit);
    }
    LoadPlan { module: hit.module.clone(), blacklisted, steps: walk.steps, problems: walk.problems }
}

/// A module's file and, from right to left of its line, its dependencies.
struct Node {
    path: Option<PathBuf>,
    deps: Vec<(ModuleName, PathBuf)>,
}

enum Work {
    /// A dependency: it must be in the plan before the work below on the stack.
    Need(Hit),
    /// A soft dependency: started unless it was started before.
    Want(Hit),
    /// Everything that precedes this module is in the plan.
    Emit(Hit),
}

struct Walk<'a, L> {
    tree: &'a L,
    config: &'a Config,
    request: &'a LoadRequest,
    target: &'a Hit,
    nodes: BTreeMap<ModuleName, Rc<Node>>,
    started: BTreeSet<ModuleName>,
    done: BTreeSet<ModuleName>,
    work: Vec<Work>,
    steps: Vec<LoadStep>,
    problems: Vec<TreeError>,
}

impl<L: Lookup> Walk<'_, L> {
    fn run(&mut self, hit: &Hit) {
        self.start(hit.clone());
        while let Some(work) = self.work.pop() {
            match work {
                Work::Need(hit) if self.done.contains(&hit.module) => {}
                Work::Need(hit) if self.started.contains(&hit.module) => self.bring_forward(hit),
                Work::Want(hit) if self.started.contains(&hit.module) => {}
                Work::Need(hit) | Work::Want(hit) => self.start(hit),
                Work::Emit(hit) => self.emit(&hit),
            }
        }
        let required = self.closure(hit.module.clone());
        for step in &mut self.steps {
            step.required = required.contains(&step.module);
        }
        // Most systems have no masks.
        if !self.config.masks.0.is_empty() {
            for place in 0..self.steps.len() {
                let closure = self.closure(self.steps[place].module.clone());
                let masked = |module: ModuleName| Some((module.clone(), self.config.masks.find(&module)?.clone()));
                self.steps[place].masked = closure.into_iter().filter_map(masked).collect();
            }
        }
    }

    /// Pushes the module, its dependencies and its soft dependencies onto the stack, the last one first.
    fn start(&mut self, hit: Hit) {
        self.started.insert(hit.module.clone());
        let node = self.node(&hit.module, None);
        let (pre, post) = self.softdeps(&hit.module);
        self.work.extend(post.into_iter().rev().map(Work::Want));
        self.work.push(Work::Emit(hit));
        self.work.extend(pre.into_iter().rev().map(Work::Want));
        for (module, path) in node.deps.iter().rev() {
            // Record the path: the dependency may have no line in modules.dep.
            self.node(module, Some(path));
            self.work.push(Work::Need(Hit { module: module.clone(), alias: None }));
        }
    }

    /// Plans a dependency that is already on the stack because a soft dependency led back to it: it and its dependencies are
    /// emitted now, without their soft dependencies. For modules that depend on each other in a cycle no order is right, and
    /// any order is used.
    fn bring_forward(&mut self, hit: Hit) {
        let mut seen = BTreeSet::from([hit.module.clone()]);
        let mut stack = vec![(self.node(&hit.module, None), hit, 0)];
        while let Some((node, hit, next)) = stack.last_mut() {
            if let Some((module, path)) = node.deps.get(*next).cloned() {
                *next += 1;
                if !self.done.contains(&module) && seen.insert(module.clone()) {
                    self.started.insert(module.clone());
                    stack.push((self.node(&module, Some(&path)), Hit { module, alias: None }, 0));
                }
            } else {
                let hit = hit.clone();
                stack.pop();
                self.emit(&hit);
            }
        }
    }

    fn emit(&mut self, hit: &Hit) {
        if !self.done.insert(hit.module.clone()) {
            return;
        }
        let is_target = hit.module == self.target.module;
        let alias = if is_target { &self.target.alias } else { &hit.alias };
        let node = self.node(&hit.module, None);
        let command =
            if is_target && self.request.ignore_commands { None } else { self.config.install_for(&hit.module) };
        let action = match (command, &self.request.file, &node.path) {
            (Some(command), _, _) => Action::Run(command.to_vec()),
            (None, Some(file), _) if is_target => Action::Insert(file.clone()),
            (None, _, Some(path)) => Action::Insert(path.clone()),
            (None, _, None) => Action::None,
        };
        let mut options = self.config.options_for(&hit.module, alias.as_deref());
        // Configured options end with a space even if no arguments follow: C kmod prints it.
        if !options.is_empty() {
            options.push(b' ');
        }
        if is_target {
            options.extend_from_slice(&self.request.arguments);
        }
        let builtin = self.is_builtin(hit, node.path.is_some());
        let module = hit.module.clone();
        self.steps.push(LoadStep { module, action, options, required: false, builtin, masked: Vec::new() });
    }

    /// Whether a module is built in: by its name or, if modules.builtin does not list it, by the alias of the hit.
    fn is_builtin(&mut self, hit: &Hit, has_file: bool) -> bool {
        let by_name = self.tree.is_builtin(&hit.module).unwrap_or_else(|problem| {
            self.problems.push(problem);
            false
        });
        // A damaged index of aliases was reported when this hit was looked up.
        let by_alias = |alias: &Vec<u8>| self.tree.builtin_aliases(alias).is_ok_and(|all| all.contains(&hit.module));
        by_name || !has_file && hit.alias.as_ref().is_some_and(by_alias)
    }

    fn softdeps(&mut self, module: &ModuleName) -> (Vec<Hit>, Vec<Hit>) {
        if *module == self.target.module && self.request.ignore_commands {
            return (Vec::new(), Vec::new());
        }
        let (pre, post) = self.config.softdeps_for(module);
        (self.resolve(&pre), self.resolve(&post))
    }

    /// Looks up soft dependencies. Unknown and invalid names are ignored.
    fn resolve(&mut self, names: &[&[u8]]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for found in names.iter().filter_map(|name| find(self.tree, self.config, name).ok()) {
            hits.extend(found.hits);
            self.problems.extend(found.problems);
        }
        hits
    }

    /// Returns the node of a module. `path` is its file according to the line of another module.
    fn node(&mut self, module: &ModuleName, path: Option<&PathBuf>) -> Rc<Node> {
        if let Some(node) = self.nodes.get(module) {
            return Rc::clone(node);
        }
        let entry = self.tree.module(module).unwrap_or_else(|problem| {
            self.problems.push(problem);
            None
        });
        let node = Rc::new(match entry {
            Some(entry) => Node { deps: dependencies(&entry), path: Some(entry.path) },
            None => Node { path: path.cloned(), deps: Vec::new() },
        });
        self.nodes.insert(module.clone(), Rc::clone(&node));
        node
    }

    /// Returns a module and all its dependencies.
    fn closure(&mut self, module: ModuleName) -> BTreeSet<ModuleName> {
        let mut closure = BTreeSet::new();
        let mut todo = vec![module];
        while let Some(module) = todo.pop() {
            if !closure.contains(&module) {
                todo.extend(self.node(&module, None).deps.iter().map(|(module, _)| module.clone()));
                closure.insert(module);
            }
        }
        closure
    }
}

/// Returns the dependencies in load order. A path whose base name is not a module name does not come from depmod and is
/// ignored.
pub(super) fn dependencies(entry: &ModuleEntry) -> Vec<(ModuleName, PathBuf)> {
    let named = |path: &PathBuf| Some((ModuleName::from_path(path.as_os_str().as_bytes()).ok()?, path.clone()));
    entry.deps.iter().rev().filter_map(named).filter(|(name, _)| *name != entry.name).collect()
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
    fn a_mask_is_recorded_in_each_step_that_depends_on_the_module() {
        let model = ModelTree::new(&["m: d", "d: e", "e:", "s: e", "t:"]);
        let mut config = config("softdep m pre: s t");
        config.masks.add_file(std::path::Path::new("k.conf"), b"mask e\n", &mut Vec::new());
        let hit = Hit { module: name("m"), alias: None };
        let plan = load_plan(&model, &config, &hit, &LoadRequest::default());
        let shown = |step: &LoadStep| {
            let masked = step.masked.iter().map(|(module, mask)| format!("{module} by {mask}")).collect::<Vec<_>>();
            format!("{}: {}", step.module, masked.join(", "))
        };
        let by = "e by k.conf line 1";
        let expected = [format!("e: {by}"), format!("d: {by}"), format!("s: {by}"), "t: ".into(), format!("m: {by}")];
        assert_eq!(plan.steps.iter().map(shown).collect::<Vec<_>>(), expected);
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
