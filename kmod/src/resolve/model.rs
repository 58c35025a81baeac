//! A module directory in memory, for the tests of the resolver.

use super::Lookup;
use crate::config::Config;
use crate::name::{ModuleName, fnmatch};
use crate::tree::{ModuleEntry, TreeError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A module directory in memory.
#[derive(Debug, Default)]
pub(crate) struct ModelTree {
    modules: Vec<ModuleEntry>,
    aliases: Vec<(String, ModuleName)>,
    symbols: Vec<(String, ModuleName)>,
    builtin: Vec<ModuleName>,
    builtin_aliases: Vec<(String, ModuleName)>,
    own_names: BTreeMap<PathBuf, Vec<ModuleName>>,
    /// Whether lookups of aliases fail.
    pub(crate) broken_aliases: bool,
    /// The module for whose line there is not enough memory.
    pub(crate) too_large: Option<ModuleName>,
}

pub(crate) fn name(text: &str) -> ModuleName {
    ModuleName::new(text.as_bytes()).unwrap()
}

pub(crate) fn config(text: &str) -> Config {
    let mut config = Config::default();
    let mut warnings = Vec::new();
    config.add_file(Path::new("test.conf"), text.as_bytes(), &mut warnings);
    assert!(warnings.is_empty(), "{warnings:?}");
    config
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("/m/{name}.ko"))
}

impl ModelTree {
    /// Creates a tree from lines like those of modules.dep: `a: b c`.
    pub(crate) fn new(lines: &[&str]) -> Self {
        let entry = |line: &&str| {
            let (module, deps) = line.rsplit_once(':').unwrap();
            ModuleEntry { name: name(module), path: path(module), deps: deps.split_whitespace().map(path).collect() }
        };
        Self { modules: lines.iter().map(entry).collect(), ..Self::default() }
    }

    /// Sets the names in the file of a module.
    pub(crate) fn names_in_file(&mut self, module: &str, names: &[&str]) -> &mut Self {
        self.own_names.insert(path(module), names.iter().map(|own| name(own)).collect());
        self
    }

    pub(crate) fn alias(&mut self, pattern: &str, module: &str) -> &mut Self {
        self.aliases.push((pattern.to_owned(), name(module)));
        self
    }

    pub(crate) fn symbol(&mut self, symbol: &str, module: &str) -> &mut Self {
        self.symbols.push((symbol.to_owned(), name(module)));
        self
    }

    pub(crate) fn builtin(&mut self, module: &str) -> &mut Self {
        self.builtin.push(name(module));
        self
    }

    pub(crate) fn builtin_alias(&mut self, pattern: &str, module: &str) -> &mut Self {
        self.builtin_aliases.push((pattern.to_owned(), name(module)));
        self
    }
}

fn matching(list: &[(String, ModuleName)], name: &[u8]) -> Vec<ModuleName> {
    list.iter().filter(|(pattern, _)| fnmatch(pattern.as_bytes(), name)).map(|(_, module)| module.clone()).collect()
}

impl Lookup for ModelTree {
    fn module(&self, name: &ModuleName) -> Result<Option<ModuleEntry>, TreeError> {
        if self.too_large.as_ref() == Some(name) {
            let cause = io::Error::from_raw_os_error(libc::ENOMEM);
            return Err(TreeError::Io { path: PathBuf::from("/m/modules.dep"), cause });
        }
        Ok(self.modules.iter().find(|module| module.name == *name).cloned())
    }
    fn own_names(&self, file: &Path) -> Result<Vec<ModuleName>, String> {
        Ok(self.own_names.get(file).cloned().unwrap_or_default())
    }
    fn aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        if self.broken_aliases {
            return Err(TreeError::Io { path: PathBuf::from("/m/modules.alias"), cause: io::Error::other("broken") });
        }
        Ok(matching(&self.aliases, alias))
    }
    fn symbols(&self, name: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        Ok(matching(&self.symbols, name))
    }
    fn is_builtin(&self, name: &ModuleName) -> Result<bool, TreeError> {
        Ok(self.builtin.contains(name))
    }
    fn builtin_aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        Ok(matching(&self.builtin_aliases, alias))
    }
}
