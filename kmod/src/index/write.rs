//! The writer: keys are collected, sorted, and laid out parent first, as depmod does since version 34.

use super::{CHILDREN, KEY_LIMIT, MAGIC, OFFSET_MASK, PREFIX, VALUES, VERSION};
use crate::name::Escaped;

/// Why a key or a value has no place in an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// The format has 7 bits for each byte of a key.
    #[error("bad character {byte:#04x} in {key}: only 7-bit ASCII is supported in an index")]
    BadCharacter {
        /// The key.
        key: Escaped<Vec<u8>>,
        /// The first byte that is no key's.
        byte: u8,
    },
    /// A NUL byte ends a value.
    #[error("the value of {0} holds a NUL byte")]
    NulInValue(Escaped<Vec<u8>>),
    /// Longer than [`KEY_LIMIT`].
    #[error("a key of {0} bytes, more than the {KEY_LIMIT} that readers follow")]
    TooLong(usize),
    /// More than 28-bit offsets can reach.
    #[error("the index has more than 256 MiB")]
    TooLarge,
}

/// Collects keys and values, and makes an index of them.
#[derive(Debug, Default)]
pub struct IndexWriter {
    /// The bytes of all keys and values.
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u32,
    value: u32,
    end: u32,
    priority: u32,
}

impl IndexWriter {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value to a key. Values come out by ascending priority; at the same priority the later one first.
    ///
    /// # Errors
    /// [`InsertError`]; the index is then as it was.
    pub fn insert(&mut self, key: &[u8], value: &[u8], priority: u32) -> Result<(), InsertError> {
        if let Some(&byte) = key.iter().find(|&&byte| byte == 0 || byte > 0x7f) {
            return Err(InsertError::BadCharacter { key: Escaped(key.to_vec()), byte });
        }
        if key.len() > KEY_LIMIT {
            return Err(InsertError::TooLong(key.len()));
        }
        if value.contains(&0) {
            return Err(InsertError::NulInValue(Escaped(key.to_vec())));
        }
        if self.arena.len() + key.len() + value.len() > OFFSET_MASK as usize {
            return Err(InsertError::TooLarge);
        }
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        let value = start + key.len() as u32;
        self.entries.push(Entry { key: start, value, end: self.arena.len() as u32, priority });
        Ok(())
    }

    /// The pairs of a key and a value that were inserted more than once, each once, in the order of their bytes.
    #[must_use]
    pub fn duplicates(&self) -> Vec<(&[u8], &[u8])> {
        let mut pairs: Vec<_> = self.entries.iter().map(|entry| (self.key(entry), self.value(entry))).collect();
        pairs.sort_unstable();
        pairs.chunk_by(|a, b| a == b).filter(|run| run.len() > 1).map(|run| run[0]).collect()
    }

    /// The index as a file's bytes.
    ///
    /// # Errors
    /// [`InsertError::TooLarge`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, InsertError> {
        let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
        let entry = |place: u32| &self.entries[place as usize];
        order.sort_unstable_by(|&a, &b| {
            let by_key = self.key(entry(a)).cmp(self.key(entry(b)));
            by_key.then(entry(a).priority.cmp(&entry(b).priority)).then(b.cmp(&a))
        });

        let mut out = Vec::with_capacity(self.arena.len() * 2);
        for word in [MAGIC, VERSION, 0] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        // Nodes still to write: their entries, how much of the keys stands above them, where their offset is wanted.
        let mut waiting: Vec<(&[u32], usize, usize)> = vec![(&order, 0, 8)];
        while let Some((entries, depth, slot)) = waiting.pop() {
            let start = out.len();
            if start > OFFSET_MASK as usize {
                return Err(InsertError::TooLarge);
            }
            let mut flags = 0;
            // What all keys share: the sorted ends tell. The root has no prefix, as in every index that depmod wrote.
            let (first, last) = match (entries.first(), entries.last()) {
                (Some(&first), Some(&last)) if slot != 8 => (self.key(entry(first)), self.key(entry(last))),
                _ => (&[][..], &[][..]),
            };
            let prefix = first.iter().zip(last).skip(depth).take_while(|(a, b)| a == b).count();
            let here = depth + prefix;
            if prefix > 0 {
                flags |= PREFIX;
                out.extend_from_slice(&first[depth..here]);
                out.push(0);
            }
            let (values, below) = entries.split_at(entries.partition_point(|&e| self.key(entry(e)).len() == here));
            let branch = |e: u32| self.key(entry(e))[here];
            if let (Some(&low), Some(&high)) = (below.first(), below.last()) {
                flags |= CHILDREN;
                let (low, high) = (branch(low), branch(high));
                out.extend_from_slice(&[low, high]);
                let table = out.len();
                out.resize(table + 4 * (usize::from(high - low) + 1), 0);
                for child in below.chunk_by(|&a, &b| branch(a) == branch(b)).rev() {
                    waiting.push((child, here + 1, table + 4 * usize::from(branch(child[0]) - low)));
                }
            }
            if !values.is_empty() {
                flags |= VALUES;
                out.extend_from_slice(&(values.len() as u32).to_be_bytes());
                for &value in values {
                    let value = entry(value);
                    out.extend_from_slice(&value.priority.to_be_bytes());
                    out.extend_from_slice(self.value(value));
                    out.push(0);
                }
            }
            out[slot..slot + 4].copy_from_slice(&(start as u32 | flags).to_be_bytes());
        }
        Ok(out)
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        &self.arena[entry.key as usize..entry.value as usize]
    }

    fn value(&self, entry: &Entry) -> &[u8] {
        &self.arena[entry.value as usize..entry.end as usize]
    }
}
