//! A module directory, a configuration and a request, generated from the fuzzer's bytes.

use crate::pattern;
use arbitrary::Arbitrary;
use kmod::config::Config;
use kmod::name::ModuleName;
use kmod::resolve::Lookup;
use kmod::tree::{ModuleEntry, TreeError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How many modules may have a line in modules.dep. The other names occur only as dependencies.
const LISTED: usize = 12;
const NAMES: [&str; 14] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "un_1", "un_2"];
/// Names to request, and targets of aliases, that are not modules.
const ALIASES: [&str; 6] = ["al_1", "al_2", "x[ab]", "xa", "symbol:s", "nosuch"];
const PATTERNS: [&str; 8] = ["al_1", "al*", "al?2", "x[ab]", "a", "*", "?", "symbol:*"];

#[derive(Debug, Arbitrary)]
pub(super) struct Recipe {
    modules: Vec<Needs>,
    /// Dependencies point forward only, so that there is no cycle.
    acyclic: bool,
    /// Each line of modules.dep lists all dependencies, as depmod writes it.
    complete: bool,
    aliases: Vec<(u8, u8)>,
    symbols: Vec<u8>,
    builtin: Vec<u8>,
    builtin_aliases: Vec<(u8, u8)>,
    directives: Vec<Directive>,
    name: RequestName,
    pub(super) ignore_commands: bool,
    pub(super) use_blacklist: bool,
    /// Modules that are already loaded, each with or without a user.
    preloaded: Vec<(u8, bool)>,
    /// Modules whose files are missing.
    missing: Vec<u8>,
}

/// A module's dependencies, by number.
#[derive(Debug, Arbitrary)]
struct Needs(Vec<u8>);

#[derive(Debug, Arbitrary)]
enum RequestName {
    Module(u8),
    Alias(u8),
}

#[derive(Debug, Arbitrary)]
enum Directive {
    Alias { pattern: u8, target: RequestName },
    Options(RequestName),
    Install(u8),
    Remove(u8),
    Blacklist(u8),
    Softdep { of: u8, pre: Vec<RequestName>, post: Vec<RequestName> },
    SoftdepOfAll(RequestName),
    Mask(u8),
    MaskAll,
}

impl RequestName {
    fn text(&self) -> &'static str {
        match self {
            Self::Module(number) => module(*number),
            Self::Alias(number) => ALIASES[usize::from(*number) % ALIASES.len()],
        }
    }
}

fn module(number: u8) -> &'static str {
    NAMES[usize::from(number) % NAMES.len()]
}

fn pattern(number: u8) -> &'static str {
    PATTERNS[usize::from(number) % PATTERNS.len()]
}

pub(super) fn name(text: &str) -> ModuleName {
    ModuleName::new(text.as_bytes()).unwrap_or_else(|error| panic!("invalid name {text}: {error}"))
}

fn path(text: &str) -> PathBuf {
    PathBuf::from(format!("/m/{text}.ko"))
}

impl Recipe {
    /// The requested name.
    pub(super) fn name(&self) -> Vec<u8> {
        self.name.text().as_bytes().to_vec()
    }

    /// Whether the lines are complete and without cycles, as depmod writes them.
    pub(super) fn is_from_depmod(&self) -> bool {
        self.acyclic && self.complete
    }

    fn count(&self) -> usize {
        self.modules.len().min(LISTED)
    }

    /// The direct dependencies of a module.
    fn needs(&self, number: usize) -> Vec<usize> {
        let Some(Needs(needs)) = self.modules.get(number).filter(|_| number < LISTED) else { return Vec::new() };
        let needs = needs.iter().take(NAMES.len()).map(|need| usize::from(*need) % NAMES.len());
        needs.filter(|need| !self.acyclic || *need > number).collect()
    }

    /// The line of modules.dep; with `complete`, in an order that can be loaded from right to left, if there is one.
    fn line(&self, number: usize) -> Vec<usize> {
        if !self.complete {
            return self.needs(number);
        }
        let (mut order, mut seen) = (Vec::new(), BTreeSet::from([number]));
        self.visit(number, &mut seen, &mut order);
        order.into_iter().rev().collect()
    }

    /// Adds dependencies, deepest first. The recursion is at most as deep as there are names.
    fn visit(&self, number: usize, seen: &mut BTreeSet<usize>, order: &mut Vec<usize>) {
        for need in self.needs(number) {
            if seen.insert(need) {
                self.visit(need, seen, order);
                order.push(need);
            }
        }
    }

    pub(super) fn tree(&self) -> Directory {
        let entry = |number: usize| ModuleEntry {
            name: name(NAMES[number]),
            path: path(NAMES[number]),
            deps: self.line(number).into_iter().map(|need| path(NAMES[need])).collect(),
        };
        let alias = |(by, of): &(u8, u8)| (pattern(*by), name(module(*of)));
        Directory {
            modules: (0..self.count()).map(entry).collect(),
            aliases: self.aliases.iter().map(alias).collect(),
            symbols: self.symbols.iter().map(|of| name(module(*of))).collect(),
            builtin: self.builtin.iter().map(|of| name(module(*of))).collect(),
            builtin_aliases: self.builtin_aliases.iter().map(alias).collect(),
        }
    }

    pub(super) fn config(&self) -> Config {
        let (mut text, mut masks) = (String::new(), String::new());
        let names = |names: &[RequestName]| names.iter().map(RequestName::text).collect::<Vec<_>>().join(" ");
        for directive in &self.directives {
            match directive {
                Directive::Alias { pattern: by, target } => {
                    text += &format!("alias {} {}\n", pattern(*by), target.text())
                }
                Directive::Options(of) => text += &format!("options {} {}=y\n", of.text(), of.text().len()),
                Directive::Install(of) => text += &format!("install {} put $CMDLINE_OPTS\n", module(*of)),
                Directive::Remove(of) => text += &format!("remove {} take $CMDLINE_OPTS\n", module(*of)),
                Directive::Blacklist(of) => text += &format!("blacklist {}\n", module(*of)),
                Directive::Softdep { of, pre, post } => {
                    text += &format!("softdep {} pre: {} post: {}\n", module(*of), names(pre), names(post));
                }
                Directive::SoftdepOfAll(pre) => text += &format!("softdep * pre: {}\n", pre.text()),
                Directive::Mask(of) => masks += &format!("mask {}\n", module(*of)),
                Directive::MaskAll => masks += "mask un*\n",
            }
        }
        let (mut config, mut warnings) = (Config::default(), Vec::new());
        config.add_file(Path::new("f"), text.as_bytes(), &mut warnings);
        config.masks.add_file(Path::new("k"), masks.as_bytes(), &mut warnings);
        assert!(warnings.is_empty(), "{}", warnings[0]);
        config
    }

    pub(super) fn preloaded(&self) -> impl Iterator<Item = (ModuleName, bool)> {
        self.preloaded.iter().map(|(of, used)| (name(module(*of)), *used))
    }

    /// The existing files.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let missing: BTreeSet<&str> = self.missing.iter().map(|of| module(*of)).collect();
        NAMES.into_iter().filter(move |name| !missing.contains(name)).map(path)
    }
}

/// A module directory in memory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) modules: Vec<ModuleEntry>,
    aliases: Vec<(&'static str, ModuleName)>,
    symbols: Vec<ModuleName>,
    builtin: Vec<ModuleName>,
    builtin_aliases: Vec<(&'static str, ModuleName)>,
}

fn matching(list: &[(&str, ModuleName)], alias: &[u8]) -> Vec<ModuleName> {
    list.iter()
        .filter(|(pattern, _)| pattern::matches(pattern.as_bytes(), alias))
        .map(|(_, module)| module.clone())
        .collect()
}

impl Lookup for Directory {
    fn module(&self, name: &ModuleName) -> Result<Option<ModuleEntry>, TreeError> {
        Ok(self.modules.iter().find(|module| module.name == *name).cloned())
    }
    fn aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        Ok(matching(&self.aliases, alias))
    }
    fn symbols(&self, name: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        Ok(if name == b"symbol:s" { self.symbols.clone() } else { Vec::new() })
    }
    fn is_builtin(&self, name: &ModuleName) -> Result<bool, TreeError> {
        Ok(self.builtin.contains(name))
    }
    fn builtin_aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        Ok(matching(&self.builtin_aliases, alias))
    }
}
