//! Finds the lines of a configuration about a name without reading all of them: a load of many modules looks up many names. Pure.

use super::{Config, matches};
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};

/// Fnmatch patterns by their literal beginning.
#[derive(Debug, Default)]
pub(crate) struct PatternIndex<'a> {
    /// The patterns and their positions in the list, by the bytes before the first special character.
    by_beginning: HashMap<&'a [u8], Vec<(usize, &'a [u8])>>,
    /// The different lengths of these beginnings, in ascending order.
    lengths: Vec<usize>,
}

impl<'a> PatternIndex<'a> {
    pub(crate) fn new(patterns: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut by_beginning: HashMap<&[u8], Vec<(usize, &[u8])>> = HashMap::new();
        for (position, pattern) in patterns.enumerate() {
            let end = pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len());
            by_beginning.entry(pattern.get(..end).unwrap_or_default()).or_default().push((position, pattern));
        }
        let lengths: HashSet<usize> = by_beginning.keys().map(|beginning| beginning.len()).collect();
        let mut lengths: Vec<usize> = lengths.into_iter().collect();
        lengths.sort_unstable();
        Self { by_beginning, lengths }
    }

    /// Returns the positions of the patterns that match a name, in the order of the list.
    pub(crate) fn matching(&self, name: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        for &length in &self.lengths {
            let Some(beginning) = name.get(..length) else { break };
            let candidates = self.by_beginning.get(beginning).into_iter().flatten();
            found.extend(candidates.filter(|(_, pattern)| matches(pattern, name)).map(|(position, _)| *position));
        }
        found.sort_unstable();
        found
    }
}

/// All lines of a configuration by name.
#[derive(Debug)]
pub(crate) struct ConfigIndex<'a> {
    pub(crate) aliases: PatternIndex<'a>,
    pub(crate) install: PatternIndex<'a>,
    pub(crate) remove: PatternIndex<'a>,
    pub(crate) softdeps: PatternIndex<'a>,
    pub(crate) masks: PatternIndex<'a>,
    /// Positions of `options` lines.
    pub(crate) options: HashMap<&'a [u8], Vec<usize>>,
    /// The patterns of `install` and `remove` lines.
    pub(crate) commands: HashSet<&'a [u8]>,
}

impl<'a> ConfigIndex<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        let mut options: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (position, line) in config.options.iter().enumerate() {
            options.entry(&line.name).or_default().push(position);
        }
        Self {
            aliases: PatternIndex::new(config.aliases.iter().map(|line| line.pattern.borrow())),
            install: PatternIndex::new(config.install.iter().map(|line| line.pattern.borrow())),
            remove: PatternIndex::new(config.remove.iter().map(|line| line.pattern.borrow())),
            softdeps: PatternIndex::new(config.softdeps.iter().map(|line| line.pattern.borrow())),
            masks: PatternIndex::new(config.masks.lines.iter().map(|line| line.pattern.borrow())),
            options,
            commands: config.install.iter().chain(&config.remove).map(|line| line.pattern.borrow()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_finds_the_patterns_that_match() {
        arbtest::arbtest(|u| {
            let mut bytes = |most| -> arbitrary::Result<Vec<u8>> {
                (0..u.int_in_range(0..=most)?).map(|_| u.choose(b"aab*?[]\\").copied()).collect()
            };
            let patterns = (0..8).map(|_| bytes(4)).collect::<Result<Vec<_>, _>>()?;
            let name = bytes(4)?;
            let index = PatternIndex::new(patterns.iter().map(Vec::as_slice));
            let expected: Vec<usize> = (0..patterns.len()).filter(|at| matches(&patterns[*at], &name)).collect();
            assert_eq!(index.matching(&name), expected, "{patterns:?} on {name:?}");
            Ok(())
        });
    }
}
