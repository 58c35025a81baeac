//! The body of the fuzz target `index`.

mod children_first;
pub(super) mod oracle;

use super::file::Unnamed;
use crate::pattern;
use arbitrary::{Arbitrary, Unstructured};
use kmod::index::{Index, IndexError, IndexWriter, InsertError, KEY_LIMIT, Value};
use oracle::Entry;

/// The first byte of a structured input; any other input is an index file.
const STRUCTURED: u8 = b'S';
/// How many keys of an index are looked up.
const LOOKUPS: usize = 6;
/// How many keys are inserted at most: every lookup is compared with a search through all of them.
const INSERTIONS: usize = 24;
/// A file of this size is read in blocks, not as a whole.
const LARGE: usize = 40 << 10;
/// The minimum size of a value in a file: its priority and the NUL after it.
const VALUE_SIZE: usize = 5;

/// The input is an index, or `S` and the parameters of one.
///
/// # Panics
/// Panics if a promise about indexes is broken.
pub fn index(data: &[u8]) {
    match data.split_first() {
        Some((&STRUCTURED, bytes)) => {
            if let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) {
                recipe.check_round_trip();
            }
        }
        _ => check_any_index(data),
    }
}

/// For all bytes: every lookup agrees with the list of all entries, and no result is larger than the file.
fn check_any_index(data: &[u8]) {
    let Ok(index) = Index::parse(data.to_vec()) else { return };
    let mut listed: Vec<Entry> = Vec::new();
    let whole = index.for_each(|key, priority, bytes| {
        listed.push((key.to_vec(), Value { priority, bytes: bytes.to_vec() }));
    });
    let cost: usize = listed.iter().map(|(_, value)| value.bytes.len() + VALUE_SIZE).sum();
    assert!(cost <= data.len(), "the values have {cost} bytes in a file of {}", data.len());
    assert!(listed.iter().all(|(key, _)| key.len() <= KEY_LIMIT));
    assert!(listed.is_sorted_by(|(a, _), (b, _)| a <= b), "the keys are not in order");
    let end: Vec<u8> = data[data.len().saturating_sub(6)..].iter().map(|byte| byte & 0x7f).collect();
    // A file is much slower than memory, so only some inputs are read from one.
    if data.last().is_some_and(|last| last % 8 == 0) {
        check_file_and_memory(data, &listed, &end);
    }
    match whole {
        Ok(()) => {
            // Again only for some inputs, because lists of damaged indexes are slow.
            if data.last().is_some_and(|last| last % 8 < 2) {
                assert_eq!(index.entries().ok().as_ref(), Some(&listed));
            }
            check_lookups(&index, &listed, &[end.as_slice(), b"ab"]);
        }
        Err(_) => {
            // A lookup may not pass the damaged part; its result must be bounded too.
            assert!(index.entries().is_err());
            let found = index.matches(&end).unwrap_or_default();
            let cost: usize = found.iter().map(|value| value.bytes.len() + VALUE_SIZE).sum();
            assert!(cost <= 2 * data.len(), "the result has {cost} bytes, from a file of {}", data.len());
        }
    }
}

/// A file that is read in blocks gives the same results and errors as the same bytes in memory.
fn check_file_and_memory(data: &[u8], entries: &[Entry], name: &[u8]) {
    let mut bytes = data.to_vec();
    // Zeros could be read as thousands of empty values.
    bytes.resize(LARGE.max(data.len()), 0xff);
    let file = Unnamed::new(&bytes);
    let (Ok(file), Ok(memory)) = (Index::read(&file.path()), Index::parse(bytes)) else {
        panic!("a longer file is rejected")
    };
    let keys = entries.iter().rev().step_by(entries.len() / LOOKUPS + 1).map(|(key, _)| key.as_slice());
    for key in keys.chain([name]) {
        assert_eq!(kind(file.get(key)), kind(memory.get(key)), "{key:?} in the file and in memory");
        assert_eq!(kind(file.matches(key)), kind(memory.matches(key)), "matches of {key:?} in the file and in memory");
    }
    assert_eq!(kind(file.entries()), kind(memory.entries()), "the file and its bytes in memory");
}

fn kind<T>(result: Result<T, IndexError>) -> Result<T, String> {
    result.map_err(|error| error.kind.to_string())
}

/// `get` and `matches` agree with the list of all entries, for some of its keys, names made from them, and `more`.
fn check_lookups(index: &Index, entries: &[Entry], more: &[&[u8]]) {
    let mut names: Vec<Vec<u8>> = more.iter().map(|name| name.to_vec()).collect();
    for (number, (key, _)) in entries.iter().step_by(entries.len() / LOOKUPS + 1).enumerate() {
        // Most are names that the key matches.
        names.push(match number % 4 {
            1 => key.clone(),
            3 => key[..key.len() / 2].to_vec(),
            _ => pattern::name_for(key),
        });
    }
    for name in names {
        match index.get(&name) {
            Ok(value) => assert_eq!(value.as_deref(), oracle::get(entries, &name)),
            Err(error) => panic!("all entries can be listed, but not looked up: {error}"),
        }
        match index.matches(&name) {
            Ok(values) => assert_eq!(values, oracle::matches(entries, &name), "matches of {name:?}"),
            Err(error) => panic!("all entries can be listed, but not searched: {error}"),
        }
    }
}

/// The keys and values to insert.
#[derive(Debug, Arbitrary)]
struct Recipe {
    insertions: Vec<Insertion>,
    shape: children_first::Shape,
    /// Whether to read the index from a file, too, if this is divisible by 8.
    file: u8,
    /// Bytes to change afterwards: positions and values.
    damage: Vec<(u16, u8)>,
}

#[derive(Debug, Arbitrary)]
struct Insertion {
    key: Key,
    value: Text,
    /// Reduced to a small range, so that values share a priority.
    priority: u8,
}

/// A value.
#[derive(Debug, Arbitrary)]
enum Text {
    Short([u8; 2]),
    /// Some are longer than a block of a file.
    Long(u8),
}

impl Text {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Short(bytes) => bytes.to_vec(),
            Self::Long(more) if more % 8 == 0 => vec![b'v'; 5000],
            Self::Long(more) => vec![b'v'; usize::from(more % 8)],
        }
    }
}

/// A key.
#[derive(Debug, Arbitrary)]
enum Key {
    /// From a small alphabet, so that keys share prefixes and contain wildcards.
    Letters(Vec<u8>),
    /// Any bytes, including those that a key must not have.
    Bytes(Vec<u8>),
    /// Some have about the maximum length of a key.
    Long(u8),
}

impl Key {
    fn bytes(&self) -> Vec<u8> {
        const LETTERS: &[u8; 8] = b"ab_*?[]\\";
        match self {
            Self::Letters(by) => by.iter().map(|by| LETTERS[usize::from(*by) % LETTERS.len()]).collect(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Long(more) if more % 8 == 0 => vec![b'l'; KEY_LIMIT - 4 + usize::from(more / 8 % 8)],
            Self::Long(more) => vec![b'l'; usize::from(*more)],
        }
    }
}

impl Recipe {
    /// The inserted entries are read back, from our writer's layout and from another one.
    fn check_round_trip(&self) {
        let mut writer = IndexWriter::new();
        let mut accepted: Vec<Entry> = Vec::new();
        for insertion in self.insertions.iter().take(INSERTIONS) {
            let (key, bytes) = (insertion.key.bytes(), insertion.value.bytes());
            let value = Value { priority: u32::from(insertion.priority % 4), bytes };
            let expected = oracle::refusal(&key, &value.bytes);
            match (writer.insert(&key, &value.bytes, value.priority), expected) {
                (Ok(()), None) => accepted.push((key, value)),
                (Err(InsertError::BadCharacter { byte, .. }), Some(oracle::Refusal::Byte(bad))) => {
                    assert_eq!(byte, bad)
                }
                (Err(InsertError::TooLong(length)), Some(oracle::Refusal::Length)) => assert_eq!(length, key.len()),
                (Err(InsertError::NulInValue(_)), Some(oracle::Refusal::Value)) => {}
                (result, expected) => panic!("inserting {key:?}: {result:?}, expected {expected:?}"),
            }
        }
        let entries = oracle::in_order(&accepted);
        let duplicates: Vec<_> =
            writer.duplicates().unwrap_or_default().iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        assert_eq!(duplicates, oracle::duplicates(&accepted));
        let ours = writer.to_bytes().unwrap_or_else(|error| panic!("accepted entries cannot be written: {error}"));
        for mut bytes in [ours, children_first::write(&entries, &self.shape)] {
            if self.file % 8 == 0 {
                check_file_and_memory(&bytes, &entries, b"ab");
            }
            let index =
                Index::parse(bytes.clone()).unwrap_or_else(|error| panic!("a written header is rejected: {error}"));
            match index.entries() {
                Ok(read) => assert_eq!(read, entries),
                Err(error) => panic!("a written index is rejected: {error}"),
            }
            check_lookups(&index, &entries, &[b"", b"ab_"]);
            for (at, byte) in &self.damage {
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *byte;
            }
            check_any_index(&bytes);
        }
    }
}
