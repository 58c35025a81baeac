//! Checks plans against the module list alone.

use kmod::config::Config;
use kmod::name::ModuleName;
use kmod::resolve::{Action, Hit, LoadPlan, LoadRequest, RemovalRequest, RemovalStep, find, load_plan, removal_plan};
use kmod::tree::{ModuleEntry, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The dependency graph, by module name.
pub(super) struct Graph<'a> {
    /// The first line of each module, which is the one in effect.
    entries: BTreeMap<&'a ModuleName, &'a ModuleEntry>,
    /// The direct and indirect dependencies of each listed module; includes the module itself if it is part of a cycle.
    reachable: BTreeMap<&'a ModuleName, BTreeSet<ModuleName>>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(list: &'a [ModuleEntry]) -> Self {
        let mut entries = BTreeMap::new();
        for entry in list {
            entries.entry(&entry.name).or_insert(entry);
        }
        let mut graph = Self { entries, reachable: BTreeMap::new() };
        graph.reachable = graph.entries.keys().map(|name| (*name, graph.closure(name))).collect();
        graph
    }

    fn needs(&self, name: &ModuleName) -> Vec<ModuleName> {
        let deps = self.entries.get(name).map(|entry| entry.deps.as_slice()).unwrap_or_default();
        deps.iter().filter_map(|path| name_of(path)).filter(|need| need != name).collect()
    }

    fn closure(&self, name: &ModuleName) -> BTreeSet<ModuleName> {
        let mut closure = BTreeSet::new();
        let mut todo = self.needs(name);
        while let Some(next) = todo.pop() {
            if !closure.contains(&next) {
                todo.extend(self.needs(&next));
                closure.insert(next);
            }
        }
        closure
    }

    fn reaches(&self, from: &ModuleName, to: &ModuleName) -> bool {
        self.reachable.get(from).is_some_and(|reachable| reachable.contains(to))
    }

    /// Whether each module occurs once, after all its dependencies.
    fn is_load_order(&self, names: &[ModuleName]) -> bool {
        names.iter().enumerate().all(|(at, name)| {
            !names[..at].contains(name) && self.needs(name).iter().all(|need| names[..at].contains(need))
        })
    }

    /// Plans the load and the removal of one listed module, and checks both.
    pub(super) fn check_plans(&self, tree: &Tree, config: &Config, module: &ModuleName) {
        let found = match find(tree, config, module.as_bytes()) {
            Ok(found) => found,
            // A file may have this name, but a request cannot.
            Err(_) => return,
        };
        assert!(found.problems.is_empty());
        if module.as_bytes().contains(&b':') {
            return;
        }
        let hit = Hit { module: module.clone(), alias: None };
        assert_eq!(found.hits, std::slice::from_ref(&hit), "a listed module is not found by its name");
        self.check_load(config, module, &load_plan(tree, config, &hit, &LoadRequest::default()));
        let removal = removal_plan(tree, config, &hit, &RemovalRequest::default());
        assert!(removal.problems.is_empty());
        self.check_removal(module, &removal.steps);
    }

    /// The plan contains each module once, all dependencies, and each dependency before the modules that need it.
    fn check_load(&self, config: &Config, module: &ModuleName, plan: &LoadPlan) {
        assert!(plan.problems.is_empty() && !plan.blacklisted);
        assert_eq!(&plan.module, module);
        let place: BTreeMap<&ModuleName, usize> =
            plan.steps.iter().enumerate().map(|(at, step)| (&step.module, at)).collect();
        assert_eq!(place.len(), plan.steps.len(), "a module is planned twice");
        let mut required = self.reachable[module].clone();
        required.insert(module.clone());
        for (at, step) in plan.steps.iter().enumerate() {
            assert_eq!(step.required, required.contains(&step.module), "{}", step.module);
            match (self.entries.get(&step.module), &step.action) {
                (Some(entry), Action::Insert(path)) => assert_eq!(path, &entry.path),
                (None, Action::Insert(path)) => assert_eq!(name_of(path).as_ref(), Some(&step.module)),
                (_, action) => panic!("{} is not inserted: {action:?}", step.module),
            }
            for need in self.needs(&step.module) {
                let before = place.get(&need).is_some_and(|&place| place < at);
                assert!(before || self.reaches(&need, &step.module), "{} is before its dependency {need}", step.module);
            }
        }
        assert!(required.iter().all(|module| place.contains_key(module)), "a dependency is not planned");
        if config.softdeps.is_empty() {
            assert_eq!(plan.steps.len(), required.len(), "an unneeded module is planned");
            let mut expected: Vec<ModuleName> = self.needs(module).into_iter().rev().collect();
            expected.push(module.clone());
            // The plan follows a line that depmod wrote, complete and in order, from right to left.
            if self.is_load_order(&expected) {
                let order: Vec<ModuleName> = plan.steps.iter().map(|step| step.module.clone()).collect();
                assert_eq!(order, expected, "the plan does not follow the line from right to left");
            }
        }
    }

    /// Frames are nested, and the requested module is removed.
    fn check_removal(&self, module: &ModuleName, steps: &[RemovalStep]) {
        let mut frames: Vec<(&ModuleName, usize)> = Vec::new();
        let mut unloaded = false;
        for (at, step) in steps.iter().enumerate() {
            while frames.last().is_some_and(|(_, end)| *end <= at) {
                frames.pop();
            }
            match step {
                RemovalStep::Begin { module, end, .. } => {
                    let outer = frames.last().map_or(steps.len(), |(_, end)| *end);
                    assert!(
                        at < *end && *end <= outer,
                        "a frame that ends at {end} is inside one that ends at {outer}"
                    );
                    frames.push((module, *end));
                }
                RemovalStep::Unload { module: gone, .. } => {
                    assert_eq!(frames.last().map(|(module, _)| *module), Some(gone), "unloaded outside its frame");
                    unloaded |= gone == module;
                }
                RemovalStep::Sweep(modules) => {
                    let Some((framed, _)) = frames.last() else { panic!("a sweep outside of all frames") };
                    let needed = |swept| self.reachable.get(*framed).is_some_and(|reachable| reachable.contains(swept));
                    assert!(modules.iter().all(needed), "a sweep removes a module that {framed} does not need");
                }
            }
        }
        assert!(unloaded, "the plan does not remove {module}");
    }
}

fn name_of(path: &Path) -> Option<ModuleName> {
    ModuleName::from_path(path.as_os_str().as_bytes()).ok()
}
