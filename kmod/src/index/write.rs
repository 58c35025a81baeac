//! The writer of an index: sorts the keys and lays out parents before children, as depmod does since version 34.

use std::collections::TryReserveError;

use super::{CHILDREN, KEY_LIMIT, MAGIC, OFFSET_MASK, PREFIX, VALUES, VERSION};
use crate::name::Escaped;

/// Why a key or a value cannot be added to an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// A byte of the key is not 7-bit ASCII.
    #[error("bad character {byte:#04x} in {key}: only 7-bit ASCII is supported in an index")]
    BadCharacter {
        /// The key.
        key: Escaped<Vec<u8>>,
        /// The first invalid byte.
        byte: u8,
    },
    /// The value contains a NUL byte, which would end it.
    #[error("the value of {0} contains a NUL byte")]
    NulInValue(Escaped<Vec<u8>>),
    /// The key is longer than [`KEY_LIMIT`].
    #[error("a key has {0} bytes, more than the limit of {KEY_LIMIT}")]
    TooLong(usize),
    /// The index exceeds the reach of 28-bit offsets.
    #[error("the index is larger than 256 MiB")]
    TooLarge,
    /// There is not enough memory for the index.
    #[error("not enough memory for the index")]
    Memory,
}

impl From<TryReserveError> for InsertError {
    fn from(_: TryReserveError) -> Self {
        Self::Memory
    }
}

/// A key and a value.
pub type Pair<'w> = (&'w [u8], &'w [u8]);

/// Collects keys and values and writes them as an index.
#[derive(Debug)]
pub struct IndexWriter {
    /// The bytes of all keys and values.
    arena: Vec<u8>,
    entries: Vec<Entry>,
    /// The highest valid offset.
    limit: usize,
}

impl Default for IndexWriter {
    fn default() -> Self {
        Self { arena: Vec::new(), entries: Vec::new(), limit: OFFSET_MASK as usize }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u32,
    value: u32,
    end: u32,
    priority: u32,
}

impl IndexWriter {
    /// Returns an empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value to a key. Values are sorted by ascending priority; at equal priority the later one comes first.
    ///
    /// # Errors
    /// [`InsertError`]; the index is then unchanged.
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
        if self.arena.len() + key.len() + value.len() > self.limit {
            return Err(InsertError::TooLarge);
        }
        self.arena.try_reserve(key.len() + value.len())?;
        self.entries.try_reserve(1)?;
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        let value = start + key.len() as u32;
        self.entries.push(Entry { key: start, value, end: self.arena.len() as u32, priority });
        Ok(())
    }

    /// Returns each pair of key and value that was inserted more than once, in byte order.
    ///
    /// # Errors
    /// [`InsertError::Memory`].
    pub fn duplicates(&self) -> Result<Vec<Pair<'_>>, InsertError> {
        let mut pairs = Vec::new();
        pairs.try_reserve_exact(self.entries.len())?;
        pairs.extend(self.entries.iter().map(|entry| (self.key(entry), self.value(entry))));
        pairs.sort_unstable();
        let mut duplicates = Vec::new();
        for run in pairs.chunk_by(|a, b| a == b).filter(|run| run.len() > 1) {
            duplicates.try_reserve(1)?;
            duplicates.push(run[0]);
        }
        Ok(duplicates)
    }

    /// Returns the bytes of the index file.
    ///
    /// # Errors
    /// [`InsertError::TooLarge`], [`InsertError::Memory`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, InsertError> {
        let mut order: Vec<u32> = Vec::new();
        order.try_reserve_exact(self.entries.len())?;
        order.extend(0..self.entries.len() as u32);
        let entry = |place: u32| &self.entries[place as usize];
        order.sort_unstable_by(|&a, &b| {
            let by_key = self.key(entry(a)).cmp(self.key(entry(b)));
            by_key.then(entry(a).priority.cmp(&entry(b).priority)).then(b.cmp(&a))
        });

        let mut out = Vec::new();
        out.try_reserve(self.arena.len() * 2)?;
        for word in [MAGIC, VERSION, 0] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        // Nodes still to write: their entries, the length of the key above them, and the place for their offset.
        let mut waiting: Vec<(&[u32], usize, usize)> = vec![(&order, 0, 8)];
        while let Some((entries, depth, slot)) = waiting.pop() {
            let start = out.len();
            if start > self.limit {
                return Err(InsertError::TooLarge);
            }
            let mut flags = 0;
            // The common prefix of all keys is that of the first and the last. The root has no prefix, as in C kmod's depmod.
            let (first, last) = match (entries.first(), entries.last()) {
                (Some(&first), Some(&last)) if slot != 8 => (self.key(entry(first)), self.key(entry(last))),
                _ => (&[][..], &[][..]),
            };
            let prefix = first.iter().zip(last).skip(depth).take_while(|(a, b)| a == b).count();
            let here = depth + prefix;
            // The prefix and the offsets of at most 128 children.
            out.try_reserve(prefix + 1 + 2 + 4 * 128)?;
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
                out.try_reserve(4)?;
                out.extend_from_slice(&(values.len() as u32).to_be_bytes());
                for &value in values {
                    let value = entry(value);
                    out.try_reserve(4 + self.value(value).len() + 1)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(limit: usize) -> IndexWriter {
        IndexWriter { limit, ..IndexWriter::default() }
    }

    #[test]
    fn keys_and_values_together_have_a_limit() {
        let mut writer = limited(10);
        writer.insert(b"abc", b"de", 0).unwrap();
        assert_eq!(writer.insert(b"fgh", b"ijk", 0), Err(InsertError::TooLarge));
        writer.insert(b"fgh", b"ij", 0).unwrap();
        for (key, value) in [(&b"k"[..], &b""[..]), (b"", b"k"), (b"kl", b"m")] {
            assert_eq!(writer.insert(key, value, 0), Err(InsertError::TooLarge));
        }
        writer.insert(b"", b"", 0).unwrap();
    }

    #[test]
    fn the_bytes_follow_the_format() {
        let mut writer = IndexWriter::new();
        writer.insert(b"x", b"2", 3).unwrap();
        writer.insert(b"abc", b"1", 0).unwrap();
        // The root never has a prefix; another node has one only if it is not empty.
        let mut expected: Vec<u8> =
            [MAGIC, VERSION, 12 | CHILDREN].iter().flat_map(|word| word.to_be_bytes()).collect();
        expected.extend(b"ax");
        let mut offsets = [0_u32; 24];
        (offsets[0], offsets[23]) = (110 | PREFIX | VALUES, 123 | VALUES);
        expected.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
        expected.extend(b"bc\0\0\0\0\x01\0\0\0\x001\0");
        expected.extend(b"\0\0\0\x01\0\0\0\x032\0");
        assert_eq!(writer.to_bytes().unwrap(), expected);
    }

    #[test]
    fn a_node_at_the_last_offset_is_valid_and_after_it_an_error() {
        let bytes = |limit| {
            let mut writer = limited(limit);
            writer.insert(b"a", b"1", 0).and_then(|()| writer.insert(b"b", b"2", 0)).unwrap();
            writer.to_bytes()
        };
        // The root with the offsets of its two children, then the value of "a": the node of "b" starts here.
        let last = 12 + 2 + 8 + (4 + 4 + 2);
        assert_eq!(bytes(last), bytes(OFFSET_MASK as usize));
        assert_eq!(bytes(last - 1), Err(InsertError::TooLarge));
        assert_eq!(bytes(last - 2), Err(InsertError::TooLarge));
    }
}
