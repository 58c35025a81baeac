//! The body of the fuzz target `index`.

mod children_first;
pub(super) mod oracle;

use super::file::Unnamed;
use arbitrary::{Arbitrary, Unstructured};
use kmod::index::{Index, IndexError, IndexWriter, InsertError, KEY_LIMIT, Value};
use oracle::Entry;

/// What a structured input begins with; everything else is an index as a file has it.
const STRUCTURED: u8 = b'S';
/// Of the keys of an index so many are asked for, from the beginning.
const ASKED: usize = 8;
/// A file of this size is not read at once.
const LARGE: usize = 40 << 10;
/// What one value costs at least in a file: its priority and the NUL behind it.
const VALUE_SIZE: usize = 5;

/// The input is an index, or `S` and the making of one.
///
/// # Panics
/// When a promise about indexes is broken.
pub fn index(data: &[u8]) {
    match data.split_first() {
        Some((&STRUCTURED, bytes)) => {
            if let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) {
                recipe.round_trip();
            }
        }
        _ => hostile(data),
    }
}

/// Whatever the bytes are: all questions agree with the list of all entries, and nothing costs more than the file's size.
fn hostile(data: &[u8]) {
    let Ok(index) = Index::parse(data.to_vec()) else { return };
    let mut passed: Vec<Entry> = Vec::new();
    let whole = index.for_each(|key, priority, bytes| {
        passed.push((key.to_vec(), Value { priority, bytes: bytes.to_vec() }));
    });
    let cost: usize = passed.iter().map(|(_, value)| value.bytes.len() + VALUE_SIZE).sum();
    assert!(cost <= data.len(), "the values have {cost} bytes in a file of {}", data.len());
    assert!(passed.iter().all(|(key, _)| key.len() <= KEY_LIMIT));
    assert!(passed.is_sorted_by(|(a, _), (b, _)| a <= b), "the keys are not in order");
    let end: Vec<u8> = data[data.len().saturating_sub(6)..].iter().map(|byte| byte & 0x7f).collect();
    file_and_memory_agree(data, &passed, &end);
    match whole {
        Ok(()) => {
            assert_eq!(index.entries().ok().as_ref(), Some(&passed));
            agrees(&index, &passed, &[end.as_slice(), b"", b"ab", b"a*"]);
        }
        Err(_) => {
            // What is broken may lie off the way; an answer is none too many bytes all the same.
            assert!(index.entries().is_err());
            let found = index.matches(&end).unwrap_or_default();
            let cost: usize = found.iter().map(|value| value.bytes.len() + VALUE_SIZE).sum();
            assert!(cost <= 2 * data.len(), "the answer has {cost} bytes from a file of {}", data.len());
        }
    }
}

/// A file of which only blocks are read says what the same bytes in memory say, also of what is wrong with them.
fn file_and_memory_agree(data: &[u8], entries: &[Entry], name: &[u8]) {
    let mut bytes = data.to_vec();
    bytes.resize(LARGE.max(data.len()), 0);
    let file = Unnamed::new(&bytes);
    let (Ok(file), Ok(memory)) = (Index::read(&file.path()), Index::parse(bytes)) else {
        panic!("a longer file is refused")
    };
    let keys = entries.iter().rev().step_by(entries.len() / ASKED + 1).map(|(key, _)| key.as_slice());
    for key in keys.chain([name]) {
        assert_eq!(kind(file.get(key)), kind(memory.get(key)), "{key:?} in the file and in memory");
        assert_eq!(
            kind(file.matches(key)),
            kind(memory.matches(key)),
            "what matches {key:?} in the file and in memory"
        );
    }
    assert_eq!(kind(file.entries()), kind(memory.entries()), "the file and its bytes in memory");
}

fn kind<T>(result: Result<T, IndexError>) -> Result<T, String> {
    result.map_err(|error| error.kind.to_string())
}

/// `get` and `matches` say what the list of all entries says, for its own keys, for names made of these, and for others.
fn agrees(index: &Index, entries: &[Entry], more: &[&[u8]]) {
    let mut names: Vec<Vec<u8>> = more.iter().map(|name| name.to_vec()).collect();
    for (key, _) in entries.iter().take(ASKED) {
        names.push(oracle::name_for(key));
        names.push(key.clone());
        names.push(key[..key.len() / 2].to_vec());
    }
    for name in names {
        match index.get(&name) {
            Ok(value) => assert_eq!(value.as_deref(), oracle::get(entries, &name)),
            Err(error) => panic!("all entries can be listed, but not one be had: {error}"),
        }
        match index.matches(&name) {
            Ok(values) => assert_eq!(values, oracle::matches(entries, &name), "what matches {name:?}"),
            Err(error) => panic!("all entries can be listed, but not searched: {error}"),
        }
    }
}

/// Keys and values as they are inserted.
#[derive(Debug, Arbitrary)]
struct Recipe {
    insertions: Vec<Insertion>,
    shape: children_first::Shape,
    /// What is changed afterwards: where, and to what.
    damage: Vec<(u16, u8)>,
}

#[derive(Debug, Arbitrary)]
struct Insertion {
    key: Key,
    value: Text,
    /// Few, so that they meet.
    priority: u8,
}

/// How a value is made.
#[derive(Debug, Arbitrary)]
enum Text {
    Short([u8; 2]),
    /// Some of them longer than what is read of a file at once.
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

/// How a key is made.
#[derive(Debug, Arbitrary)]
enum Key {
    /// Of few letters, so that keys share prefixes and hold wildcards.
    Letters(Vec<u8>),
    /// Any bytes, also such as no key may have.
    Bytes(Vec<u8>),
    /// Some of them about as long as a key may be.
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
    /// What was inserted is what is read, whoever laid out the nodes.
    fn round_trip(&self) {
        let mut writer = IndexWriter::new();
        let mut taken: Vec<Entry> = Vec::new();
        for insertion in &self.insertions {
            let (key, bytes) = (insertion.key.bytes(), insertion.value.bytes());
            let value = Value { priority: u32::from(insertion.priority % 4), bytes };
            let expected = oracle::refusal(&key, &value.bytes);
            match (writer.insert(&key, &value.bytes, value.priority), expected) {
                (Ok(()), None) => taken.push((key, value)),
                (Err(InsertError::BadCharacter { byte, .. }), Some(oracle::Refusal::Byte(bad))) => {
                    assert_eq!(byte, bad)
                }
                (Err(InsertError::TooLong(length)), Some(oracle::Refusal::Length)) => assert_eq!(length, key.len()),
                (Err(InsertError::NulInValue(_)), Some(oracle::Refusal::Value)) => {}
                (result, expected) => panic!("inserting {key:?} gave {result:?}, expected {expected:?}"),
            }
        }
        let entries = oracle::in_order(&taken);
        let duplicates: Vec<_> =
            writer.duplicates().iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        assert_eq!(duplicates, oracle::duplicates(&taken));
        let ours = writer.to_bytes().unwrap_or_else(|error| panic!("what was taken cannot be written: {error}"));
        for mut bytes in [ours, children_first::write(&entries, &self.shape)] {
            file_and_memory_agree(&bytes, &entries, b"ab");
            let index =
                Index::parse(bytes.clone()).unwrap_or_else(|error| panic!("a header just written is refused: {error}"));
            match index.entries() {
                Ok(read) => assert_eq!(read, entries),
                Err(error) => panic!("an index just written is refused: {error}"),
            }
            agrees(&index, &entries, &[b"", b"a", b"ab_", b"nosuch"]);
            for (at, byte) in &self.damage {
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *byte;
            }
            hostile(&bytes);
        }
    }
}
