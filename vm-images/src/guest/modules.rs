//! The guest's module directory: selected modules, their dependencies, and an index created by our depmod.
//!
//! The kernel's own module directory is only read. Its complete index, which contains the dependencies, and the selected
//! tree are in the cache.

use crate::cache::{Cache, CacheError, ContentId, paths_in, read_json, touch, write_json};
use crate::kernels::kernel::Kernel;
use kmod::depmod::{self, DepmodError};
use kmod::name::{ModuleName, NameError};
use kmod::tree::{Tree, TreeError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Increment when depmod computes other dependencies, or other files are copied here.
const FORMAT: &str = "2";

/// The name of a complete index in its directory of the cache.
const INDEX: &str = "index";

/// Files of a module directory that are neither modules nor written by depmod.
const KEPT: [&str; 3] = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];

/// A module directory in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleTree {
    /// `…/lib/modules/RELEASE` with its index. Belongs to the cache and is never written to.
    pub dir: PathBuf,
    /// Hash of all files, for cache keys.
    pub id: String,
    /// All modules in it, sorted.
    pub modules: Vec<String>,
    /// The selected modules that are built into the kernel, sorted.
    pub builtin: Vec<String>,
    /// The selected modules that the kernel does not have, sorted.
    pub missing: Vec<String>,
}

/// The module directory could not be created.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The kernel has no module directory.
    #[error("the kernel {kernel} has no module directory")]
    NoModules {
        /// The name of the kernel.
        kernel: String,
    },
    /// The name cannot be a module name.
    #[error("invalid module name '{name}'")]
    Name {
        /// The name.
        name: String,
        /// The reason.
        source: NameError,
    },
    /// depmod failed.
    #[error("cannot index {}", dir.display())]
    Index {
        /// The module directory.
        dir: PathBuf,
        /// The reason.
        source: Box<DepmodError>,
    },
    /// The index created by depmod cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file of the cache or a module file.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The result of a selection, stored for the next run.
#[derive(Debug, Serialize, Deserialize)]
struct Selection {
    id: String,
    modules: Vec<String>,
    builtin: Vec<String>,
    missing: Vec<String>,
}

/// Creates, or finds in the cache, a module directory with the named modules and their dependencies. Modules that the
/// kernel does not have are listed in the result; they are not an error.
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
    if let Some(known) = read_json::<Selection>(&pointer).filter(|known| place(&known.id).is_dir()) {
        touch(&area.join(&known.id));
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
    let new = cache.new_dir()?;
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
    write_json(&pointer, &selection)?;
    Ok(tree(selection))
}

fn text(name: &ModuleName) -> String {
    String::from_utf8_lossy(name.as_bytes()).into_owned()
}

/// Returns the complete index of a module directory, in the cache.
fn full_index(source: &Path, fingerprint: &str, cache: &Cache) -> Result<PathBuf, SelectError> {
    let target = cache.area("indexes")?.join(format!("{FORMAT}-{fingerprint}"));
    if !target.is_dir() {
        let new = cache.new_dir()?;
        // Not in the new directory itself: we hold its lock, and depmod would wait for it.
        let inside = new.path().join(INDEX);
        run_depmod(source, Some(&inside))?;
        // Tree expects these beside the index.
        for name in KEPT {
            copy(&source.join(name), &inside.join(name))?;
        }
        cache.publish(new, &target)?;
    }
    touch(&target);
    Ok(target.join(INDEX))
}

fn run_depmod(dir: &Path, out: Option<&Path>) -> Result<(), SelectError> {
    let mut options = depmod::Options::new(dir);
    options.out = out.map(Path::to_owned);
    let source = |source| SelectError::Index { dir: dir.to_owned(), source: Box::new(source) };
    depmod::run(&options).map(|_| ()).map_err(source)
}

/// Copies a file if it exists.
fn copy(from: &Path, to: &Path) -> Result<(), CacheError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(CacheError::new("create", parent))?;
    }
    match fs::read(from) {
        // Not fs::copy: permissions and times of a user's tree do not matter.
        Ok(bytes) => fs::write(to, bytes).map_err(CacheError::new("write", to)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CacheError::new("read", from)(error)),
    }
}

/// Returns all regular files below a directory, sorted, and symlinks to files, such as those into a kernel tree. Symlinks
/// to directories are not followed: `build` and `source` point outside.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).map_err(CacheError::new("read", &dir))? {
            let entry = entry.map_err(CacheError::new("read", &dir))?;
            let kind = entry.file_type().map_err(CacheError::new("read", entry.path()))?;
            let leads_to_file = || kind.is_symlink() && entry.path().is_file();
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() || leads_to_file() {
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

/// Hashes all files below a directory: names and bytes.
fn contents(dir: &Path) -> Result<String, CacheError> {
    let mut id = ContentId::new();
    for path in files_below(dir)? {
        id.add(path.strip_prefix(dir).unwrap_or(&path).as_os_str().as_encoded_bytes());
        id.add(fs::read(&path).map_err(CacheError::new("read", &path))?);
    }
    Ok(id.finish())
}

/// Returns the hash of a selection in the cache, which should be its name.
pub(crate) fn contents_below(dir: &Path) -> Option<String> {
    let release = paths_in(&dir.join("lib/modules")).into_iter().next()?;
    contents(&release).ok()
}

/// Identifies this program: another build of it may contain another depmod, whose index may differ.
fn program_stamp() -> String {
    let meta = fs::metadata("/proc/self/exe");
    meta.map(|meta| format!("{}-{}-{}", meta.len(), meta.mtime(), meta.mtime_nsec())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::release::KernelRelease;

    /// Builds a minimal module: an ELF header, `.modinfo`, section names.
    fn module(name: &str) -> Vec<u8> {
        let modinfo = format!("name={name}\0license=GPL\0alias=lab-{name}\0");
        let names = b"\0.modinfo\0.shstrtab\0";
        let (modinfo_at, names_at) = (64, 64 + modinfo.len());
        let sections_at = (names_at + names.len()).next_multiple_of(8);
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0\x01\0\0\0".to_vec();
        for word in [0, 0, sections_at as u64] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(&[0; 4]);
        for half in [64_u16, 0, 0, 64, 3, 2] {
            file.extend_from_slice(&half.to_le_bytes());
        }
        file.extend_from_slice(modinfo.as_bytes());
        file.extend_from_slice(names);
        file.resize(sections_at + 64, 0);
        for (name, kind, at, size) in [(1_u32, 1_u32, modinfo_at, modinfo.len()), (10, 3, names_at, names.len())] {
            for word in [name, kind] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            for word in [2, 0, at as u64, size as u64, 0, 1, 0] {
                file.extend_from_slice(&word.to_le_bytes());
            }
        }
        file
    }

    fn kernel(modules: Option<PathBuf>) -> Kernel {
        Kernel {
            name: "sample".to_owned(),
            release: KernelRelease::new("6.1.0-sample").unwrap(),
            image: PathBuf::from("/nowhere"),
            modules,
            config: None,
            id: "id".to_owned(),
            package: None,
            notes: Vec::new(),
            live_patch: None,
        }
    }

    struct Fixture {
        temp: tempfile::TempDir,
        cache: Cache,
    }

    impl Fixture {
        fn new() -> Fixture {
            let temp = tempfile::tempdir().unwrap();
            let cache = Cache::open(temp.path().join("cache")).unwrap();
            let lab = Fixture { temp, cache };
            for name in ["one", "two", "three"] {
                lab.put(&format!("kernel/{name}.ko"), &module(name));
            }
            lab.put("modules.builtin", b"kernel/fs/inside.ko\n");
            lab.put("modules.order", b"kernel/two.ko\nkernel/one.ko\nkernel/three.ko\n");
            lab
        }

        fn dir(&self) -> PathBuf {
            self.temp.path().join("own/lib/modules/6.1.0-sample")
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            let path = self.dir().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        fn select(&self, names: &[&str]) -> ModuleTree {
            select(&kernel(Some(self.dir())), names, &self.cache).unwrap()
        }
    }

    #[test]
    fn the_selection_contains_the_named_modules_and_reports_the_others() {
        let lab = Fixture::new();
        let tree = lab.select(&["one", "two", "inside", "gone"]);
        assert_eq!(tree.modules, ["one", "two"]);
        assert_eq!(tree.builtin, ["inside"]);
        assert_eq!(tree.missing, ["gone"]);
        assert!(tree.dir.ends_with("lib/modules/6.1.0-sample"));
        let made = Tree::new(&tree.dir);
        let one = made.module(&ModuleName::new(b"one").unwrap()).unwrap().unwrap();
        assert_eq!(one.path, tree.dir.join("kernel/one.ko"));
        assert_eq!(made.aliases(b"lab_two").unwrap().len(), 1);
        assert!(made.aliases(b"lab_three").unwrap().is_empty());
        assert!(tree.dir.join("modules.dep.bin").exists() && tree.dir.join("modules.builtin.bin").exists());
    }

    #[test]
    fn the_kernels_own_directory_is_not_changed() {
        let lab = Fixture::new();
        let before = files_below(&lab.dir()).unwrap();
        lab.select(&["one"]);
        assert_eq!(files_below(&lab.dir()).unwrap(), before);
    }

    #[test]
    fn the_id_depends_on_the_selected_modules_only() {
        let lab = Fixture::new();
        let first = lab.select(&["one", "two"]);
        assert_eq!(lab.select(&["two", "one", "one"]), first);
        assert_ne!(lab.select(&["one"]).id, first.id);
        lab.put("kernel/three.ko", b"not even a module");
        assert_eq!(lab.select(&["one", "two"]).id, first.id);
        lab.put("kernel/two.ko", &module("two-changed"));
        assert_ne!(lab.select(&["one", "two"]).id, first.id);
    }

    #[test]
    fn a_kernel_without_modules_and_an_invalid_name_are_errors() {
        let lab = Fixture::new();
        assert!(matches!(select(&kernel(None), &["one"], &lab.cache), Err(SelectError::NoModules { .. })));
        assert!(matches!(select(&kernel(Some(lab.dir())), &[""], &lab.cache), Err(SelectError::Name { .. })));
    }
}
