//! A bootable kernel: its image, release and modules. For its strings and configuration see `facts`.

use super::bzimage::{Header, HeaderError};
use super::live_patch::LivePatch;
use super::release::KernelRelease;
use crate::cache::{CacheError, sha256};
use crate::packages::record::PackageVersion;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A bootable kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// The name given by the user: a name of the catalogue, or a path.
    pub name: String,
    /// The release.
    pub release: KernelRelease,
    /// The bzImage.
    pub image: PathBuf,
    /// The modules: `…/lib/modules/RELEASE`. Belongs to the cache or to the user, and is never written to.
    pub modules: Option<PathBuf>,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// SHA-256 of the image, for cache keys. For the modules see [`crate::guest::modules::ModuleTree::id`].
    pub id: String,
    /// The package it came from, if any.
    pub package: Option<PackageVersion>,
    /// Notes for the user, such as a version that differs from the locked one.
    pub notes: Vec<String>,
    /// The live patch that a guest inserts at the end of its boot.
    #[serde(default)]
    pub live_patch: Option<LivePatch>,
}

/// The image or the module directory is not usable.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A file or directory cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The image is not a kernel.
    #[error("{} is not a bootable kernel", path.display())]
    NotAKernel {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: HeaderError,
    },
    /// The directory is not a module directory.
    #[error("{} is not a module directory: it contains no modules.order, modules.dep, kernel/ or {release}/", path.display())]
    NoModules {
        /// The directory.
        path: PathBuf,
        /// The image's release.
        release: KernelRelease,
    },
    /// The modules are for another kernel.
    #[error("the modules in {} are for {found}, but the kernel {} is {release}", path.display(), image.display())]
    OtherRelease {
        /// The module directory.
        path: PathBuf,
        /// The release of the modules.
        found: String,
        /// The image.
        image: PathBuf,
        /// The release of the image.
        release: KernelRelease,
    },
    /// The compressed kernel cannot be decompressed.
    #[error("cannot decompress the kernel in {}: {reason}", path.display())]
    Payload {
        /// The image.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl KernelError {
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> KernelError {
        let path = path.into();
        move |source| KernelError::Read { path, source }
    }
}

impl Kernel {
    /// Examines a kernel image of the user. `modules` may be `…/lib/modules/RELEASE`, or a directory that contains
    /// `RELEASE` or `lib/modules/RELEASE`. Only the image's header is read; nothing is written or run.
    pub fn from_image(image: &Path, modules: Option<&Path>) -> Result<Kernel, KernelError> {
        let bytes = fs::read(image).map_err(KernelError::read(image))?;
        let header =
            Header::parse(&bytes).map_err(|source| KernelError::NotAKernel { path: image.to_owned(), source })?;
        let modules = modules.map(|dir| module_dir(dir, image, &header.release)).transpose()?;
        Ok(Kernel {
            name: image.display().to_string(),
            release: header.release.clone(),
            config: config_of(image, modules.as_deref(), &header.release),
            image: image.canonicalize().map_err(KernelError::read(image))?,
            modules,
            id: sha256(&bytes),
            package: None,
            notes: Vec::new(),
            live_patch: None,
        })
    }
}

/// Finds the configuration that distributions and build trees keep near an image.
fn config_of(image: &Path, modules: Option<&Path>, release: &KernelRelease) -> Option<PathBuf> {
    let dir = image.parent()?;
    let beside = dir.join(format!("config-{release}"));
    let tree = dir.ends_with("arch/x86/boot").then(|| dir.join("../../../.config"));
    let candidates = [Some(beside), modules.map(|dir| dir.join("config")), tree];
    candidates.into_iter().flatten().find_map(|path| path.canonicalize().ok().filter(|path| path.is_file()))
}

/// Finds the module directory of `release` in the directory given by the user.
fn module_dir(dir: &Path, image: &Path, release: &KernelRelease) -> Result<PathBuf, KernelError> {
    let named = dir.canonicalize().map_err(KernelError::read(dir))?;
    let below = [named.join(release.as_str()), named.join("lib/modules").join(release.as_str())];
    if let Some(found) = below.iter().find(|dir| is_module_dir(dir)) {
        return Ok(found.clone());
    }
    if !is_module_dir(&named) {
        return Err(KernelError::NoModules { path: named, release: release.clone() });
    }
    let found = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if found != release.as_str() {
        return Err(KernelError::OtherRelease {
            path: named,
            found,
            image: image.to_owned(),
            release: release.clone(),
        });
    }
    Ok(named)
}

fn is_module_dir(dir: &Path) -> bool {
    ["modules.order", "modules.dep", "kernel"].iter().any(|name| dir.join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::bzimage::sample_image;

    fn image_in(dir: &Path, release: &str) -> PathBuf {
        let path = dir.join("bzImage");
        fs::write(&path, sample_image(&format!("{release} (builder) #1"), b"payload")).unwrap();
        path
    }

    fn modules_in(dir: &Path) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("modules.order"), "").unwrap();
        dir.canonicalize().unwrap()
    }

    #[test]
    fn modules_are_found_in_a_root_in_lib_modules_and_in_the_module_directory() {
        let temp = tempfile::tempdir().unwrap();
        let image = image_in(temp.path(), "6.1.0-x");
        let modules = modules_in(&temp.path().join("root/lib/modules/6.1.0-x"));
        for named in ["root", "root/lib/modules", "root/lib/modules/6.1.0-x"] {
            let kernel = Kernel::from_image(&image, Some(&temp.path().join(named))).unwrap();
            assert_eq!(kernel.modules.as_ref(), Some(&modules), "{named}");
            assert_eq!(kernel.release.as_str(), "6.1.0-x");
        }
    }

    #[test]
    fn modules_of_another_release_are_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let image = image_in(temp.path(), "6.1.0-x");
        let modules = modules_in(&temp.path().join("lib/modules/6.1.0-y"));
        let error = Kernel::from_image(&image, Some(&modules)).unwrap_err().to_string();
        let (dir, image) = (modules.display(), image.display());
        assert_eq!(error, format!("the modules in {dir} are for 6.1.0-y, but the kernel {image} is 6.1.0-x"));
    }

    #[test]
    fn an_unusable_image_or_module_directory_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let image = image_in(temp.path(), "6.1.0-x");
        let text = temp.path().join("text");
        fs::write(&text, "text").unwrap();
        let dir = temp.path().display().to_string();
        let message = |image: &Path, modules: Option<&Path>| {
            crate::chain(&Kernel::from_image(image, modules).unwrap_err()).replace(&dir, "DIR")
        };
        insta::assert_snapshot!(message(&text, None), @"DIR/text is not a bootable kernel: no x86 boot header (not a bzImage?)");
        insta::assert_snapshot!(message(&image, Some(&text)), @"DIR/text is not a module directory: it contains no modules.order, modules.dep, kernel/ or 6.1.0-x/");
        insta::assert_snapshot!(message(temp.path(), None), @"cannot read DIR: Is a directory");
        assert!(matches!(Kernel::from_image(&temp.path().join("gone"), None), Err(KernelError::Read { .. })));
        assert!(matches!(Kernel::from_image(temp.path(), None), Err(KernelError::Read { .. })));
        assert!(matches!(Kernel::from_image(&image, Some(temp.path())), Err(KernelError::NoModules { .. })));
        assert!(matches!(Kernel::from_image(&image, Some(&text)), Err(KernelError::NoModules { .. })));
        assert!(matches!(Kernel::from_image(&image, Some(&temp.path().join("gone"))), Err(KernelError::Read { .. })));
    }
}
