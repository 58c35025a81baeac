//! A cache file from outside: what stands in one, and the making of one. The fuzz target `depmod_cache` holds the format to
//! its promises through these.

use super::super::Options;
use super::super::loaded::{Key, Loaded, Needed};
use super::{Entry, Identity, Reader, entries, header, module, put};

/// A module as a cache tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CachedModule {
    /// Its path as modules.dep has it.
    pub path: Vec<u8>,
    /// Device, inode, size, and the seconds and nanoseconds of its last changes.
    pub identity: [u64; 7],
    /// Values of `.modinfo` that become lines of a list: `alias`, `softdep` or `weakdep`, and the value.
    pub info: Vec<(&'static str, Vec<u8>)>,
    /// Symbols, with their checksums.
    pub exports: Vec<(Vec<u8>, Option<u64>)>,
    /// Symbols that it needs, whether it can do without, and their checksums.
    pub imports: Vec<(Vec<u8>, bool, Option<u64>)>,
}

/// The modules of a cache file as a run with these options would take them, by path; an entry that holds no module is left
/// out. None for a file that is not believed.
#[must_use]
pub fn modules(file: &[u8], options: &Options) -> Option<Vec<CachedModule>> {
    let places = entries(file, &header(options))?;
    let read = |(path, place): (Vec<u8>, super::Place)| {
        let loaded = module(&mut Reader { rest: file.get(place.content)? })?;
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

/// The cache file of these modules for runs with these options.
#[must_use]
pub fn write(modules: &[CachedModule], options: &Options) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, modules.len() as u64);
    for cached in modules {
        let mut loaded = Loaded::default();
        for (key, value) in &cached.info {
            let key = [Key::Alias, Key::Softdep, Key::Weakdep].into_iter().find(|known| known.as_str() == *key);
            // Names of more than 64 MiB together have no place in a cache.
            key.map(|key| loaded.add_info(key, value));
        }
        cached.exports.iter().for_each(|(name, crc)| drop(loaded.add_export(name, *crc)));
        cached.imports.iter().for_each(|(name, weak, crc)| {
            drop(loaded.add_import(&Needed { name, weak: *weak, crc: *crc }));
        });
        let [device, inode, size, times @ ..] = cached.identity;
        let [a, b, c, d] = times.map(|number| number as i64);
        let identity = Identity { device, inode, size, modified: (a, b), changed: (c, d) };
        if let Entry::New(_, bytes) = Entry::new(&cached.path, identity, &loaded) {
            body.extend(bytes);
        }
    }
    sealed(&body, options)
}

/// A cache file with anything in the entries' place, and the checksum that makes it believed.
#[must_use]
pub fn sealed(body: &[u8], options: &Options) -> Vec<u8> {
    super::sealed([header(options).as_slice(), body].concat())
}
