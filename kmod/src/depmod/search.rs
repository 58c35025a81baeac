//! The search for module files in the module directory and in external directories. Of several files for one module, depmod.d
//! decides which is listed.
//!
//! Each directory, identified by device and inode, is visited once: a loop of links ends. Real directories come before links to
//! directories, so that a module is listed under its real path if that is in the tree.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::root::Root;
use super::{DepmodError, Notice, Options, build_list};
use crate::name::ModuleName;
use crate::object::compress::uncompressed_name;

/// A module file to be listed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: ModuleName,
    /// The path, as shown in messages.
    pub(super) path: PathBuf,
    /// The path to open, if links in `path` were resolved below another root.
    pub(super) resolved: Option<PathBuf>,
    /// The path in the lists: relative to the module directory, or absolute outside it.
    pub(super) listed: Vec<u8>,
}

impl Found {
    /// Returns the path to open.
    pub(super) fn file(&self) -> &Path {
        self.resolved.as_deref().unwrap_or(&self.path)
    }
}

/// A file of the directory tree, or a directory to visit.
struct Entry {
    path: PathBuf,
    /// The path to open, if links in `path` were resolved below another root.
    resolved: Option<PathBuf>,
}

impl Entry {
    fn file(&self) -> &Path {
        self.resolved.as_deref().unwrap_or(&self.path)
    }
}

/// Returns all modules, in the order of modules.order, then by path.
pub(super) fn search(options: &Options, notify: &mut dyn FnMut(Notice)) -> Result<Vec<Found>, DepmodError> {
    let mut choice = Choice { options, by_name: HashMap::new() };
    if options.files.is_empty() {
        // The only directory that must exist.
        let open = fs::read_dir(&options.dir);
        open.map_err(|cause| DepmodError::Directory { path: options.dir.clone(), cause })?;
        for file in walk(&options.dir, options, notify) {
            choice.add(file, false, notify);
        }
        for external in options.config.externals.iter().filter(|dir| dir.is_dir()) {
            for file in walk(external, options, notify) {
                choice.add(file, true, notify);
            }
        }
    }
    for path in &options.files {
        let path = path.clone();
        if !path.is_absolute() {
            return Err(DepmodError::NotAbsolute { path });
        }
        let name = path.file_name().unwrap_or_default().as_bytes();
        if uncompressed_name(name).is_none() {
            return Err(DepmodError::NotAModule { path });
        }
        match (fs::metadata(&path), choice.same_name(&path)) {
            (Ok(_), None) => choice.add(Entry { path, resolved: None }, false, notify),
            (Ok(_), Some(other)) if other.path == path => return Err(DepmodError::Repeated { path }),
            (Ok(_), Some(Found { name, path: other, .. })) => {
                return Err(DepmodError::SameName { name: name.clone(), path, other: other.clone() });
            }
            (Err(cause), _) => return Err(DepmodError::File { path, cause }),
        }
    }
    let mut found: Vec<Found> = choice.by_name.into_values().map(|(found, _)| found).collect();
    sort(&mut found, &build_list(options, "modules.order", notify));
    Ok(found)
}

/// Returns whether no module file is newer than modules.dep; `false` if anything cannot be read.
pub(super) fn is_up_to_date(options: &Options, dep: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).map(|data| (data.mtime(), data.mtime_nsec()));
    let Ok(written) = changed(dep) else { return false };
    let mut readable = fs::read_dir(&options.dir).is_ok();
    let dirs = std::iter::once(&options.dir).chain(options.config.externals.iter().filter(|dir| dir.is_dir()));
    // A dangling link is not a module.
    let mut notice = |notice: Notice| readable &= matches!(notice, Notice::DanglingLink { .. });
    let files: Vec<Entry> = dirs.flat_map(|dir| walk(dir, options, &mut notice)).collect();
    readable && files.iter().all(|file| changed(file.file()).is_ok_and(|time| time <= written))
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
    /// Returns the file with the module name of this file.
    fn same_name(&self, path: &Path) -> Option<&Found> {
        let name = ModuleName::from_path(path.as_os_str().as_bytes()).ok()?;
        self.by_name.get(&name).map(|(found, _)| found)
    }

    fn add(&mut self, file: Entry, is_external: bool, notify: &mut dyn FnMut(Notice)) {
        let Entry { path, resolved } = file;
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
            self.by_name.insert(name.clone(), (Found { name, path, resolved, listed }, preference));
        }
    }
}

/// Returns every module file below a directory, by directory and then by name.
fn walk(top: &Path, options: &Options, notify: &mut dyn FnMut(Notice)) -> Vec<Entry> {
    let root = Root::new(options.root.as_deref());
    let mut files = Vec::new();
    let mut visited = HashSet::new();
    let mut real = VecDeque::from([Entry { path: top.to_owned(), resolved: None }]);
    let mut linked = VecDeque::new();
    while let Some(dir) = real.pop_front().or_else(|| linked.pop_front()) {
        let mut visit = || -> io::Result<()> {
            let data = fs::metadata(dir.file())?;
            if !visited.insert((data.dev(), data.ino())) {
                return Ok(());
            }
            let mut entries = fs::read_dir(dir.file())?.collect::<Result<Vec<_>, _>>()?;
            entries.sort_unstable_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let name = entry.file_name();
                if options.config.is_excluded(name.as_bytes()) {
                    continue;
                }
                let path = dir.path.join(&name);
                let is_module = uncompressed_name(name.as_bytes()).is_some();
                let kind = entry.file_type()?;
                let is_link = kind.is_symlink();
                let (kind, resolved) = if is_link {
                    match follow(&entry.path(), root) {
                        Ok((data, resolved)) => (data.file_type(), resolved),
                        Err(cause) => {
                            let listed = path.strip_prefix(top).unwrap_or(&path).as_os_str().as_bytes();
                            if is_module || options.config.is_searched(listed) {
                                let target = fs::read_link(entry.path()).unwrap_or_default();
                                notify(Notice::DanglingLink { path, target, cause });
                            }
                            continue;
                        }
                    }
                } else {
                    (kind, dir.resolved.as_ref().map(|resolved| resolved.join(&name)))
                };
                if kind.is_dir() {
                    let queue = if is_link { &mut linked } else { &mut real };
                    queue.push_back(Entry { path, resolved });
                } else if kind.is_file() && is_module {
                    files.push(Entry { path, resolved });
                }
            }
            Ok(())
        };
        if let Err(cause) = visit() {
            notify(Notice::Directory { path: dir.path, cause });
        }
    }
    files
}

/// Returns the metadata of a link's target, and its path if the link was resolved below another root.
fn follow(link: &Path, root: Root<'_>) -> io::Result<(Metadata, Option<PathBuf>)> {
    let resolved = root.resolve(link)?;
    Ok((fs::metadata(resolved.as_deref().unwrap_or(link))?, resolved))
}

/// Sorts modules in the order of modules.order, regardless of compression. Modules that it does not name follow, by path.
fn sort(found: &mut [Found], order: &[u8]) {
    fn plain(path: &[u8]) -> &[u8] {
        uncompressed_name(path).unwrap_or(path)
    }
    // The list can have many more lines than there are modules: only those of modules are kept.
    let mut places: HashMap<Vec<u8>, usize> =
        found.iter().map(|module| (plain(&module.listed).to_vec(), usize::MAX)).collect();
    for (number, line) in order.split(|&b| b == b'\n').enumerate() {
        // The first of two equal lines counts.
        if let Some(place @ &mut usize::MAX) = places.get_mut(plain(line)) {
            *place = number;
        }
    }
    found.sort_by_cached_key(|module| {
        (places.get(plain(&module.listed)).copied().unwrap_or(usize::MAX), module.listed.clone())
    });
}
