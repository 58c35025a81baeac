//! The lab's module directory: the modules that are named, their dependencies, and an index made by our depmod.
//!
//! A kernel's own module directory is only read. Its whole index, which tells the dependencies, and the selected tree
//! both lie in the cache.

use crate::cache::{Cache, CacheError, ContentId};
use crate::kernel::Kernel;
use crate::obtain;
use kmod::depmod::{self, DepmodError};
use kmod::name::{ModuleName, NameError};
use kmod::tree::{Tree, TreeError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bump when what depmod says of dependencies changes, or what is copied here.
const FORMAT: &str = "1";

/// What a module directory has besides modules, and depmod does not make.
const KEPT: [&str; 3] = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];

/// A module directory in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleTree {
    /// `…/lib/modules/RELEASE`, complete with its index. Belongs to the cache: never written into.
    pub dir: PathBuf,
    /// Hash of all files, for cache keys.
    pub id: String,
    /// Every module in it, sorted.
    pub modules: Vec<String>,
    /// The named modules that are built into this kernel, sorted.
    pub builtin: Vec<String>,
    /// The named modules that this kernel does not have, sorted.
    pub missing: Vec<String>,
}

/// Why a module directory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The kernel came without modules.
    #[error("the kernel {kernel} has no module directory: name one with --modules")]
    NoModules {
        /// Its name.
        kernel: String,
    },
    /// A name that no module can have.
    #[error("{name:?} is no module name: {source}")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong.
        source: NameError,
    },
    /// depmod.
    #[error("cannot index {}: {source}", dir.display())]
    Index {
        /// The module directory.
        dir: PathBuf,
        /// Why not.
        source: Box<DepmodError>,
    },
    /// The index that depmod made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The cache, or a module file.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// What a selection came to, kept so that the next run need not make it again.
#[derive(Debug, Serialize, Deserialize)]
struct Selection {
    id: String,
    modules: Vec<String>,
    builtin: Vec<String>,
    missing: Vec<String>,
}

/// Makes (or finds in the cache) a module directory with the named modules and all that they depend on. Names that the
/// kernel does not have are reported in the result, they are no error.
pub fn select(kernel: &Kernel, names: &[&str], cache: &Cache) -> Result<ModuleTree, SelectError> {
    let Some(source) = &kernel.modules else {
        return Err(SelectError::NoModules { kernel: kernel.name.clone() });
    };
    let files = files_below(source)?;
    let fingerprint = fingerprint(source, &files)?;
    let mut wanted = BTreeSet::new();
    for name in names {
        let wrong = |source| SelectError::Name { name: (*name).to_owned(), source };
        wanted.insert(ModuleName::new(name.as_bytes()).map_err(wrong)?);
    }
    let mut key = ContentId::new().with(FORMAT).with(&fingerprint).with(kernel.release.as_str()).with(program_stamp());
    wanted.iter().for_each(|name| key.add(name.as_bytes()));
    let area = cache.area("modules")?;
    let pointer = area.join(format!("{}.json", key.finish()));
    let place = |id: &str| area.join(id).join("lib/modules").join(kernel.release.as_str());
    let tree = |selection: Selection| ModuleTree {
        dir: place(&selection.id),
        id: selection.id,
        modules: selection.modules,
        builtin: selection.builtin,
        missing: selection.missing,
    };
    if let Some(known) = obtain::read_json::<Selection>(&pointer).filter(|known| place(&known.id).is_dir()) {
        return Ok(tree(known));
    }

    let index = full_index(source, &fingerprint, cache)?;
    let all = Tree::new(&index);
    let mut selection = Selection { id: String::new(), modules: Vec::new(), builtin: Vec::new(), missing: Vec::new() };
    let mut chosen: BTreeSet<PathBuf> = BTreeSet::new();
    for name in &wanted {
        match all.module(name)? {
            Some(entry) => {
                let paths = std::iter::once(entry.path).chain(entry.deps);
                chosen.extend(paths.map(|path| path.strip_prefix(&index).map(Path::to_owned).unwrap_or(path)));
            }
            None if all.is_builtin(name)? => selection.builtin.push(text(name)),
            None => selection.missing.push(text(name)),
        }
    }
    let new = cache.temp_dir()?;
    let dir = new.path().join("lib/modules").join(kernel.release.as_str());
    fs::create_dir_all(&dir).map_err(CacheError::new("create", &dir))?;
    for path in chosen.iter().map(PathBuf::as_path).chain(KEPT.iter().map(Path::new)) {
        copy(&source.join(path), &dir.join(path))?;
    }
    run_depmod(&dir, None)?;
    let made = Tree::new(&dir);
    selection.modules = made.modules()?.iter().map(|entry| text(&entry.name)).collect();
    selection.modules.sort();
    selection.id = contents(&dir)?;
    cache.publish(new, &area.join(&selection.id))?;
    obtain::write_json(&pointer, &selection)?;
    Ok(tree(selection))
}

fn text(name: &ModuleName) -> String {
    String::from_utf8_lossy(name.as_bytes()).into_owned()
}

/// The index of a whole module directory, in the cache.
fn full_index(source: &Path, fingerprint: &str, cache: &Cache) -> Result<PathBuf, SelectError> {
    let target = cache.area("indexes")?.join(format!("{FORMAT}-{fingerprint}"));
    if !target.is_dir() {
        let new = cache.temp_dir()?;
        run_depmod(source, Some(new.path()))?;
        // Tree looks for these beside the index.
        for name in KEPT {
            copy(&source.join(name), &new.path().join(name))?;
        }
        cache.publish(new, &target)?;
    }
    Ok(target)
}

fn run_depmod(dir: &Path, out: Option<&Path>) -> Result<(), SelectError> {
    let mut options = depmod::Options::new(dir);
    options.out = out.map(Path::to_owned);
    let source = |source| SelectError::Index { dir: dir.to_owned(), source: Box::new(source) };
    depmod::run(&options).map(|_| ()).map_err(source)
}

/// Copies a file; one that is missing is left out.
fn copy(from: &Path, to: &Path) -> Result<(), CacheError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(CacheError::new("create", parent))?;
    }
    match fs::read(from) {
        // Not fs::copy: permissions and times of a user's tree are no part of the lab.
        Ok(bytes) => fs::write(to, bytes).map_err(CacheError::new("write", to)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CacheError::new("read", from)(error)),
    }
}

/// All regular files below a directory, sorted. Links are not followed: `build` and `source` lead out of it.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).map_err(CacheError::new("read", &dir))? {
            let entry = entry.map_err(CacheError::new("read", &dir))?;
            let kind = entry.file_type().map_err(CacheError::new("read", entry.path()))?;
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Changes whenever a file of the directory does, as far as make would see it.
fn fingerprint(dir: &Path, files: &[PathBuf]) -> Result<String, CacheError> {
    let mut id = ContentId::new();
    for path in files {
        let meta = fs::metadata(path).map_err(CacheError::new("read", path))?;
        id.add(path.strip_prefix(dir).unwrap_or(path).as_os_str().as_encoded_bytes());
        for number in [meta.len() as i64, meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()] {
            id.add(number.to_le_bytes());
        }
    }
    Ok(id.finish())
}

/// Hash of all files below a directory: names and bytes.
fn contents(dir: &Path) -> Result<String, CacheError> {
    let mut id = ContentId::new();
    for path in files_below(dir)? {
        id.add(path.strip_prefix(dir).unwrap_or(&path).as_os_str().as_encoded_bytes());
        id.add(fs::read(&path).map_err(CacheError::new("read", &path))?);
    }
    Ok(id.finish())
}

/// Another program may have another depmod in it, whose index must be seen.
fn program_stamp() -> String {
    let meta = fs::metadata("/proc/self/exe");
    meta.map(|meta| format!("{}-{}-{}", meta.len(), meta.mtime(), meta.mtime_nsec())).unwrap_or_default()
}
