//! A kernel tree as `make bzImage modules` left it: image, release and modules, where they lie. Nothing has to be installed,
//! and nothing is written into the tree: its modules get a module directory of links in the cache.

use crate::cache::{Cache, CacheError, ContentId, touch};
use crate::kernel::{Kernel, KernelError};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where a build leaves the image.
const IMAGE: &str = "arch/x86/boot/bzImage";
/// Where it leaves what `uname -r` will say.
const RELEASE: &str = "include/config/kernel.release";
/// Text files that `modules_install` copies as they are.
const COPIED: [&str; 2] = ["modules.builtin", "modules.builtin.modinfo"];

/// A kernel tree that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltTree {
    kernel: Kernel,
    dir: PathBuf,
    /// Where a module belongs in a module directory, and where it lies.
    modules: Vec<(String, PathBuf)>,
    has_modules: bool,
}

/// Why a directory is no kernel tree that can be used.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It is something else.
    #[error("{} is not a kernel tree or its build directory: it contains neither {IMAGE} nor Kbuild", path.display())]
    NoTree {
        /// The directory.
        path: PathBuf,
    },
    /// There is no image.
    #[error("the kernel tree {} is not built: it contains no {missing}", path.display())]
    NotBuilt {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// Image and modules are of two builds.
    #[error("the kernel image in {} is {image}, but the tree is at {tree}", path.display())]
    Stale {
        /// The directory.
        path: PathBuf,
        /// What the image says.
        image: String,
        /// What the tree says.
        tree: String,
    },
    /// The image.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl BuiltTree {
    /// Looks at a tree, or at the build directory of one (`make O=`). Nothing is written or run.
    ///
    /// # Errors
    /// [`TreeError`] if it is none, or is not built.
    pub fn look(dir: &Path) -> Result<BuiltTree, TreeError> {
        let image = dir.join(IMAGE);
        if !image.is_file() {
            let path = dir.to_owned();
            let is_tree = dir.join("Kbuild").is_file() || dir.join(".config").is_file();
            return Err(if is_tree {
                TreeError::NotBuilt { path, missing: IMAGE }
            } else {
                TreeError::NoTree { path }
            });
        }
        let mut kernel = Kernel::from_image(&image, None)?;
        let Some(release) = read(&dir.join(RELEASE))? else {
            return Err(TreeError::NotBuilt { path: dir.to_owned(), missing: RELEASE });
        };
        let (image, tree) = (kernel.release.to_string(), release.trim().to_owned());
        if image != tree {
            return Err(TreeError::Stale { path: dir.to_owned(), image, tree });
        }
        kernel.name = dir.display().to_string();
        let dir = dir.canonicalize().map_err(KernelError::read(dir))?;
        let order = read(&dir.join("modules.order"))?;
        let named: Vec<&str> = order.iter().flat_map(|order| order.lines()).filter_map(module_path).collect();
        let modules: Vec<(String, PathBuf)> = named.iter().filter_map(|path| find(&dir, path)).collect();
        if modules.len() < named.len() {
            let lost = named.len() - modules.len();
            let note = format!("{lost} of {} modules in modules.order are not built: run `make modules`", named.len());
            kernel.notes.push(note);
        }
        Ok(BuiltTree { kernel, dir, has_modules: order.is_some(), modules })
    }

    /// The kernel, with a module directory in the cache that leads into the tree. A tree without modules.order has none.
    ///
    /// # Errors
    /// [`CacheError`] if the directory cannot be made.
    pub fn kernel(mut self, cache: &Cache) -> Result<Kernel, CacheError> {
        if !self.has_modules {
            return Ok(self.kernel);
        }
        let release = self.kernel.release.as_str();
        let mut texts =
            vec![("modules.order", self.modules.iter().fold(String::new(), |text, (name, _)| text + name + "\n"))];
        for name in COPIED {
            let path = self.dir.join(name);
            texts.extend(fs::read_to_string(&path).ok().map(|text| (name, text)));
        }
        let mut key = ContentId::new().with(self.dir.as_os_str().as_encoded_bytes()).with(release);
        for (name, text) in &texts {
            key = key.with(name).with(text);
        }
        let target = cache.area("trees")?.join(key.finish());
        let inside = Path::new("lib/modules").join(release);
        if !target.is_dir() {
            let new = cache.new_dir()?;
            let dir = new.path().join(&inside);
            fs::create_dir_all(&dir).map_err(CacheError::new("create", &dir))?;
            for (name, text) in &texts {
                fs::write(dir.join(name), text).map_err(CacheError::new("write", dir.join(name)))?;
            }
            for (name, path) in &self.modules {
                let link = dir.join(name);
                let parent = link.parent().unwrap_or(&dir);
                fs::create_dir_all(parent).map_err(CacheError::new("create", parent))?;
                symlink(path, &link).map_err(CacheError::new("create", &link))?;
            }
            cache.publish(new, &target)?;
        }
        touch(&target);
        self.kernel.modules = Some(target.join(inside));
        Ok(self.kernel)
    }
}

/// What a line of modules.order names, without its suffix: since 6.3 objects stand there. A line that leads out of the
/// tree is none.
pub(crate) fn module_path(line: &str) -> Option<&str> {
    let path = line.trim().strip_suffix(".ko").or_else(|| line.trim().strip_suffix(".o"))?;
    path.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(path)
}

/// Where a module is installed, and where it lies. Trees before 5.3 name modules with the directory `kernel` that they
/// will be installed in; later ones have a directory of this name.
pub(crate) fn find(tree: &Path, path: &str) -> Option<(String, PathBuf)> {
    let below = [Some(path), path.strip_prefix("kernel/")];
    below.into_iter().flatten().find_map(|path| {
        let file = tree.join(format!("{path}.ko"));
        file.is_file().then(|| (format!("kernel/{path}.ko"), file))
    })
}

/// A text file's contents; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>, KernelError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KernelError::read(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bzimage::made;

    fn put(dir: &Path, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    fn built(dir: &Path, release: &str) {
        let image = made(&format!("{release} (builder) #1"), b"payload");
        put(dir, &[(IMAGE, &image), (RELEASE, format!("{release}\n").as_bytes()), (".config", b"CONFIG_A=y\n")]);
    }

    #[test]
    fn a_tree_gives_its_image_and_a_module_directory_of_links_outside_itself() {
        let (temp, cache_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        built(temp.path(), "6.1.0-x");
        let order = b"fs/nls/a.ko\nkernel/trace/b.o\nkernel/lib/old.ko\n../out.ko\nlib/gone.ko\n";
        put(temp.path(), &[("modules.order", order), ("modules.builtin", b"kernel/c.ko\n")]);
        put(temp.path(), &[("fs/nls/a.ko", b"a"), ("kernel/trace/b.ko", b"b"), ("lib/old.ko", b"o")]);
        let cache = Cache::open(cache_dir.path()).unwrap();
        let kernel = BuiltTree::look(temp.path()).unwrap().kernel(&cache).unwrap();
        assert_eq!(kernel.release.as_str(), "6.1.0-x");
        assert_eq!(kernel.config, Some(temp.path().canonicalize().unwrap().join(".config")));
        assert_eq!(kernel.notes, ["1 of 4 modules in modules.order are not built: run `make modules`"]);
        let modules = kernel.modules.unwrap();
        assert!(
            modules.ends_with("lib/modules/6.1.0-x") && modules.starts_with(cache_dir.path().canonicalize().unwrap())
        );
        let read = |name| fs::read_to_string(modules.join(name)).unwrap();
        assert_eq!(read("modules.order"), "kernel/fs/nls/a.ko\nkernel/kernel/trace/b.ko\nkernel/lib/old.ko\n");
        assert_eq!((read("kernel/fs/nls/a.ko"), read("kernel/kernel/trace/b.ko")), ("a".to_owned(), "b".to_owned()));
        assert_eq!(read("modules.builtin"), "kernel/c.ko\n");
    }

    #[test]
    fn a_tree_without_modules_has_none() {
        let temp = tempfile::tempdir().unwrap();
        built(temp.path(), "6.1.0-x");
        let cache = Cache::open(temp.path().join("cache")).unwrap();
        assert_eq!(BuiltTree::look(temp.path()).unwrap().kernel(&cache).unwrap().modules, None);
    }

    #[test]
    fn a_directory_that_is_not_a_built_tree_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let error = || BuiltTree::look(temp.path()).unwrap_err();
        assert!(matches!(error(), TreeError::NoTree { .. }), "{}", error());
        put(temp.path(), &[("Kbuild", b"")]);
        assert!(matches!(error(), TreeError::NotBuilt { missing: IMAGE, .. }), "{}", error());
        built(temp.path(), "6.1.0-x");
        put(temp.path(), &[(RELEASE, b"6.1.0-y\n")]);
        assert!(error().to_string().contains("is 6.1.0-x, but the tree is at 6.1.0-y"), "{}", error());
    }
}
