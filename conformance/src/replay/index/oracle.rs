//! What an index must say, from the list of its entries alone.

use kmod::index::{KEY_LIMIT, Value};
use kmod::name::fnmatch;

/// A key and its value, as they stand in an index.
pub(in crate::replay) type Entry = (Vec<u8>, Value);

const WILDCARDS: &[u8; 3] = b"*?[";

/// Why an insertion must be refused.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::replay) enum Refusal {
    /// This byte of the key.
    Byte(u8),
    /// The key's length.
    Length,
    /// A NUL in the value.
    Value,
}

pub(in crate::replay) fn refusal(key: &[u8], value: &[u8]) -> Option<Refusal> {
    match key.iter().find(|byte| !matches!(byte, 1..=0x7f)) {
        Some(byte) => Some(Refusal::Byte(*byte)),
        None if key.len() > KEY_LIMIT => Some(Refusal::Length),
        None => value.contains(&0).then_some(Refusal::Value),
    }
}

/// By key, then by priority; of equals the last one that was inserted comes first.
pub(in crate::replay) fn in_order(inserted: &[Entry]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = inserted.iter().rev().cloned().collect();
    entries.sort_by(|(a, left), (b, right)| a.cmp(b).then(left.priority.cmp(&right.priority)));
    entries
}

/// Each pair that stands there more than once.
pub(in crate::replay) fn duplicates(inserted: &[Entry]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs: Vec<_> = inserted.iter().map(|(key, value)| (key.clone(), value.bytes.clone())).collect();
    pairs.sort();
    let mut twice: Vec<_> = pairs.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0].clone()).collect();
    twice.dedup();
    twice
}

pub(in crate::replay) fn get<'e>(entries: &'e [Entry], key: &[u8]) -> Option<&'e [u8]> {
    entries.iter().find(|(other, _)| other == key).map(|(_, value)| value.bytes.as_slice())
}

/// All values whose key is the name, or a pattern that it matches: by priority, then in the reverse of the order in which a
/// walk down the name meets them (patterns by where their first wildcard stands, the name itself after the patterns).
pub(in crate::replay) fn matches(entries: &[Entry], name: &[u8]) -> Vec<Value> {
    let place = |key: &[u8]| {
        let at = key.iter().position(|byte| WILDCARDS.contains(byte))?;
        Some((at, WILDCARDS.iter().position(|wildcard| *wildcard == key[at])))
    };
    let meets = |key: &[u8]| match place(key) {
        // Before the first wildcard every byte is itself, also a backslash.
        Some((at, _)) => name.starts_with(&key[..at]) && fnmatch(key, name),
        None => key == name,
    };
    let mut met: Vec<&Entry> = entries.iter().filter(|(key, _)| meets(key)).collect();
    met.sort_by_cached_key(|(key, _)| place(key).unwrap_or((name.len(), Some(WILDCARDS.len()))));
    met.reverse();
    met.sort_by_key(|(_, value)| value.priority);
    met.into_iter().map(|(_, value)| value.clone()).collect()
}

/// A name that the key matches if it is a simple pattern.
pub(in crate::replay) fn name_for(key: &[u8]) -> Vec<u8> {
    let replaced = |byte: &u8| match byte {
        b'*' => b"ab".to_vec(),
        b'?' => b"_".to_vec(),
        b'[' | b']' => Vec::new(),
        other => vec![*other],
    };
    key.iter().flat_map(replaced).collect()
}
