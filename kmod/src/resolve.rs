//! What a request means: (tree, config, request) -> plan. Pure: the only thing it asks is a [`Lookup`], which a
//! [`Tree`] is and which tests and fuzzers give as a model.
//!
//! A name is looked up in a fixed chain of sources ([`find`]); each [`Hit`] has its own plan: [`load_plan`] or
//! [`removal_plan`]. A plan does not know what is loaded; whoever carries it out ([`crate::execute`]) does.

mod load;
#[cfg(test)]
pub(crate) mod model;
mod remove;

use crate::config::{self, Config};
use crate::name::{ModuleName, NameError, normalise_alias};
use crate::tree::{ModuleEntry, Tree, TreeError};

pub use load::{Action, LoadPlan, LoadRequest, LoadStep, load_plan};
pub use remove::{RemovalPlan, RemovalRequest, RemovalStep, removal_plan};

/// What the resolver asks a module directory. [`Tree`] says what each question means.
pub trait Lookup {
    /// The module of exactly this name.
    ///
    /// # Errors
    /// The source is there and broken.
    fn module(&self, name: &ModuleName) -> Result<Option<ModuleEntry>, TreeError>;
    /// The modules whose own aliases match.
    ///
    /// # Errors
    /// The source is there and broken.
    fn aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError>;
    /// The modules that export `symbol:NAME`.
    ///
    /// # Errors
    /// The source is there and broken.
    fn symbols(&self, name: &[u8]) -> Result<Vec<ModuleName>, TreeError>;
    /// Whether the module is part of the kernel.
    ///
    /// # Errors
    /// The source is there and broken.
    fn is_builtin(&self, name: &ModuleName) -> Result<bool, TreeError>;
    /// The built-in modules whose aliases match.
    ///
    /// # Errors
    /// The source is there and broken.
    fn builtin_aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError>;
}

impl Lookup for Tree {
    fn module(&self, name: &ModuleName) -> Result<Option<ModuleEntry>, TreeError> {
        Tree::module(self, name)
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

/// One module that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The module.
    pub module: ModuleName,
    /// The normalised name that was asked for, when it is an alias: options may be given under it, and the blacklist
    /// applies.
    pub alias: Option<Vec<u8>>,
}

/// What a name stands for, and what was wrong with the sources that were asked.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of the source; empty when nobody knows the name.
    pub hits: Vec<Hit>,
    /// Broken indexes. The search went on without them.
    pub problems: Vec<TreeError>,
}

/// Looks a name up. The first source that knows it wins, and all that this source says is taken:
/// `alias` lines of the configuration, the module directory's own names, its symbols (`symbol:NAME` only), names of
/// `install` and `remove` lines, aliases of modules, names of built-in modules, their aliases.
///
/// So an alias of the configuration hides a module of that name. Aliases are not followed twice.
///
/// # Errors
/// [`NameError`] when this can be no name at all.
pub fn find(tree: &impl Lookup, config: &Config, name: &[u8]) -> Result<Found, NameError> {
    let alias = normalise_alias(name)?;
    let mut found = Found::default();
    // No module has such a name, but an alias may: `.x`, or the empty string as an fnmatch pattern matches it.
    let module = ModuleName::new(&alias).ok();
    // The first dot ends a module's name, but "a.b" does not ask for the module "a".
    let exact = module.filter(|module| module.as_bytes() == alias);

    found.hits = config_aliases(config, &alias);
    let sources: [&dyn Fn() -> Result<Vec<Hit>, TreeError>; 6] = [
        &|| match &exact {
            Some(module) if !alias.contains(&b':') => {
                Ok(tree.module(module)?.map(|entry| plain(entry.name)).into_iter().collect())
            }
            _ => Ok(Vec::new()),
        },
        &|| if alias.starts_with(b"symbol:") { Ok(aliased(tree.symbols(&alias)?, &alias)) } else { Ok(Vec::new()) },
        &|| Ok(exact.iter().filter(|module| has_command(config, module)).cloned().map(plain).collect()),
        &|| Ok(aliased(tree.aliases(&alias)?, &alias)),
        &|| match &exact {
            Some(module) if tree.is_builtin(module)? => Ok(vec![plain(module.clone())]),
            _ => Ok(Vec::new()),
        },
        &|| Ok(aliased(tree.builtin_aliases(&alias)?, &alias)),
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

/// Each module once: it may have several aliases that match.
fn aliased(modules: Vec<ModuleName>, alias: &[u8]) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::with_capacity(modules.len());
    let mut seen = std::collections::BTreeSet::new();
    for module in modules {
        if seen.insert(module.clone()) {
            hits.push(Hit { module, alias: Some(alias.to_vec()) });
        }
    }
    hits
}

fn config_aliases(config: &Config, alias: &[u8]) -> Vec<Hit> {
    let targets = config.aliases.iter().filter(|line| config::matches(&line.pattern, alias));
    aliased(targets.filter_map(|line| ModuleName::new(&line.target).ok()).collect(), alias)
}

fn has_command(config: &Config, module: &ModuleName) -> bool {
    config.install.iter().chain(&config.remove).any(|command| command.pattern == module.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::model::{Model, config, name};
    use super::*;

    fn found(model: &Model, text: &str, name: &str) -> Vec<String> {
        let found = find(model, &config(text), name.as_bytes()).unwrap();
        let shown = |hit: Hit| match hit.alias {
            Some(alias) => format!("{} as {}", hit.module, String::from_utf8_lossy(&alias)),
            None => hit.module.to_string(),
        };
        found.hits.into_iter().map(shown).collect()
    }

    #[test]
    fn a_directory_is_asked_for_each_source() {
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
        assert_eq!(hits("nobody"), []);
    }

    #[test]
    fn an_alias_of_the_configuration_hides_a_module() {
        let model = Model::new(&["foo:", "bar:"]);
        assert_eq!(found(&model, "alias foo bar\nalias f* b-z", "foo"), ["bar as foo", "b_z as foo"]);
        assert_eq!(found(&model, "", "f-oo"), [""; 0]);
        assert_eq!(found(&model, "", "foo"), ["foo"]);
    }

    #[test]
    fn the_sources_are_asked_in_their_order() {
        let mut model = Model::new(&["foo:"]);
        model.alias("fo*", "a1").alias("foo", "a2").alias("x?", "a1").alias("xy", "a1").symbol("symbol:foo", "s");
        model.builtin("bi").builtin("xy").builtin_alias("bi*", "bi");
        assert_eq!(found(&model, "", "foo"), ["foo"]);
        assert_eq!(found(&model, "", "foo2"), ["a1 as foo2"]);
        assert_eq!(found(&model, "", "xy"), ["a1 as xy"]);
        assert_eq!(found(&model, "install foo2 x\nremove gone y", "foo2"), ["foo2"]);
        assert_eq!(found(&model, "install foo2 x\nremove gone y", "gone"), ["gone"]);
        assert_eq!(found(&model, "install other x\nremove gone y", "nobody"), [""; 0]);
        assert_eq!(found(&model, "", "symbol:foo"), ["s as symbol:foo"]);
        assert_eq!(found(&model, "", "bi"), ["bi"]);
        assert_eq!(found(&model, "", "bi-x"), ["bi as bi_x"]);
    }

    #[test]
    fn aliases_of_aliases_are_not_followed() {
        assert_eq!(found(&Model::new(&["c:"]), "alias a b\nalias b c", "a"), ["b as a"]);
    }

    #[test]
    fn a_name_with_a_dot_is_not_its_first_part() {
        assert_eq!(found(&Model::new(&["foo:"]), "", "foo.ko"), [""; 0]);
    }

    #[test]
    fn a_name_with_a_colon_is_an_alias_and_no_module() {
        let mut model = Model::new(&["a:b:"]);
        assert_eq!(found(&model, "", "a:b"), [""; 0]);
        model.alias("a:*", "c");
        assert_eq!(found(&model, "", "a:b"), ["c as a:b"]);
    }

    #[test]
    fn an_unmatched_bracket_is_no_name() {
        assert!(find(&Model::new(&[]), &Config::default(), b"a[b").is_err());
    }

    #[test]
    fn a_broken_index_is_told_and_the_search_goes_on() {
        let mut model = Model::new(&["foo:"]);
        model.builtin("bar");
        model.broken_aliases = true;
        let found = find(&model, &Config::default(), b"bar").unwrap();
        assert_eq!((found.hits, found.problems.len()), (vec![plain(name("bar"))], 1));
    }
}
