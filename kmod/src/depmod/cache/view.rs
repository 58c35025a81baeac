//! Reads and writes cache files from outside depmod. The fuzz target `depmod_cache` checks the format with these functions.

use super::super::Options;
use super::super::budget::Budget;
use super::super::loaded::{Key, Loaded};
use super::{Entry, Identity, Reader, entries, header, module, put};
use crate::object::symbols::Import;

/// A module as stored in a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CachedModule {
    /// Its path, as in modules.dep.
    pub path: Vec<u8>,
    /// Device, inode, size, and the seconds and nanoseconds of its mtime and ctime.
    pub identity: [u64; 7],
    /// The values of `.modinfo` that become lines of a list, each with its key: `alias`, `softdep` or `weakdep`.
    pub info: Vec<(&'static str, Vec<u8>)>,
    /// Exported symbols and their checksums.
    pub exports: Vec<(Vec<u8>, Option<u64>)>,
    /// Imported symbols: name, whether weak, checksum.
    pub imports: Vec<(Vec<u8>, bool, Option<u64>)>,
}

/// Returns the modules that a run with these options would use from a cache file, sorted by path. Entries that cannot be decoded
/// are left out. Returns `None` for a file that must not be used.
#[must_use]
pub fn modules(file: &[u8], options: &Options) -> Option<Vec<CachedModule>> {
    let places = entries(file, &header(options))?;
    let read = |(path, place): (Vec<u8>, super::Place)| {
        let loaded = module(&mut Reader { rest: file.get(place.content)? }, &Budget::new())?;
        let Identity { device, inode, size, modified, changed } = place.identity;
        let times = [modified.0, modified.1, changed.0, changed.1].map(|number| number as u64);
        Some(CachedModule {
            path,
            identity: [device, inode, size, times[0], times[1], times[2], times[3]],
            info: loaded.all_info().map(|(key, value)| (key.as_str(), value.to_vec())).collect(),
            exports: loaded.exports().map(|(name, crc)| (name.to_vec(), crc)).collect(),
            imports: loaded.imports().map(|import| (import.name.to_vec(), import.weak, import.crc)).collect(),
        })
    };
    let mut modules: Vec<_> = places.into_iter().filter_map(read).collect();
    modules.sort_unstable();
    Some(modules)
}

/// Returns the bytes of a cache file with these modules, for runs with these options.
#[must_use]
pub fn write(modules: &[CachedModule], options: &Options) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, modules.len() as u64);
    for cached in modules {
        let (mut loaded, budget) = (Loaded::default(), Budget::new());
        for (key, value) in &cached.info {
            let key = [Key::Alias, Key::Softdep, Key::Weakdep].into_iter().find(|known| known.as_str() == *key);
            // Fails only when the names exceed the limit of one module.
            key.map(|key| loaded.add_info(&budget, key, value));
        }
        cached.exports.iter().for_each(|(name, crc)| drop(loaded.add_export(&budget, name, *crc)));
        cached.imports.iter().for_each(|(name, weak, crc)| {
            drop(loaded.add_import(&budget, &Import { name, weak: *weak, crc: *crc }));
        });
        let [device, inode, size, times @ ..] = cached.identity;
        let [a, b, c, d] = times.map(|number| number as i64);
        let identity = Identity { device, inode, size, modified: (a, b), changed: (c, d) };
        if let Some(Entry::New(_, bytes)) = Entry::new(&cached.path, identity, &loaded) {
            body.extend(bytes);
        }
    }
    sealed(&body, options)
}

/// Returns a cache file with an arbitrary body and a valid header and checksum.
#[must_use]
pub fn sealed(body: &[u8], options: &Options) -> Vec<u8> {
    super::sealed([header(options).as_slice(), body].concat())
}
