//! The reader of an index. It reads only the nodes that a lookup needs. Every access is checked against the end of the file, no walk
//! recurses, and no walk reads more bytes than the file has: in a valid file no two nodes share a byte, so that a longer
//! walk means a cycle or shared nodes.

use std::io;
use std::path::{Path, PathBuf};

use super::bytes::Bytes;
use super::{CHILDREN, IndexError, IndexErrorKind, KEY_LIMIT, MAGIC, OFFSET_MASK, PREFIX, VALUES, VERSION, Value};
use crate::file;
use crate::name::fnmatch;

/// The largest index, in bytes: the reach of 28-bit offsets.
const SIZE_LIMIT: u64 = 1 << 28;
const HEADER: usize = 12;
const SHARED: &str = "nodes share their bytes or form a cycle";

/// A `.bin` index, in memory or as an open file.
#[derive(Debug, Clone)]
pub struct Index {
    path: PathBuf,
    bytes: Bytes,
    root: u32,
}

impl Index {
    /// Uses the bytes of an index; checks only its header.
    ///
    /// # Errors
    /// [`IndexErrorKind::Short`], [`IndexErrorKind::Magic`], [`IndexErrorKind::Version`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, IndexError> {
        Self::from_parts(PathBuf::new(), Bytes::Memory(bytes))
    }

    /// Opens an index file and reads its header. The rest is read on demand.
    ///
    /// # Errors
    /// As [`Index::parse`]; [`IndexErrorKind::Io`] when the file cannot be read, is not a regular file, or is larger than
    /// an index can be.
    pub fn read(path: &Path) -> Result<Self, IndexError> {
        let open = || {
            let (file, size) = file::open_regular(path)?;
            if size > SIZE_LIMIT {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {SIZE_LIMIT} bytes")));
            }
            Bytes::from_file(file, size as usize)
        };
        match open() {
            Ok(bytes) => Self::from_parts(path.to_owned(), bytes),
            Err(error) => Err(IndexError { path: path.to_owned(), kind: error.into() }),
        }
    }

    fn from_parts(path: PathBuf, bytes: Bytes) -> Result<Self, IndexError> {
        let header = match bytes.from(0, HEADER) {
            Ok(header) => header,
            Err(error) => return Err(IndexError { path, kind: error.into() }),
        };
        let kind = match (be32(header, 0), be32(header, 4), be32(header, 8)) {
            (Some(MAGIC), Some(version), Some(root)) if version >> 16 == VERSION >> 16 => {
                return Ok(Self { path, bytes, root });
            }
            (Some(MAGIC), Some(version), Some(_)) => IndexErrorKind::Version(version >> 16),
            (Some(magic), Some(_), Some(_)) => IndexErrorKind::Magic(magic),
            _ => IndexErrorKind::Short(bytes.len()),
        };
        Err(IndexError { path, kind })
    }

    /// Returns the first value of exactly this key. Wildcards in the index have no meaning here.
    ///
    /// # Errors
    /// [`IndexErrorKind::Corrupt`] for a malformed node on the path to the key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let Some(mut node) = self.node(self.root)? else { return Ok(None) };
        let mut rest = key;
        loop {
            let Some(after) = rest.strip_prefix(node.prefix) else { return Ok(None) };
            let Some((&byte, after)) = after.split_first() else {
                let value = self.values(&node)?.next().transpose()?;
                return value.map(|value| self.copy(value.bytes)).transpose();
            };
            // Terminates: each step consumes a byte of the key.
            match self.child(&node, byte)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
            rest = after;
        }
    }

    /// Returns the values of every key that, as a pattern, matches `name`, by ascending priority; at equal priority the one
    /// found last comes first, as for the values of one key.
    ///
    /// # Errors
    /// [`IndexErrorKind::Corrupt`] for a malformed node, or one that is reached twice.
    pub fn matches(&self, name: &[u8]) -> Result<Vec<Value>, IndexError> {
        let mut found: Vec<RawValue<'_>> = Vec::new();
        let mut budget = Budget::new(self);
        let Some(mut node) = self.node(self.root)? else { return Ok(Vec::new()) };
        // The key up to the prefix of `node`.
        let mut key = Vec::new();
        let mut rest = name;
        loop {
            if node.prefix.iter().any(|b| is_wildcard(*b)) {
                // A wildcard in the prefix: all keys below are patterns. They can match only if the bytes before it do.
                let literal = node.prefix.iter().take_while(|b| !is_wildcard(**b)).count();
                if rest.starts_with(&node.prefix[..literal]) {
                    self.walk(node, key, &mut budget, &mut |key, value| match fnmatch(key, name) {
                        true => push(&mut found, value),
                        false => Ok(()),
                    })?;
                }
                break;
            }
            let Some(after) = rest.strip_prefix(node.prefix) else { break };
            key.extend_from_slice(node.prefix);
            for wildcard in *b"*?[" {
                if let Some(child) = self.child(&node, wildcard)? {
                    let key = [&key[..], &[wildcard]].concat();
                    self.walk(child, key, &mut budget, &mut |key, value| match fnmatch(key, name) {
                        true => push(&mut found, value),
                        false => Ok(()),
                    })?;
                }
            }
            let Some((&byte, after)) = after.split_first() else {
                for value in self.values(&node)? {
                    push(&mut found, value?).map_err(|error| self.unread(error))?;
                }
                break;
            };
            if is_wildcard(byte) {
                // The sub-trie of this byte contains patterns and has been searched above.
                break;
            }
            match self.child(&node, byte)? {
                Some(child) => node = child,
                None => break,
            }
            key.push(byte);
            rest = after;
        }
        found.reverse();
        found.sort_by_key(|value| value.priority);
        let mut values = Vec::new();
        for RawValue { priority, bytes } in found {
            push(&mut values, Value { priority, bytes: self.copy(bytes)? }).map_err(|error| self.unread(error))?;
        }
        Ok(values)
    }

    /// Calls `each` with every key and value: keys in byte order, the values of a key in stored order.
    ///
    /// # Errors
    /// [`IndexErrorKind::Corrupt`] for a malformed node, after `each` was called for the entries before it.
    pub fn for_each(&self, mut each: impl FnMut(&[u8], u32, &[u8])) -> Result<(), IndexError> {
        match self.whole_root()? {
            Some(root) => self.walk(root, Vec::new(), &mut Budget::new(self), &mut |key, value| {
                each(key, value.priority, value.bytes);
                Ok(())
            }),
            None => Ok(()),
        }
    }

    /// Returns every key and value, in the order of [`Index::for_each`].
    ///
    /// # Errors
    /// As [`Index::for_each`].
    pub fn entries(&self) -> Result<Vec<(Vec<u8>, Value)>, IndexError> {
        let mut entries = Vec::new();
        if let Some(root) = self.whole_root()? {
            self.walk(root, Vec::new(), &mut Budget::new(self), &mut |key, value| {
                let (key, bytes) = (copy(key)?, copy(value.bytes)?);
                push(&mut entries, (key, Value { priority: value.priority, bytes }))
            })?;
        }
        Ok(entries)
    }

    /// Reads the whole file and returns the root node.
    fn whole_root(&self) -> Result<Option<Node<'_>>, IndexError> {
        self.bytes.read_whole().map_err(|error| self.unread(error))?;
        self.node(self.root)
    }

    fn copy(&self, bytes: &[u8]) -> Result<Vec<u8>, IndexError> {
        copy(bytes).map_err(|error| self.unread(error))
    }

    /// Visits a node and all nodes below it. `key` is the key up to the prefix of the node.
    fn walk<'a>(
        &'a self,
        top: Node<'a>,
        mut key: Vec<u8>,
        budget: &mut Budget,
        each: &mut dyn FnMut(&[u8], RawValue<'a>) -> io::Result<()>,
    ) -> Result<(), IndexError> {
        // The path from `top` to the current node: each node with the length of its key and its next child.
        let mut path: Vec<(Node<'a>, usize, usize)> = Vec::new();
        let mut node = top;
        loop {
            key.extend_from_slice(node.prefix);
            if key.len() > KEY_LIMIT {
                return Err(self.corrupt(node.offset, "a key is too long"));
            }
            if !budget.read(node.prefix.len() + node.children.len()) {
                return Err(self.corrupt(node.offset, SHARED));
            }
            for value in self.values(&node)? {
                let value = value?;
                if !budget.read(value.bytes.len() + 5) || !budget.emit(key.len()) {
                    return Err(self.corrupt(node.offset, SHARED));
                }
                each(&key, value).map_err(|error| self.unread(error))?;
            }
            path.push((node, key.len(), 0));
            node = loop {
                let Some((parent, length, place)) = path.last_mut() else { return Ok(()) };
                let Some(offset) = parent.children.get(*place * 4..).and_then(|table| be32(table, 0)) else {
                    path.pop();
                    continue;
                };
                let byte = parent.first.wrapping_add(*place as u8);
                *place += 1;
                if let Some(child) = self.node(offset)? {
                    key.truncate(*length);
                    key.push(byte);
                    break child;
                }
            };
        }
    }

    /// Reads the node at an offset with flags.
    fn node(&self, offset: u32) -> Result<Option<Node<'_>>, IndexError> {
        let start = (offset & OFFSET_MASK) as usize;
        if start == 0 {
            return Ok(None);
        }
        if start < HEADER {
            return Err(self.corrupt(start, "a node inside the header"));
        }
        let mut at = start;
        let prefix = if offset & PREFIX != 0 {
            let prefix = self.string(at)?;
            at += prefix.len() + 1;
            prefix
        } else {
            &[]
        };
        let (mut first, mut children) = (0, &[][..]);
        if offset & CHILDREN != 0 {
            let (low, last) = match self.from(at, 2)? {
                &[low, last, ..] => (low, last),
                _ => return Err(self.corrupt(at, "the children end behind the file")),
            };
            if low > last || last > 0x7f {
                return Err(self.corrupt(at, "a range of children that is not within 7 bits"));
            }
            let length = 4 * (usize::from(last - low) + 1);
            let table = self.from(at + 2, length)?.get(..length);
            let Some(table) = table else { return Err(self.corrupt(at, "the children end behind the file")) };
            at += 2 + table.len();
            (first, children) = (low, table);
        }
        let values = if offset & VALUES != 0 { Some(at) } else { None };
        Ok(Some(Node { offset: start, prefix, first, children, values }))
    }

    fn child(&self, node: &Node<'_>, byte: u8) -> Result<Option<Node<'_>>, IndexError> {
        let place = usize::from(byte).checked_sub(usize::from(node.first));
        match place.and_then(|place| be32(node.children, place * 4)) {
            Some(offset) => self.node(offset),
            None => Ok(None),
        }
    }

    fn values<'a>(&'a self, node: &Node<'a>) -> Result<Values<'a>, IndexError> {
        let Some(at) = node.values else { return Ok(Values { index: self, left: 0, at: 0 }) };
        match be32(self.from(at, 4)?, 0) {
            Some(left) => Ok(Values { index: self, left, at: at + 4 }),
            None => Err(self.corrupt(at, "the values end behind the file")),
        }
    }

    /// Returns the bytes up to the next NUL.
    fn string(&self, at: usize) -> Result<&[u8], IndexError> {
        let mut tail = self.from(at, 1)?;
        loop {
            if let Some(length) = tail.iter().position(|&b| b == 0) {
                return Ok(&tail[..length]);
            }
            let more = self.from(at, tail.len() + 1)?;
            if more.len() == tail.len() {
                return Err(self.corrupt(at, "a string without its closing NUL"));
            }
            tail = more;
        }
    }

    fn from(&self, at: usize, length: usize) -> Result<&[u8], IndexError> {
        self.bytes.from(at, length).map_err(|error| self.unread(error))
    }

    fn unread(&self, error: io::Error) -> IndexError {
        IndexError { path: self.path.clone(), kind: error.into() }
    }

    fn corrupt(&self, offset: usize, what: &'static str) -> IndexError {
        IndexError { path: self.path.clone(), kind: IndexErrorKind::Corrupt { offset, what } }
    }
}

/// A node whose parts are located, but whose children and values have not been read.
#[derive(Clone, Copy)]
struct Node<'a> {
    offset: usize,
    prefix: &'a [u8],
    /// The byte of the first child.
    first: u8,
    /// The offsets of the children, four bytes each.
    children: &'a [u8],
    /// The position of the number of values.
    values: Option<usize>,
}

#[derive(Clone, Copy)]
struct RawValue<'a> {
    priority: u32,
    bytes: &'a [u8],
}

/// The values of a node, read one by one: the file may end before the stored count is reached.
struct Values<'a> {
    index: &'a Index,
    left: u32,
    at: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<RawValue<'a>, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = match self.index.from(self.at, 4).map(|bytes| be32(bytes, 0)) {
            Err(error) => Err(error),
            Ok(Some(priority)) => self.index.string(self.at + 4).map(|bytes| RawValue { priority, bytes }),
            Ok(None) => Err(self.index.corrupt(self.at, "the values end behind the file")),
        };
        match &value {
            Ok(value) => self.at += 4 + value.bytes.len() + 1,
            Err(_) => self.left = 0,
        }
        Some(value)
    }
}

/// The bytes that a walk may still read from the file, and the bytes of keys that it may still emit.
struct Budget {
    bytes: usize,
    keys: usize,
}

impl Budget {
    fn new(index: &Index) -> Self {
        // Keys share prefixes, so that together they can be longer than the file; in real indexes, up to twice its size.
        Self { bytes: index.bytes.len(), keys: (16 << 20) + 16 * index.bytes.len() }
    }

    /// A node costs at least one byte: a cycle of empty nodes must end.
    fn read(&mut self, bytes: usize) -> bool {
        spend(&mut self.bytes, bytes.max(1))
    }

    fn emit(&mut self, bytes: usize) -> bool {
        spend(&mut self.keys, bytes)
    }
}

fn spend(budget: &mut usize, amount: usize) -> bool {
    match budget.checked_sub(amount) {
        Some(left) => {
            *budget = left;
            true
        }
        None => false,
    }
}

/// Appends a value, or returns an error if there is not enough memory: the number of values comes from the file.
fn push<T>(values: &mut Vec<T>, value: T) -> io::Result<()> {
    values.try_reserve(1).map_err(file::out_of_memory)?;
    values.push(value);
    Ok(())
}

/// Copies bytes, or returns an error if there is not enough memory.
fn copy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(file::out_of_memory)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

fn is_wildcard(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[')
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}
