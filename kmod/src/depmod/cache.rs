//! The cache of an incremental run: the parts of each module that the lists need, so that unchanged modules are not read again.
//!
//! A module counts as unchanged when its device, inode, size, mtime and ctime (in nanoseconds) are the same as before it was
//! read. Two changes within one tick of the file system's clock leave the same times. A module is therefore cached only if its
//! times are older than the start of the run, by that same clock. On a file system that stores whole seconds, they must be two
//! seconds older.
//!
//! The cache is used as a whole or not at all: the format, our version, the settings that decide what is read (symbol
//! checksums, limits) and a checksum over all bytes must match. Like any input file, its content is untrusted.
//!
//! ```text
//! magic, format | our version | with checksums? limits | number of entries | entries | checksum
//! entry: length, path, identity, values of .modinfo, exports, imports
//! ```
//!
//! Numbers are unsigned LEB128; the checksum is 8 bytes, little-endian.

pub mod view;

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::hash::Hasher as _;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Options;
use super::budget::Budget;
use super::loaded::{Key, Loaded};
use crate::hash::Folded;
use crate::object::symbols::Import;

/// The name of the cache file, in the directory with the lists.
pub const FILE: &str = "modules.kmodlab-cache";

/// The first bytes of a cache. The number changes with the format and with what is read from a module.
const MAGIC: &[u8] = b"kmodlab depmod cache 1\n";
/// The largest cache that is read, in bytes; more than any real tree needs.
const LIMIT: u64 = 512 << 20;

/// A timestamp of the file system: seconds and nanoseconds.
type Time = (i64, i64);

/// The metadata that shows whether a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: Time,
    changed: Time,
}

impl Identity {
    /// Returns the identity of a regular file; symbolic links are followed.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().filter(Metadata::is_file).map(|data| Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }

    /// Returns whether every change from `now` on is visible in the times.
    fn is_settled(&self, now: Time) -> bool {
        let is_before = |time: Time| match time {
            (seconds, 0) => seconds.saturating_add(2) < now.0,
            time => time < now,
        };
        is_before(self.modified) && is_before(self.changed)
    }
}

/// The entries of the old cache file, and those of the next one.
#[derive(Debug)]
pub(super) struct Cache {
    header: Vec<u8>,
    bytes: Vec<u8>,
    /// The entry of each path.
    places: HashMap<Vec<u8>, Place>,
    /// The time before any module was read, by the file system's clock.
    start: Option<Time>,
    next: Vec<Entry>,
}

#[derive(Debug)]
struct Place {
    identity: Identity,
    whole: Range<usize>,
    content: Range<usize>,
}

/// An entry for the next cache.
#[derive(Debug)]
pub(super) enum Entry {
    /// An unchanged entry: its bytes in the old cache.
    Old(Range<usize>),
    /// An entry for a module that this run read.
    New(Identity, Vec<u8>),
}

impl Entry {
    /// Encodes a module; `None` if there is not enough memory.
    pub(super) fn new(listed: &[u8], identity: Identity, module: &Loaded) -> Option<Self> {
        let mut entry = Vec::new();
        // The cost counts at least 48 bytes for an entry, and its numbers have at most 21 bytes.
        let most = listed.len() + 128 + module.cost();
        entry.try_reserve(most).ok()?;
        put_bytes(&mut entry, listed);
        let Identity { device, inode, size, modified, changed } = identity;
        let times = [modified.0, modified.1, changed.0, changed.1];
        [device, inode, size].into_iter().chain(times.map(|n| n as u64)).for_each(|n| put(&mut entry, n));
        put(&mut entry, module.all_info().len() as u64);
        for (key, value) in module.all_info() {
            entry.push(key_byte(key));
            put_bytes(&mut entry, value);
        }
        put(&mut entry, module.exports().len() as u64);
        for (name, crc) in module.exports() {
            put_symbol(&mut entry, name, false, crc);
        }
        put(&mut entry, module.imports().len() as u64);
        for import in module.imports() {
            put_symbol(&mut entry, import.name, import.weak, import.crc);
        }
        let mut whole = Vec::new();
        whole.try_reserve_exact(entry.len() + 10).ok()?;
        put_bytes(&mut whole, &entry);
        Some(Self::New(identity, whole))
    }
}

impl Cache {
    /// Reads the cache of a directory. A cache that does not match counts as empty.
    ///
    /// `start` is a time before any module is read, by the file system's clock; without it no new entry is kept.
    pub(super) fn read(dir: &Path, options: &Options, start: Option<Time>) -> Self {
        let bytes = crate::file::read_regular(&dir.join(FILE), LIMIT).unwrap_or_default();
        Self::parse(bytes, options, start)
    }

    fn parse(bytes: Vec<u8>, options: &Options, start: Option<Time>) -> Self {
        let header = header(options);
        let places = entries(&bytes, &header).unwrap_or_default();
        Self { header, bytes, places, start, next: Vec::new() }
    }

    /// Returns the cached module at a path, if the file has not changed.
    pub(super) fn get(&self, listed: &[u8], identity: &Identity, budget: &Budget) -> Option<(Loaded, Entry)> {
        let place = self.places.get(listed).filter(|place| place.identity == *identity)?;
        let module = module(&mut Reader { rest: self.bytes.get(place.content.clone())? }, budget)?;
        Some((module, Entry::Old(place.whole.clone())))
    }

    /// Adds an entry to the next cache, unless a later change to its module could go unnoticed.
    pub(super) fn keep(&mut self, entry: Entry) {
        let is_settled = match &entry {
            Entry::Old(_) => true,
            Entry::New(identity, _) => self.start.is_some_and(|start| identity.is_settled(start)),
        };
        if is_settled {
            self.next.push(entry);
        }
    }

    /// Returns the number of modules that came from the old cache.
    pub(super) fn unchanged(&self) -> usize {
        self.next.iter().filter(|entry| matches!(entry, Entry::Old(_))).count()
    }

    /// Returns the bytes of the next cache; `None` when the old one is still right, or if there is not enough memory.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        if self.unchanged() == self.next.len() && self.next.len() == self.places.len() && !self.bytes.is_empty() {
            return None;
        }
        let mut out = self.header.clone();
        let length = |entry: &Entry| match entry {
            Entry::Old(range) => range.len(),
            Entry::New(_, bytes) => bytes.len(),
        };
        out.try_reserve_exact(self.next.iter().map(length).sum::<usize>() + 32).ok()?;
        put(&mut out, self.next.len() as u64);
        for entry in &self.next {
            match entry {
                Entry::Old(range) => out.extend_from_slice(self.bytes.get(range.clone()).unwrap_or_default()),
                Entry::New(_, bytes) => out.extend_from_slice(bytes),
            }
        }
        Some(sealed(out))
    }
}

/// The header that a usable cache starts with.
fn header(options: &Options) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    put_bytes(&mut header, env!("CARGO_PKG_VERSION").as_bytes());
    header.push(u8::from(options.versions_matter()));
    put(&mut header, options.limits.size);
    put(&mut header, options.limits.window);
    header
}

fn checksum(bytes: &[u8]) -> u64 {
    // Guards against damage, not against forgery: a process that can write the cache can write modules.dep.
    let mut hash = Folded::with_seed(0x6b6d_6f64);
    hash.write(bytes);
    hash.finish()
}

/// Appends the checksum.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    file
}

/// Returns the place of each entry; `None` for a cache that must not be used.
fn entries(bytes: &[u8], header: &[u8]) -> Option<HashMap<Vec<u8>, Place>> {
    let (body, sum) = bytes.split_last_chunk()?;
    let rest = body.strip_prefix(header)?;
    if checksum(body) != u64::from_le_bytes(*sum) {
        return None;
    }
    let mut reader = Reader { rest };
    let count = reader.number()?;
    let mut places = HashMap::new();
    for _ in 0..count {
        let start = body.len() - reader.rest.len();
        let mut entry = Reader { rest: reader.bytes()? };
        let end = body.len() - reader.rest.len();
        let name = entry.bytes()?;
        let mut listed = Vec::new();
        listed.try_reserve_exact(name.len()).ok()?;
        listed.extend_from_slice(name);
        let mut next = || entry.number();
        let (device, inode, size) = (next()?, next()?, next()?);
        let mut time = || Some((next()? as i64, next()? as i64));
        let identity = Identity { device, inode, size, modified: time()?, changed: time()? };
        let content = end - entry.rest.len()..end;
        places.try_reserve(1).ok()?;
        places.insert(listed, Place { identity, whole: start..end, content });
    }
    reader.rest.is_empty().then_some(places)
}

/// Decodes the content of an entry; `None` also when the budget does not suffice.
fn module(reader: &mut Reader<'_>, budget: &Budget) -> Option<Loaded> {
    let mut module = Loaded::default();
    let result = decode(&mut module, reader, budget);
    if result.is_none() {
        budget.release(module.cost());
    }
    result.map(|()| module)
}

fn decode(module: &mut Loaded, reader: &mut Reader<'_>, budget: &Budget) -> Option<()> {
    for _ in 0..reader.number()? {
        let key = [Key::Alias, Key::Softdep, Key::Weakdep].get(usize::from(reader.byte()?)).copied()?;
        module.add_info(budget, key, reader.bytes()?).ok()?;
    }
    for _ in 0..reader.number()? {
        let (name, _, crc) = reader.symbol()?;
        module.add_export(budget, name, crc).ok()?;
    }
    for _ in 0..reader.number()? {
        let (name, weak, crc) = reader.symbol()?;
        module.add_import(budget, &Import { name, weak, crc }).ok()?;
    }
    module.shrink();
    reader.rest.is_empty().then_some(())
}

fn key_byte(key: Key) -> u8 {
    match key {
        Key::Alias => 0,
        Key::Softdep => 1,
        Key::Weakdep => 2,
    }
}

const WEAK: u8 = 1;
const WITH_CRC: u8 = 2;

fn put_symbol(out: &mut Vec<u8>, name: &[u8], weak: bool, crc: Option<u64>) {
    out.push(if weak { WEAK } else { 0 } | if crc.is_some() { WITH_CRC } else { 0 });
    put_bytes(out, name);
    crc.into_iter().for_each(|crc| put(out, crc));
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Decodes the output of [`put`] and the other `put_` functions; each method returns `None` for anything else.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn symbol(&mut self) -> Option<(&'a [u8], bool, Option<u64>)> {
        let flags = self.byte()?;
        let name = self.bytes()?;
        let crc = if flags & WITH_CRC != 0 { Some(self.number()?) } else { None };
        Some((name, flags & WEAK != 0, crc))
    }
}

#[cfg(test)]
mod tests;
