//! The lab's module directory: the modules that are named, their dependencies, and an index made by our depmod.
//!
//! A kernel's own module directory is only read. Its whole index, which tells the dependencies, and the selected tree
//! both lie in the cache.

use crate::cache::{Cache, CacheError, ContentId, touch};
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
const FORMAT: &str = "2";

/// Where a whole index lies in its directory of the cache.
const INDEX: &str = "index";

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
    #[error("the kernel {kernel} has no module directory")]
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
        let new = cache.new_dir()?;
        // Not in the new directory itself: its lock is ours, and depmod would wait for it.
        let inside = new.path().join(INDEX);
        run_depmod(source, Some(&inside))?;
        // Tree looks for these beside the index.
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

/// All regular files below a directory, sorted, and links to such: a kernel tree's modules. Links to directories are not
/// followed: `build` and `source` lead out of it.
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

/// Hash of all files below a directory: names and bytes.
fn contents(dir: &Path) -> Result<String, CacheError> {
    let mut id = ContentId::new();
    for path in files_below(dir)? {
        id.add(path.strip_prefix(dir).unwrap_or(&path).as_os_str().as_encoded_bytes());
        id.add(fs::read(&path).map_err(CacheError::new("read", &path))?);
    }
    Ok(id.finish())
}

/// The hash of a selection in the cache, which is its name.
pub(crate) fn contents_below(dir: &Path) -> Option<String> {
    let release = obtain::entries(&dir.join("lib/modules")).into_iter().next()?;
    contents(&release).ok()
}

/// Another program may have another depmod in it, whose index must be seen.
fn program_stamp() -> String {
    let meta = fs::metadata("/proc/self/exe");
    meta.map(|meta| format!("{}-{}-{}", meta.len(), meta.mtime(), meta.mtime_nsec())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelRelease;

    /// The smallest module file: an ELF header, `.modinfo`, the sections' names.
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
            name: "made".to_owned(),
            release: KernelRelease::new("6.1.0-made").unwrap(),
            image: PathBuf::from("/nowhere"),
            modules,
            config: None,
            id: "id".to_owned(),
            package: None,
            notes: Vec::new(),
        }
    }

    struct Lab {
        temp: tempfile::TempDir,
        cache: Cache,
    }

    impl Lab {
        fn new() -> Lab {
            let temp = tempfile::tempdir().unwrap();
            let cache = Cache::open(temp.path().join("cache")).unwrap();
            let lab = Lab { temp, cache };
            for name in ["one", "two", "three"] {
                lab.put(&format!("kernel/{name}.ko"), &module(name));
            }
            lab.put("modules.builtin", b"kernel/fs/inside.ko\n");
            lab.put("modules.order", b"kernel/two.ko\nkernel/one.ko\nkernel/three.ko\n");
            lab
        }

        fn dir(&self) -> PathBuf {
            self.temp.path().join("own/lib/modules/6.1.0-made")
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
    fn the_named_modules_are_there_with_an_index_and_the_rest_is_told() {
        let lab = Lab::new();
        let tree = lab.select(&["one", "two", "inside", "gone"]);
        assert_eq!(tree.modules, ["one", "two"]);
        assert_eq!(tree.builtin, ["inside"]);
        assert_eq!(tree.missing, ["gone"]);
        assert!(tree.dir.ends_with("lib/modules/6.1.0-made"));
        let made = Tree::new(&tree.dir);
        let one = made.module(&ModuleName::new(b"one").unwrap()).unwrap().unwrap();
        assert_eq!(one.path, tree.dir.join("kernel/one.ko"));
        assert_eq!(made.aliases(b"lab_two").unwrap().len(), 1);
        assert!(made.aliases(b"lab_three").unwrap().is_empty());
        assert!(tree.dir.join("modules.dep.bin").exists() && tree.dir.join("modules.builtin.bin").exists());
    }

    #[test]
    fn nothing_is_written_into_the_kernels_own_directory() {
        let lab = Lab::new();
        let before = files_below(&lab.dir()).unwrap();
        lab.select(&["one"]);
        assert_eq!(files_below(&lab.dir()).unwrap(), before);
    }

    #[test]
    fn the_same_selection_is_the_same_tree_and_a_changed_module_another() {
        let lab = Lab::new();
        let first = lab.select(&["one", "two"]);
        assert_eq!(lab.select(&["two", "one", "one"]), first);
        assert_ne!(lab.select(&["one"]).id, first.id);
        lab.put("kernel/three.ko", b"not even a module");
        assert_eq!(lab.select(&["one", "two"]).id, first.id);
        lab.put("kernel/two.ko", &module("two-changed"));
        assert_ne!(lab.select(&["one", "two"]).id, first.id);
    }

    #[test]
    fn a_kernel_without_modules_and_a_name_that_is_none_are_errors() {
        let lab = Lab::new();
        assert!(matches!(select(&kernel(None), &["one"], &lab.cache), Err(SelectError::NoModules { .. })));
        assert!(matches!(select(&kernel(Some(lab.dir())), &[""], &lab.cache), Err(SelectError::Name { .. })));
    }
}
