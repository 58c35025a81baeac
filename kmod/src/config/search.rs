//! Looks names up in a configuration for one plan: line by line at first, with an index once there were so many lookups that it
//! is worth building. Pure.

use super::index::ConfigIndex;
use super::{Alias, Config, Mask, append_word, first_command, matches, merge_softdeps};
use crate::name::ModuleName;

/// The number of lookups before the index is built. To build it takes as long as some lookups line by line.
const BEFORE_INDEX: usize = 16;

/// A configuration and, after some lookups, its index.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    config: &'a Config,
    lookups: usize,
    index: Option<ConfigIndex<'a>>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        Self { config, lookups: 0, index: None }
    }

    fn index(&mut self) -> Option<&ConfigIndex<'a>> {
        self.lookups += 1;
        if self.lookups > BEFORE_INDEX && self.index.is_none() {
            self.index = Some(ConfigIndex::new(self.config));
        }
        self.index.as_ref()
    }

    /// Returns the `alias` lines that match a name.
    pub(crate) fn aliases(&mut self, name: &[u8]) -> Vec<&'a Alias> {
        let lines = &self.config.aliases;
        match self.index() {
            Some(index) => index.aliases.matching(name).into_iter().filter_map(|at| lines.get(at)).collect(),
            None => lines.iter().filter(|line| matches(&line.pattern, name)).collect(),
        }
    }

    /// Whether a module is named in an `install` or `remove` line.
    pub(crate) fn has_command(&mut self, module: &ModuleName) -> bool {
        let config = self.config;
        match self.index() {
            Some(index) => index.commands.contains(module.as_bytes()),
            None => config.install.iter().chain(&config.remove).any(|line| line.pattern == module.as_bytes()),
        }
    }

    /// Like [`Config::install_for`].
    pub(crate) fn install(&mut self, module: &ModuleName) -> Option<&'a [u8]> {
        let lines = &self.config.install;
        match self.index() {
            Some(index) => {
                let first = index.install.matching(module.as_bytes()).into_iter().next();
                first.and_then(|at| lines.get(at)).map(|line| line.command.as_slice())
            }
            None => first_command(lines, module),
        }
    }

    /// Like [`Config::remove_for`].
    pub(crate) fn remove(&mut self, module: &ModuleName) -> Option<&'a [u8]> {
        let lines = &self.config.remove;
        match self.index() {
            Some(index) => {
                let first = index.remove.matching(module.as_bytes()).into_iter().next();
                first.and_then(|at| lines.get(at)).map(|line| line.command.as_slice())
            }
            None => first_command(lines, module),
        }
    }

    /// Like [`Config::softdeps_for`].
    pub(crate) fn softdeps(&mut self, module: &ModuleName) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
        let config = self.config;
        match self.index() {
            Some(index) => {
                let found = index.softdeps.matching(module.as_bytes());
                merge_softdeps(found.into_iter().filter_map(|at| config.softdeps.get(at)))
            }
            None => config.softdeps_for(module),
        }
    }

    /// Like [`Config::options_for`].
    pub(crate) fn options(&mut self, module: &ModuleName, alias: Option<&[u8]>) -> Vec<u8> {
        let config = self.config;
        let Some(index) = self.index() else { return config.options_for(module, alias) };
        let mut found: Vec<usize> = index.options.get(module.as_bytes()).cloned().unwrap_or_default();
        if let Some(more) = alias.filter(|alias| *alias != module.as_bytes()).and_then(|alias| index.options.get(alias))
        {
            found.extend(more);
            found.sort_unstable();
        }
        let mut joined = Vec::new();
        found.iter().filter_map(|at| config.options.get(*at)).for_each(|line| append_word(&mut joined, &line.text));
        joined
    }

    /// Like [`super::Masks::find`].
    pub(crate) fn mask(&mut self, module: &ModuleName) -> Option<&'a Mask> {
        let masks = &self.config.masks;
        match self.index() {
            Some(index) => {
                let first = index.masks.matching(module.as_bytes()).into_iter().next();
                first.and_then(|at| masks.lines.get(at))
            }
            None => masks.find(module),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_index_does_not_change_the_results() {
        const WORDS: [&str; 8] = ["a", "b", "ab", "a*", "?", "*", "[ab]", "ba"];
        arbtest::arbtest(|u| {
            let (mut text, mut masks) = (String::new(), String::new());
            for _ in 0..u.int_in_range(0..=12)? {
                let (name, value) = (u.choose(&WORDS)?, u.choose(&WORDS)?);
                let keyword = u.choose(&["alias", "options", "install", "remove", "softdep", "blacklist"])?;
                text += &format!("{keyword} {name} {value} pre: {value} post: {name}\n");
                masks += &format!("mask {name}\n");
            }
            let mut config = Config::default();
            config.add_file(Path::new("x"), text.as_bytes(), &mut Vec::new());
            config.masks.add_file(Path::new("y"), masks.as_bytes(), &mut Vec::new());
            let mut search = Search { lookups: BEFORE_INDEX, ..Search::new(&config) };
            for name in ["a", "b", "ab", "c"] {
                let module = ModuleName::new(name.as_bytes()).unwrap();
                let expected: Vec<_> =
                    config.aliases.iter().filter(|line| matches(&line.pattern, name.as_bytes())).collect();
                assert_eq!(search.aliases(name.as_bytes()), expected);
                assert_eq!(search.has_command(&module), Search::new(&config).has_command(&module));
                assert_eq!(search.install(&module), config.install_for(&module));
                assert_eq!(search.remove(&module), config.remove_for(&module));
                assert_eq!(search.softdeps(&module), config.softdeps_for(&module));
                assert_eq!(search.mask(&module), config.masks.find(&module));
                for alias in [None, Some(&b"a"[..]), Some(b"ba")] {
                    assert_eq!(search.options(&module, alias), config.options_for(&module, alias));
                }
            }
            Ok(())
        });
    }
}
