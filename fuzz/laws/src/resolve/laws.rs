//! The laws that the plans of a request must obey, checked against the directory and the configuration alone.

use super::recipe::Directory;
use crate::pattern;
use kmod::config::Config;
use kmod::name::ModuleName;
use kmod::resolve::{Action, Hit, LoadPlan, LoadRequest, Lookup as _, RemovalPlan, RemovalStep};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

type Names = BTreeSet<ModuleName>;

/// The modules that a name means, from the first of seven sources that knows it.
pub(super) fn hits(tree: &Directory, config: &Config, name: &[u8]) -> Vec<Hit> {
    let itself = ModuleName::new(name).ok().filter(|module| module.as_bytes() == name);
    let by_name = |module: Option<ModuleName>| module.into_iter().map(|module| Hit { module, alias: None }).collect();
    // The alias is the requested name, or the pattern of a line of the configuration.
    let once = |found: Vec<(ModuleName, Vec<u8>)>| {
        let mut hits: Vec<Hit> = Vec::new();
        for (module, alias) in found {
            if hits.iter().all(|hit| hit.module != module) {
                hits.push(Hit { module, alias: Some(alias) });
            }
        }
        hits
    };
    let by_alias = |modules: Vec<ModuleName>| once(modules.into_iter().map(|module| (module, name.to_vec())).collect());
    let configured = config.aliases.iter().filter(|line| pattern::matches(&line.pattern, name));
    let configured =
        configured.filter_map(|line| Some((ModuleName::new(&line.target).ok()?, line.pattern.clone()))).collect();
    let plain = |name: &ModuleName| !name.as_bytes().contains(&b':');
    let listed = itself.clone().filter(plain).filter(|name| tree.modules.iter().any(|module| module.name == *name));
    let commands: Vec<&[u8]> =
        config.install.iter().chain(&config.remove).map(|line| line.pattern.as_slice()).collect();
    let commanded = itself.clone().filter(|name| commands.contains(&name.as_bytes()));
    let builtin = itself.filter(|name| tree.is_builtin(name).unwrap_or_default());
    let sources: [Vec<Hit>; 7] = [
        once(configured),
        by_name(listed),
        by_alias(tree.symbols(name).unwrap_or_default()),
        by_name(commanded),
        by_alias(tree.aliases(name).unwrap_or_default()),
        by_name(builtin),
        by_alias(tree.builtin_aliases(name).unwrap_or_default()),
    ];
    sources.into_iter().find(|hits| !hits.is_empty()).unwrap_or_default()
}

/// The expected contents of the plans for one hit.
pub(super) struct Oracle<'a> {
    tree: &'a Directory,
    pub(super) config: &'a Config,
    pub(super) hit: &'a Hit,
    request: &'a LoadRequest,
    /// All modules that the hit involves, each with its soft dependencies to load before it and after it.
    soft: BTreeMap<ModuleName, (Names, Names)>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(tree: &'a Directory, config: &'a Config, hit: &'a Hit, request: &'a LoadRequest) -> Self {
        let mut oracle = Self { tree, config, hit, request, soft: BTreeMap::new() };
        let mut todo = vec![hit.module.clone()];
        while let Some(module) = todo.pop() {
            if !oracle.soft.contains_key(&module) {
                let (pre, post) = oracle.soft(&module);
                todo.extend(oracle.needs(&module).into_iter().chain(pre.clone()).chain(post.clone()));
                oracle.soft.insert(module, (pre, post));
            }
        }
        oracle
    }

    fn soft(&self, module: &ModuleName) -> (Names, Names) {
        if self.request.ignore_commands && *module == self.hit.module {
            return Default::default();
        }
        let mut soft: (Names, Names) = Default::default();
        for line in self.config.softdeps.iter().filter(|line| pattern::matches(&line.pattern, module.as_bytes())) {
            for (names, list) in [(&line.pre, &mut soft.0), (&line.post, &mut soft.1)] {
                let found = names.iter().flat_map(|name| hits(self.tree, self.config, name));
                list.extend(found.map(|hit| hit.module));
            }
        }
        soft
    }

    fn entry(&self, module: &ModuleName) -> Option<&kmod::tree::ModuleEntry> {
        self.tree.modules.iter().find(|entry| entry.name == *module)
    }

    /// The dependencies in a module's line.
    pub(super) fn needs(&self, module: &ModuleName) -> Names {
        let deps = self.entry(module).map(|entry| entry.deps.as_slice()).unwrap_or_default();
        deps.iter().map(|path| name_of(path)).filter(|need| need != module).collect()
    }

    /// A module's direct and indirect dependencies; includes the module itself if it is part of a cycle.
    pub(super) fn closure(&self, module: &ModuleName) -> Names {
        let (mut closure, mut todo) = (Names::new(), self.needs(module));
        while let Some(next) = todo.pop_first() {
            if closure.insert(next.clone()) {
                todo.extend(self.needs(&next));
            }
        }
        closure
    }

    /// Whether hard and soft dependencies have no cycle.
    fn is_acyclic(&self) -> bool {
        let mut left: BTreeMap<&ModuleName, Names> = BTreeMap::new();
        for (module, (pre, post)) in &self.soft {
            left.insert(module, self.needs(module).iter().chain(pre).chain(post).cloned().collect());
        }
        loop {
            let before = left.len();
            let open: Names = left.keys().map(|module| (*module).clone()).collect();
            left.retain(|_, needs| needs.iter().any(|other| open.contains(other)));
            if left.len() == before {
                return left.is_empty();
            }
        }
    }

    pub(super) fn is_builtin(&self, module: &ModuleName) -> bool {
        self.tree.is_builtin(module).unwrap_or_default()
    }

    /// A module is built in if it is listed as such, or if it has no file and was found by the alias of a built-in module.
    /// Whether the plan meets a line of another module with its file first depends on the order of the soft dependencies.
    fn check_builtin(&self, plan: &LoadPlan, module: &ModuleName, planned: bool) {
        let by_alias = |alias: &Vec<u8>| self.tree.builtin_aliases(alias).is_ok_and(|all| all.contains(module));
        let listed = self.tree.module(module).is_ok_and(|entry| entry.is_some());
        let named = plan.steps.iter().any(|step| self.needs(&step.module).contains(module));
        if self.is_builtin(module) || listed {
            assert_eq!(planned, self.is_builtin(module), "whether {module} is built in");
        } else if *module == self.hit.module {
            let found = self.hit.alias.as_ref().is_some_and(by_alias);
            assert!(planned == found || !planned && named, "whether {module} is built in, by its alias");
        }
    }

    /// The masked modules among a module and its dependencies.
    pub(super) fn masked(&self, module: &ModuleName) -> Names {
        let mut all = self.closure(module);
        all.insert(module.clone());
        let is_masked = |module: &ModuleName| {
            self.config.masks.lines.iter().any(|mask| pattern::matches(&mask.pattern, module.as_bytes()))
        };
        all.into_iter().filter(is_masked).collect()
    }

    /// The plan contains each module once, after its dependencies, and no other module; each step follows the configuration.
    pub(super) fn check_load(&self, plan: &LoadPlan) {
        assert!(plan.problems.is_empty());
        assert_eq!(plan.module, self.hit.module);
        let listed = self.config.blacklist.iter().any(|name| name.as_slice() == plan.module.as_bytes());
        let stopped = listed && (self.hit.alias.is_some() || self.request.use_blacklist);
        assert_eq!(plan.blacklisted, stopped, "whether the blacklist stops the load");
        if stopped {
            assert!(plan.steps.is_empty());
            return;
        }
        let place: BTreeMap<&ModuleName, usize> =
            plan.steps.iter().enumerate().map(|(at, step)| (&step.module, at)).collect();
        assert_eq!(place.len(), plan.steps.len(), "a module is planned twice");
        let mut required = self.closure(&plan.module);
        required.insert(plan.module.clone());
        assert!(required.iter().all(|module| place.contains_key(module)), "a dependency is not planned");
        let acyclic = self.is_acyclic();
        for (at, step) in plan.steps.iter().enumerate() {
            let module = &step.module;
            let Some((pre, _)) = self.soft.get(module) else { panic!("{module} is planned but not needed") };
            assert_eq!(step.required, required.contains(module), "whether {module} is required");
            self.check_builtin(plan, module, step.builtin);
            let before = |other: &ModuleName| place.get(other).is_some_and(|place| *place < at);
            for need in self.needs(module) {
                assert!(before(&need) || self.closure(&need).contains(module), "{need} is not before {module}");
            }
            assert!(!acyclic || pre.iter().all(before), "a soft dependency of {module} is not before it");
            let masked: Names = plan.masked(at).into_iter().map(|masked| masked.module.clone()).collect();
            assert_eq!(masked, self.masked(module), "the masked dependencies of {module}");
            self.check_step(module, &step.action, &step.options);
        }
        if acyclic {
            let expected: BTreeSet<&ModuleName> = self.soft.keys().collect();
            assert_eq!(place.keys().copied().collect::<BTreeSet<_>>(), expected, "the planned modules");
        }
    }

    fn check_step(&self, module: &ModuleName, action: &Action, options: &[u8]) {
        let is_target = *module == self.hit.module;
        let install = self.config.install.iter().find(|line| pattern::matches(&line.pattern, module.as_bytes()));
        let install = install.filter(|_| !(is_target && self.request.ignore_commands));
        // The path of a module without a line comes from the line of a module that needs it.
        let named = |path: &&PathBuf| name_of(path) == *module;
        let known: Vec<&PathBuf> = match self.entry(module) {
            Some(entry) => vec![&entry.path],
            None => self.tree.modules.iter().flat_map(|entry| &entry.deps).filter(named).collect(),
        };
        match (action, install) {
            (Action::Run(command), Some(line)) => assert_eq!(*command, line.command),
            (Action::Insert(path), None) => assert!(known.contains(&path), "{path:?} is not the path of {module}"),
            (Action::None, None) => assert!(self.entry(module).is_none(), "{module} has a file"),
            (action, install) => panic!("{module}: {action:?}, but the install command is {install:?}"),
        }
        let alias = self.hit.alias.as_ref().filter(|_| is_target);
        let given: Vec<&[u8]> = self.config.options.iter().map(|line| line.text.as_slice()).collect();
        let words: Vec<&[u8]> = options.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
        let by_name = self.config.options.iter().filter(|line| line.name == module.as_bytes()).count();
        let by_alias = alias.map_or(0, |alias| self.config.options.iter().filter(|line| line.name == *alias).count());
        let own =
            if alias.is_some_and(|alias| alias.as_slice() == module.as_bytes()) { by_name } else { by_name + by_alias };
        if is_target {
            assert_eq!(words.last(), Some(&&b"given=1"[..]), "the given arguments are not last");
            assert_eq!(words.len(), own + 1);
        } else {
            assert!(words.iter().all(|word| given.contains(word)) && words.len() >= own, "options of {module}");
        }
    }

    /// Frames are nested, each module has one, and a sweep contains the dependencies of its frame's module.
    pub(super) fn check_removal(&self, plan: &RemovalPlan) {
        assert!(plan.problems.is_empty());
        let mut frames: Vec<(&ModuleName, usize)> = Vec::new();
        let (mut framed, mut unloaded) = (Names::new(), Names::new());
        for (at, step) in plan.steps.iter().enumerate() {
            while frames.last().is_some_and(|(_, end)| *end <= at) {
                frames.pop();
            }
            match step {
                RemovalStep::Begin { module, end, builtin, listed, fatal, command } => {
                    let outer = frames.last().map_or(plan.steps.len(), |(_, end)| *end);
                    assert!(
                        at < *end && *end <= outer,
                        "a frame that ends at {end} is inside one that ends at {outer}"
                    );
                    assert_eq!(*builtin, self.is_builtin(module));
                    assert_eq!((*listed, *fatal), (at > 0, at == 0), "only the requested module must be removed");
                    assert_eq!(*command, self.remove_command(module).is_some());
                    assert!(framed.insert(module.clone()), "{module} has two frames");
                    frames.push((module, *end));
                }
                RemovalStep::Unload { module, command } => {
                    assert_eq!(frames.last().map(|(module, _)| *module), Some(module), "unloaded outside its frame");
                    assert_eq!(command.as_deref(), self.remove_command(module));
                    assert!(unloaded.insert(module.clone()), "{module} is unloaded twice");
                }
                RemovalStep::Sweep(modules) => {
                    let Some((module, _)) = frames.last() else { panic!("a sweep outside of all frames") };
                    let mut needed = self.needs(module);
                    needed.retain(|need| !frames.iter().any(|(open, _)| *open == need));
                    assert_eq!(modules.iter().cloned().collect::<Names>(), needed, "the dependencies of {module}");
                }
            }
        }
        assert_eq!(framed, unloaded, "a frame does not unload its module");
        assert!(matches!(plan.steps.first(), Some(RemovalStep::Begin { module, .. }) if *module == self.hit.module));
    }

    fn remove_command(&self, module: &ModuleName) -> Option<&[u8]> {
        let line = self.config.remove.iter().find(|line| pattern::matches(&line.pattern, module.as_bytes()));
        line.filter(|_| !self.request.ignore_commands).map(|line| line.command.as_slice())
    }
}

pub(super) fn name_of(path: &Path) -> ModuleName {
    ModuleName::from_path(path.as_os_str().as_bytes()).unwrap_or_else(|error| panic!("{path:?} has no name: {error}"))
}
