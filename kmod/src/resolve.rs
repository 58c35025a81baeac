//! Resolves requests: (tree, config, request) -> plan. Pure: its only input besides the arguments is a [`Lookup`], which is
//! a [`Tree`], or a model in tests and fuzzers.
//!
//! [`find`] looks a name up in a fixed chain of sources; [`load_plan`] or [`removal_plan`] makes a plan for each [`Hit`]. A
//! plan does not depend on what is loaded: [`crate::execute`] checks that when it executes the plan.

mod graph;
mod load;
#[cfg(test)]
pub(crate) mod model;
mod plan;
mod remove;

use crate::config::{Config, Search};
use crate::name::{ModuleName, NameError, normalise_alias};
use crate::object;
use crate::tree::{ModuleEntry, ModuleLine, Tree, TreeError};
use std::path::Path;

pub use load::load_plan;
pub use plan::{Action, LoadPlan, LoadRequest, LoadStep, Masked};
pub use remove::{RemovalPlan, RemovalRequest, RemovalStep, removal_plan, removal_plan_with};

/// The lookups of the resolver in a module directory. [`Tree`] documents them.
pub trait Lookup {
    /// Returns the module with exactly this name.
    ///
    /// # Errors
    /// The source exists and is damaged.
    fn module(&self, name: &ModuleName) -> Result<Option<ModuleEntry>, TreeError>;
    /// Returns the line of modules.dep of the module with exactly this name.
    ///
    /// # Errors
    /// The source exists and is damaged.
    fn line(&self, name: &ModuleName) -> Result<Option<ModuleLine>, TreeError> {
        Ok(self.module(name)?.map(ModuleLine::from))
    }
    /// Returns the names that a module file has for itself, besides its file name: the kernel loads the module under them. Only
    /// needed if modules are masked.
    ///
    /// # Errors
    /// Why the file cannot be read, as a text that names it.
    fn own_names(&self, _file: &Path) -> Result<Vec<ModuleName>, String> {
        Ok(Vec::new())
    }
    /// Returns the modules with an alias that matches.
    ///
    /// # Errors
    /// The source exists and is damaged.
    fn aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError>;
    /// Returns the modules that export `symbol:NAME`.
    ///
    /// # Errors
    /// The source exists and is damaged.
    fn symbols(&self, name: &[u8]) -> Result<Vec<ModuleName>, TreeError>;
    /// Whether the module is built into the kernel.
    ///
    /// # Errors
    /// The source exists and is damaged.
    fn is_builtin(&self, name: &ModuleName) -> Result<bool, TreeError>;
    /// Returns the built-in modules with an alias that matches.
    ///
    /// # Errors
    /// The source exists and is damaged.
    fn builtin_aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError>;
}

impl Lookup for Tree {
    fn module(&self, name: &ModuleName) -> Result<Option<ModuleEntry>, TreeError> {
        Tree::module(self, name)
    }
    fn line(&self, name: &ModuleName) -> Result<Option<ModuleLine>, TreeError> {
        Tree::line(self, name)
    }
    fn own_names(&self, file: &Path) -> Result<Vec<ModuleName>, String> {
        object::own_names(file).map_err(|error| error.to_string())
    }
    fn aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        Tree::aliases(self, alias)
    }
    fn symbols(&self, name: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        Tree::symbols(self, name)
    }
    fn is_builtin(&self, name: &ModuleName) -> Result<bool, TreeError> {
        Tree::is_builtin(self, name)
    }
    fn builtin_aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        Tree::builtin_aliases(self, alias)
    }
}

/// A module that a name refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The module.
    pub module: ModuleName,
    /// The alias that led to the module, if one did: options may be configured for it, and the blacklist applies. It is the
    /// normalised name of the request, or the pattern of an `alias` line in the configuration, as in C kmod.
    pub alias: Option<Vec<u8>>,
}

/// The result of [`find`].
#[derive(Debug, Default)]
pub struct Found {
    /// The modules, in the order of the source; empty if the name is unknown.
    pub hits: Vec<Hit>,
    /// Damaged indexes. The search continued without them.
    pub problems: Vec<TreeError>,
}

/// Looks a name up. All modules of the first source that knows the name are returned. The sources, in order: `alias` lines of
/// the configuration, names of modules in the directory, exported symbols (`symbol:NAME` only), names in `install` and
/// `remove` lines, aliases of modules, names of built-in modules, aliases of built-in modules.
///
/// An alias in the configuration therefore hides a module of the same name. The target of an alias is not looked up as an
/// alias again.
///
/// # Errors
/// [`NameError`] if this is not a valid name.
pub fn find(tree: &impl Lookup, config: &Config, name: &[u8]) -> Result<Found, NameError> {
    find_with(tree, &mut Search::new(config), name)
}

/// Like [`find`], for many names.
fn find_with(tree: &impl Lookup, config: &mut Search<'_>, name: &[u8]) -> Result<Found, NameError> {
    let alias = normalise_alias(name)?;
    let mut found = Found::default();
    // An alias may match a string that is not a module name: `.x`, or the empty string.
    let module = ModuleName::new(&alias).ok();
    // A module name ends at the first dot, but "a.b" is not a request for the module "a".
    let exact = module.filter(|module| module.as_bytes() == alias);

    found.hits = config_aliases(config, &alias);
    let sources: [&mut dyn FnMut() -> Result<Vec<Hit>, TreeError>; 6] = [
        &mut || match &exact {
            Some(module) if !alias.contains(&b':') => {
                Ok(tree.module(module)?.map(|entry| plain(entry.name)).into_iter().collect())
            }
            _ => Ok(Vec::new()),
        },
        &mut || if alias.starts_with(b"symbol:") { Ok(aliased(tree.symbols(&alias)?, &alias)) } else { Ok(Vec::new()) },
        &mut || Ok(exact.iter().filter(|module| config.has_command(module)).cloned().map(plain).collect()),
        &mut || Ok(aliased(tree.aliases(&alias)?, &alias)),
        &mut || match &exact {
            Some(module) if tree.is_builtin(module)? => Ok(vec![plain(module.clone())]),
            _ => Ok(Vec::new()),
        },
        &mut || Ok(aliased(tree.builtin_aliases(&alias)?, &alias)),
    ];
    for source in sources {
        if !found.hits.is_empty() {
            break;
        }
        match source() {
            Ok(hits) => found.hits = hits,
            Err(problem) => found.problems.push(problem),
        }
    }
    Ok(found)
}

fn plain(module: ModuleName) -> Hit {
    Hit { module, alias: None }
}

/// Removes duplicates: several aliases of one module may match.
fn aliased(modules: Vec<ModuleName>, alias: &[u8]) -> Vec<Hit> {
    once(modules.into_iter().map(|module| (module, alias)))
}

fn config_aliases(config: &mut Search<'_>, name: &[u8]) -> Vec<Hit> {
    let lines = config.aliases(name).into_iter();
    once(lines.filter_map(|line| Some((ModuleName::new(&line.target).ok()?, line.pattern.as_slice()))))
}

fn once<'a>(modules: impl Iterator<Item = (ModuleName, &'a [u8])>) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (module, alias) in modules {
        if seen.insert(module.clone()) {
            hits.push(Hit { module, alias: Some(alias.to_vec()) });
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::model::{ModelTree, config, name};
    use super::*;

    fn found(model: &ModelTree, text: &str, name: &str) -> Vec<String> {
        let found = find(model, &config(text), name.as_bytes()).unwrap();
        let shown = |hit: Hit| match hit.alias {
            Some(alias) => format!("{} as {}", hit.module, String::from_utf8_lossy(&alias)),
            None => hit.module.to_string(),
        };
        found.hits.into_iter().map(shown).collect()
    }

    #[test]
    fn each_source_of_a_directory_is_searched() {
        let dir = tempfile::tempdir().unwrap();
        for (list, text) in [
            ("modules.dep", &b"k/foo.ko:\n"[..]),
            ("modules.alias", b"alias al-* foo\n"),
            ("modules.symbols", b"alias symbol:do foo\n"),
            ("modules.builtin", b"k/bi.ko\n"),
            ("modules.builtin.modinfo", b"bi.alias=bi-al\0"),
        ] {
            std::fs::write(dir.path().join(list), text).unwrap();
        }
        let tree = Tree::new(dir.path());
        let hits = |name: &str| find(&tree, &Config::default(), name.as_bytes()).unwrap().hits;
        let aliased = |module, alias: &str| vec![Hit { module: name(module), alias: Some(alias.into()) }];
        assert_eq!(hits("foo"), [plain(name("foo"))]);
        assert_eq!(hits("al-x"), aliased("foo", "al_x"));
        assert_eq!(hits("symbol:do"), aliased("foo", "symbol:do"));
        assert_eq!(hits("bi"), [plain(name("bi"))]);
        assert_eq!(hits("bi-al"), aliased("bi", "bi_al"));
        assert_eq!(hits("unknown"), []);
    }

    #[test]
    fn an_alias_in_the_configuration_hides_a_module() {
        let model = ModelTree::new(&["foo:", "bar:"]);
        assert_eq!(found(&model, "alias foo bar\nalias f* b-z", "foo"), ["bar as foo", "b_z as f*"]);
        assert_eq!(found(&model, "", "f-oo"), [""; 0]);
        assert_eq!(found(&model, "", "foo"), ["foo"]);
    }

    #[test]
    fn the_sources_are_searched_in_order() {
        let mut model = ModelTree::new(&["foo:"]);
        model.alias("fo*", "a1").alias("foo", "a2").alias("x?", "a1").alias("xy", "a1").symbol("symbol:foo", "s");
        model.builtin("bi").builtin("xy").builtin_alias("bi*", "bi");
        assert_eq!(found(&model, "", "foo"), ["foo"]);
        assert_eq!(found(&model, "", "foo2"), ["a1 as foo2"]);
        assert_eq!(found(&model, "", "xy"), ["a1 as xy"]);
        assert_eq!(found(&model, "install foo2 x\nremove gone y", "foo2"), ["foo2"]);
        assert_eq!(found(&model, "install foo2 x\nremove gone y", "gone"), ["gone"]);
        assert_eq!(found(&model, "install other x\nremove gone y", "unknown"), [""; 0]);
        assert_eq!(found(&model, "", "symbol:foo"), ["s as symbol:foo"]);
        assert_eq!(found(&model, "", "bi"), ["bi"]);
        assert_eq!(found(&model, "", "bi-x"), ["bi as bi_x"]);
    }

    #[test]
    fn aliases_of_aliases_are_not_followed() {
        assert_eq!(found(&ModelTree::new(&["c:"]), "alias a b\nalias b c", "a"), ["b as a"]);
    }

    #[test]
    fn a_name_with_a_dot_does_not_find_the_part_before_the_dot() {
        assert_eq!(found(&ModelTree::new(&["foo:"]), "", "foo.ko"), [""; 0]);
    }

    #[test]
    fn a_name_with_a_colon_is_only_looked_up_as_an_alias() {
        let mut model = ModelTree::new(&["a:b:"]);
        assert_eq!(found(&model, "", "a:b"), [""; 0]);
        model.alias("a:*", "c");
        assert_eq!(found(&model, "", "a:b"), ["c as a:b"]);
    }

    #[test]
    fn a_name_with_an_unmatched_bracket_is_an_error() {
        assert!(find(&ModelTree::new(&[]), &Config::default(), b"a[b").is_err());
    }

    #[test]
    fn a_damaged_index_is_reported_and_the_search_continues() {
        let mut model = ModelTree::new(&["foo:"]);
        model.builtin("bar");
        model.broken_aliases = true;
        let found = find(&model, &Config::default(), b"bar").unwrap();
        assert_eq!((found.hits, found.problems.len()), (vec![plain(name("bar"))], 1));
    }
}
