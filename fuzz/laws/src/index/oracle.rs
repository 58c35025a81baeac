//! The expected results of index lookups, computed from the list of entries alone.

use crate::pattern;
use kmod::index::{KEY_LIMIT, Value};

/// A key and its value.
pub(crate) type Entry = (Vec<u8>, Value);

const WILDCARDS: &[u8; 3] = b"*?[";

/// Why an insertion must be rejected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The key contains this byte.
    Byte(u8),
    /// The key is too long.
    Length,
    /// The value contains a NUL.
    Value,
}

pub(crate) fn refusal(key: &[u8], value: &[u8]) -> Option<Refusal> {
    match key.iter().find(|byte| !matches!(byte, 1..=0x7f)) {
        Some(byte) => Some(Refusal::Byte(*byte)),
        None if key.len() > KEY_LIMIT => Some(Refusal::Length),
        None => value.contains(&0).then_some(Refusal::Value),
    }
}

/// Sorted by key, then by priority; of equal entries the last inserted is first.
pub(crate) fn in_order(inserted: &[Entry]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = inserted.iter().rev().cloned().collect();
    entries.sort_by(|(a, left), (b, right)| a.cmp(b).then(left.priority.cmp(&right.priority)));
    entries
}

/// The pairs that occur more than once.
pub(crate) fn duplicates(inserted: &[Entry]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs: Vec<_> = inserted.iter().map(|(key, value)| (key.clone(), value.bytes.clone())).collect();
    pairs.sort();
    let mut twice: Vec<_> = pairs.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0].clone()).collect();
    twice.dedup();
    twice
}

pub(crate) fn get<'e>(entries: &'e [Entry], key: &[u8]) -> Option<&'e [u8]> {
    entries.iter().find(|(other, _)| other == key).map(|(_, value)| value.bytes.as_slice())
}

/// The values whose key is the name or a pattern that matches it: by priority, then in the reverse order of a walk along
/// the name (patterns by the position of their first wildcard, the name itself after the patterns).
pub(crate) fn matches(entries: &[Entry], name: &[u8]) -> Vec<Value> {
    let place = |key: &[u8]| {
        let at = key.iter().position(|byte| WILDCARDS.contains(byte))?;
        Some((at, WILDCARDS.iter().position(|wildcard| *wildcard == key[at])))
    };
    let matches = |key: &[u8]| match place(key) {
        // Before the first wildcard every byte is literal, even a backslash.
        Some((at, _)) => name.starts_with(&key[..at]) && pattern::matches(key, name),
        None => key == name,
    };
    let mut matching: Vec<&Entry> = entries.iter().filter(|(key, _)| matches(key)).collect();
    matching.sort_by_cached_key(|(key, _)| place(key).unwrap_or((name.len(), Some(WILDCARDS.len()))));
    matching.reverse();
    matching.sort_by_key(|(_, value)| value.priority);
    matching.into_iter().map(|(_, value)| value.clone()).collect()
}
