//! What an earlier run read out of the modules, so that unchanged ones need not be read again (`--incremental`).
//!
//! A module counts as unchanged when its device, inode, size, and times of its last change (of content and of inode, in
//! nanoseconds) are those that it had before it was read. A change within the same tick of the file system's clock as an earlier
//! one would not show in them: only a module whose times lie before the run's start, by that same clock, is put into the cache
//! at all. A file system without parts of a second is given two.
//!
//! The cache is believed only as a whole: its format, our version, what was read (checksums of symbols, limits) and a checksum
//! over all bytes must fit, else it is as if there were none. Like everything read from a file it may hold anything.
//!
//! ```text
//! magic, format | our version | with checksums? limits | number of entries | entries | checksum
//! entry: length, path, identity, values of .modinfo, exports, imports
//! ```
//!
//! Numbers are little-endian base 128, the checksum 8 bytes.

pub mod view;

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::hash::Hasher as _;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Options;
use super::load::versions_matter;
use super::loaded::{Key, Loaded, Needed};
use crate::hash::Folded;

/// The file's name, in the directory with the lists.
pub const FILE: &str = "modules.kmodlab-cache";

/// What stands at the start. The number changes with the format, and with what is read out of a module.
const MAGIC: &[u8] = b"kmodlab depmod cache 1\n";
/// More than any real tree needs.
const LIMIT: u64 = 512 << 20;

/// A moment of a file system's clock.
type Time = (i64, i64);

/// What tells that a file is the one that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: Time,
    changed: Time,
}

impl Identity {
    /// That of a regular file, also behind a link.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().filter(Metadata::is_file).map(|data| Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }

    /// Whether every change from `now` on will show in the times.
    fn is_settled(&self, now: Time) -> bool {
        let is_before = |time: Time| match time {
            (seconds, 0) => seconds.saturating_add(2) < now.0,
            time => time < now,
        };
        is_before(self.modified) && is_before(self.changed)
    }
}

/// What a cache file holds, and what the next one will.
#[derive(Debug)]
pub(super) struct Cache {
    header: Vec<u8>,
    bytes: Vec<u8>,
    /// Where the entry of each path stands, behind its path.
    places: HashMap<Vec<u8>, Place>,
    /// By the file system's clock, before any module was read.
    start: Option<Time>,
    next: Vec<Entry>,
}

#[derive(Debug)]
struct Place {
    identity: Identity,
    whole: Range<usize>,
    content: Range<usize>,
}

/// An entry of the next cache.
#[derive(Debug)]
pub(super) enum Entry {
    /// As it stands in the old one.
    Old(Range<usize>),
    /// Of a module that was read now.
    New(Identity, Vec<u8>),
}

impl Entry {
    pub(super) fn new(listed: &[u8], identity: Identity, module: &Loaded) -> Self {
        let mut entry = Vec::new();
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
        let mut whole = Vec::with_capacity(entry.len() + 4);
        put_bytes(&mut whole, &entry);
        Self::New(identity, whole)
    }
}

impl Cache {
    /// Reads the cache of a directory. One that does not fit is an empty one.
    ///
    /// `start` is a moment of the file system's clock before any module is read; without it nothing new is put in.
    pub(super) fn read(dir: &Path, options: &Options, start: Option<Time>) -> Self {
        let bytes = crate::file::read_regular(&dir.join(FILE), LIMIT).unwrap_or_default();
        Self::parse(bytes, options, start)
    }

    fn parse(bytes: Vec<u8>, options: &Options, start: Option<Time>) -> Self {
        let header = header(options);
        let places = entries(&bytes, &header).unwrap_or_default();
        Self { header, bytes, places, start, next: Vec::new() }
    }

    /// The module of a path, if it is still the same file.
    pub(super) fn get(&self, listed: &[u8], identity: &Identity) -> Option<(Loaded, Entry)> {
        let place = self.places.get(listed).filter(|place| place.identity == *identity)?;
        let module = module(&mut Reader { rest: self.bytes.get(place.content.clone())? })?;
        Some((module, Entry::Old(place.whole.clone())))
    }

    /// Puts an entry into the next cache, if it can be believed there.
    pub(super) fn keep(&mut self, entry: Entry) {
        let is_settled = match &entry {
            Entry::Old(_) => true,
            Entry::New(identity, _) => self.start.is_some_and(|start| identity.is_settled(start)),
        };
        if is_settled {
            self.next.push(entry);
        }
    }

    /// How many modules were taken from the old cache.
    pub(super) fn unchanged(&self) -> usize {
        self.next.iter().filter(|entry| matches!(entry, Entry::Old(_))).count()
    }

    /// The next cache; none when it would be the one that is there.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        if self.unchanged() == self.next.len() && self.next.len() == self.places.len() && !self.bytes.is_empty() {
            return None;
        }
        let mut out = self.header.clone();
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

/// What must be the same for any entry to be believed.
fn header(options: &Options) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    put_bytes(&mut header, env!("CARGO_PKG_VERSION").as_bytes());
    header.push(u8::from(versions_matter(options)));
    put(&mut header, options.limits.size);
    put(&mut header, options.limits.window);
    header
}

fn checksum(bytes: &[u8]) -> u64 {
    // Not against who writes a cache on purpose: whoever can do that can write modules.dep.
    let mut hash = Folded::with_seed(0x6b6d_6f64);
    hash.write(bytes);
    hash.finish()
}

/// With the checksum that makes it believed.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    file
}

/// Where each entry stands; none for a cache that cannot be believed.
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
        let listed = entry.bytes()?.to_vec();
        let mut next = || entry.number();
        let (device, inode, size) = (next()?, next()?, next()?);
        let mut time = || Some((next()? as i64, next()? as i64));
        let identity = Identity { device, inode, size, modified: time()?, changed: time()? };
        let content = end - entry.rest.len()..end;
        places.insert(listed, Place { identity, whole: start..end, content });
    }
    reader.rest.is_empty().then_some(places)
}

/// The content of an entry.
fn module(reader: &mut Reader<'_>) -> Option<Loaded> {
    let mut module = Loaded::default();
    for _ in 0..reader.number()? {
        let key = [Key::Alias, Key::Softdep, Key::Weakdep].get(usize::from(reader.byte()?)).copied()?;
        module.add_info(key, reader.bytes()?).ok()?;
    }
    for _ in 0..reader.number()? {
        let (name, _, crc) = reader.symbol()?;
        module.add_export(name, crc).ok()?;
    }
    for _ in 0..reader.number()? {
        let (name, weak, crc) = reader.symbol()?;
        module.add_import(&Needed { name, weak, crc }).ok()?;
    }
    module.shrink();
    reader.rest.is_empty().then_some(module)
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

/// Takes what [`put`] and its brothers wrote; none when it is something else.
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
