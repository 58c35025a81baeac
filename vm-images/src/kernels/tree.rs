//! A kernel tree after `make bzImage modules`. Nothing needs to be installed, and nothing is written into the tree: the
//! cache gets a module directory with symlinks to its modules.

use crate::cache::{Cache, CacheError, ContentId, touch};
use crate::kernels::kernel::{Kernel, KernelError};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The image.
const IMAGE: &str = "arch/x86/boot/bzImage";
/// The file that contains the release.
const RELEASE: &str = "include/config/kernel.release";
/// Files that `modules_install` copies unchanged.
const COPIED: [&str; 2] = ["modules.builtin", "modules.builtin.modinfo"];

/// A built kernel tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltTree {
    kernel: Kernel,
    dir: PathBuf,
    /// The modules: path in a module directory, and file in the tree.
    modules: Vec<(String, PathBuf)>,
    has_modules: bool,
}

/// The directory is not a usable kernel tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It is neither a kernel tree nor a build directory.
    #[error("{} is neither a kernel tree nor the build directory of one: it contains neither {IMAGE} nor Kbuild", path.display())]
    NoTree {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel is not built.
    #[error("the kernel tree {} is not built: it contains no {missing}", path.display())]
    NotBuilt {
        /// The directory.
        path: PathBuf,
        /// The missing file.
        missing: &'static str,
    },
    /// The image is older than the tree.
    #[error("the kernel image in {} is {image}, but the tree is at {tree}", path.display())]
    Stale {
        /// The directory.
        path: PathBuf,
        /// The release of the image.
        image: String,
        /// The release of the tree.
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
    /// Examines a tree or a build directory (`make O=`). Nothing is written or run.
    ///
    /// # Errors
    /// [`TreeError`] if it is not a kernel tree, or is not built.
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

    /// Replaces the name of the kernel, which is the path of the tree.
    #[must_use]
    pub fn named(mut self, name: &str) -> BuiltTree {
        name.clone_into(&mut self.kernel.name);
        self
    }

    /// Returns the kernel, with a module directory of symlinks in the cache. A tree without modules.order has no module
    /// directory.
    ///
    /// # Errors
    /// [`CacheError`] if the directory cannot be created.
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

/// Returns the path in a line of modules.order without its suffix, which is `.o` since 6.3. A path that leaves the tree is
/// ignored.
pub(crate) fn module_path(line: &str) -> Option<&str> {
    let path = line.trim().strip_suffix(".ko").or_else(|| line.trim().strip_suffix(".o"))?;
    path.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(path)
}

/// Returns the path at which a module is installed, and its file. Before 5.3, modules.order prefixes paths with `kernel`,
/// the directory of the installation; later trees have a directory of that name.
pub(crate) fn find(tree: &Path, path: &str) -> Option<(String, PathBuf)> {
    let below = [Some(path), path.strip_prefix("kernel/")];
    below.into_iter().flatten().find_map(|path| {
        let file = tree.join(format!("{path}.ko"));
        file.is_file().then(|| (format!("kernel/{path}.ko"), file))
    })
}

/// Reads a text file; `None` if it does not exist.
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
    use crate::kernels::bzimage::sample_image;

    fn put(dir: &Path, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    fn built(dir: &Path, release: &str) {
        let image = sample_image(&format!("{release} (builder) #1"), b"payload");
        put(dir, &[(IMAGE, &image), (RELEASE, format!("{release}\n").as_bytes()), (".config", b"CONFIG_A=y\n")]);
    }

    #[test]
    fn a_built_tree_has_an_image_and_a_module_directory_of_symlinks_in_the_cache() {
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
    fn a_tree_without_modules_order_has_no_module_directory() {
        let temp = tempfile::tempdir().unwrap();
        built(temp.path(), "6.1.0-x");
        let cache = Cache::open(temp.path().join("cache")).unwrap();
        assert_eq!(BuiltTree::look(temp.path()).unwrap().kernel(&cache).unwrap().modules, None);
    }

    #[test]
    fn a_directory_that_is_not_a_built_tree_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let message = || {
            let error = BuiltTree::look(temp.path()).unwrap_err();
            crate::chain(&error).replace(&temp.path().display().to_string(), "DIR")
        };
        insta::assert_snapshot!(message(), @"DIR is neither a kernel tree nor the build directory of one: it contains neither arch/x86/boot/bzImage nor Kbuild");
        put(temp.path(), &[("Kbuild", b"")]);
        insta::assert_snapshot!(message(), @"the kernel tree DIR is not built: it contains no arch/x86/boot/bzImage");
        built(temp.path(), "6.1.0-x");
        put(temp.path(), &[(RELEASE, b"6.1.0-y\n")]);
        insta::assert_snapshot!(message(), @"the kernel image in DIR is 6.1.0-x, but the tree is at 6.1.0-y");
    }
}
