//! The search for module files in the module directory and in external directories. Of several files for one module, depmod.d
//! decides which is listed.
//!
//! Each directory, identified by device and inode, is visited once: a loop of links ends. Real directories come before links to
//! directories, so that a module is listed under its real path if that is in the tree.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{DepmodError, Notice, Options, build_list};
use crate::name::ModuleName;
use crate::object::compress::uncompressed_name;

/// A module file to be listed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: ModuleName,
    /// The path to open.
    pub(super) path: PathBuf,
    /// The path in the lists: relative to the module directory, or absolute outside it.
    pub(super) listed: Vec<u8>,
}

/// Returns all modules, in the order of modules.order, then by path.
pub(super) fn search(options: &Options, notify: &mut dyn FnMut(Notice)) -> Result<Vec<Found>, DepmodError> {
    let mut choice = Choice { options, by_name: HashMap::new() };
    if options.files.is_empty() {
        // The only directory that must exist.
        let open = fs::read_dir(&options.dir);
        open.map_err(|source| DepmodError::Directory { path: options.dir.clone(), source })?;
        for path in walk(&options.dir, options, notify) {
            choice.add(path, false, notify);
        }
        for external in options.config.externals.iter().filter(|dir| dir.is_dir()) {
            for path in walk(external, options, notify) {
                choice.add(path, true, notify);
            }
        }
    }
    for path in &options.files {
        let name = path.file_name().unwrap_or_default().as_bytes();
        if uncompressed_name(name).is_none() {
            return Err(DepmodError::NotAModule { path: path.clone() });
        }
        fs::metadata(path).map_err(|source| DepmodError::File { path: path.clone(), source })?;
        choice.add(path.clone(), false, notify);
    }
    let mut found: Vec<Found> = choice.by_name.into_values().map(|(found, _)| found).collect();
    sort(&mut found, &build_list(&options.dir, "modules.order", notify));
    Ok(found)
}

/// Returns whether no module file is newer than modules.dep; `false` if anything cannot be read.
pub(super) fn is_up_to_date(options: &Options, dep: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).map(|data| (data.mtime(), data.mtime_nsec()));
    let Ok(written) = changed(dep) else { return false };
    let mut readable = fs::read_dir(&options.dir).is_ok();
    let dirs = std::iter::once(&options.dir).chain(options.config.externals.iter().filter(|dir| dir.is_dir()));
    let files: Vec<PathBuf> = dirs.flat_map(|dir| walk(dir, options, &mut |_| readable = false)).collect();
    readable && files.iter().all(|path| changed(path).is_ok_and(|time| time <= written))
}

/// The preferred file of each module, with its preference.
struct Choice<'o> {
    options: &'o Options,
    by_name: HashMap<ModuleName, (Found, Preference)>,
}

/// Files with a lower value are preferred: by the rank that depmod.d gives them, files in the module directory before those in
/// external directories, and then by path.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    rank: usize,
    is_external: bool,
    listed: Vec<u8>,
}

impl Choice<'_> {
    fn add(&mut self, path: PathBuf, is_external: bool, notify: &mut dyn FnMut(Notice)) {
        let listed = path.strip_prefix(&self.options.dir).unwrap_or(&path).as_os_str().as_bytes().to_vec();
        let is_white_space = |b: &u8| b.is_ascii_whitespace() || *b == 0;
        if listed.iter().any(is_white_space) {
            let why = "its path holds white space, which modules.dep cannot hold";
            return notify(Notice::Unlistable { path, why });
        }
        let Ok(name) = ModuleName::from_path(&listed) else {
            return notify(Notice::Unlistable { path, why: "its file name leaves no module name" });
        };
        let rank = self.options.config.rank(&name, &listed, is_external);
        let preference = Preference { rank, is_external, listed: listed.clone() };
        if self.by_name.get(&name).is_none_or(|(_, old)| preference < *old) {
            self.by_name.insert(name.clone(), (Found { name, path, listed }, preference));
        }
    }
}

/// Returns every module file below a directory, by directory and then by name.
fn walk(top: &Path, options: &Options, notify: &mut dyn FnMut(Notice)) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut visited = HashSet::new();
    let mut real = VecDeque::from([top.to_owned()]);
    let mut linked = VecDeque::new();
    while let Some(dir) = real.pop_front().or_else(|| linked.pop_front()) {
        let mut visit = || -> std::io::Result<()> {
            let data = fs::metadata(&dir)?;
            if !visited.insert((data.dev(), data.ino())) {
                return Ok(());
            }
            let mut entries = fs::read_dir(&dir)?.collect::<Result<Vec<_>, _>>()?;
            entries.sort_unstable_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let name = entry.file_name();
                if options.config.is_excluded(name.as_bytes()) {
                    continue;
                }
                let mut kind = entry.file_type()?;
                let is_link = kind.is_symlink();
                let is_module = uncompressed_name(name.as_bytes()).is_some();
                if is_link {
                    // A dangling link is skipped.
                    let Ok(data) = fs::metadata(entry.path()) else { continue };
                    kind = data.file_type();
                }
                if kind.is_dir() {
                    let queue = if is_link { &mut linked } else { &mut real };
                    queue.push_back(entry.path());
                } else if kind.is_file() && is_module {
                    files.push(entry.path());
                }
            }
            Ok(())
        };
        if let Err(source) = visit() {
            notify(Notice::Directory { path: dir, source });
        }
    }
    files
}

/// Sorts modules in the order of modules.order, regardless of compression. Modules that it does not name follow, by path.
fn sort(found: &mut [Found], order: &[u8]) {
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    for (place, line) in order.split(|&b| b == b'\n').enumerate() {
        // The first of two equal lines counts.
        places.entry(uncompressed_name(line).unwrap_or(line)).or_insert(place);
    }
    found.sort_by_cached_key(|module| {
        let plain = uncompressed_name(&module.listed).unwrap_or(&module.listed);
        (places.get(plain).copied().unwrap_or(usize::MAX), module.listed.clone())
    });
}
