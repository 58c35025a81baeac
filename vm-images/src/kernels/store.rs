//! Kernels in the cache: the records of those fetched and built.

use super::bzimage::Header;
use super::fragments::{merge, merged};
use super::kernel::{Kernel, KernelError};
use super::release::KernelRelease;
use crate::cache::{CacheError, ContentId, paths_in, read_json, sha256, touch, write_json};
use crate::catalogue::KernelEntry;
use crate::options::Options;
use crate::packages::record::{PackageVersion, Pointer};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// A kernel cannot be put into the cache.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The packages do not contain a complete kernel.
    #[error("the package {package} {version} does not contain {what}")]
    Incomplete {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// The missing part.
        what: String,
    },
    /// The image is not a kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The record of a kernel in its directory.
const META: &str = "kernel.json";
/// The directory with the unpacked packages or the built files, beside the record.
pub(crate) const ROOT: &str = "root";

/// A kernel in the cache, with paths relative to its directory.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    release: KernelRelease,
    image: PathBuf,
    modules: Option<PathBuf>,
    config: Option<PathBuf>,
    id: String,
    package: PackageVersion,
}

impl Stored {
    /// Finds the kernel in an unpacked directory.
    fn examine(dir: &Path, package: &PackageVersion) -> Result<Stored, StoreError> {
        let incomplete = |what: String| StoreError::Incomplete {
            package: package.package.clone(),
            version: package.version.clone(),
            what,
        };
        let root = dir.join(ROOT);
        let image = ["boot", "usr/lib/linux"]
            .iter()
            .flat_map(|place| paths_in(&root.join(place)))
            .chain(
                ["lib/modules", "usr/lib/modules"]
                    .iter()
                    .flat_map(|place| paths_in(&root.join(place)).into_iter().map(|release| release.join("vmlinuz"))),
            )
            .find(|path| {
                path.is_file() && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"))
            })
            .ok_or_else(|| incomplete("boot/vmlinuz-*".to_owned()))?;
        let bytes = fs::read(&image).map_err(KernelError::read(&image))?;
        let header = Header::parse(&bytes).map_err(|source| KernelError::NotAKernel { path: image.clone(), source })?;
        let release = header.release;
        let find = |places: &[String]| {
            places.iter().map(|place| Path::new(ROOT).join(place)).find(|path| dir.join(path).exists())
        };
        let modules = find(&[format!("lib/modules/{release}"), format!("usr/lib/modules/{release}")])
            .ok_or_else(|| incomplete(format!("lib/modules/{release}")))?;
        let config = find(&[
            format!("boot/config-{release}"),
            format!("lib/modules/{release}/config"),
            format!("usr/lib/modules/{release}/config"),
        ]);
        let image = image.strip_prefix(dir).map(Path::to_owned).unwrap_or(image);
        Ok(Stored { release, image, modules: Some(modules), config, id: sha256(&bytes), package: package.clone() })
    }

    /// Returns the kernel if its files still exist.
    fn at(self, dir: &Path, name: &str, notes: Vec<String>) -> Option<Kernel> {
        let kernel = Kernel {
            name: name.to_owned(),
            release: self.release,
            image: dir.join(self.image),
            modules: self.modules.map(|path| dir.join(path)),
            config: self.config.map(|path| dir.join(path)),
            id: self.id,
            package: Some(self.package),
            notes,
            live_patch: None,
        };
        kernel.image.exists().then_some(kernel)
    }
}

/// The kernels fetched into the cache.
pub(crate) struct Fetched {
    pub area: PathBuf,
}

impl Fetched {
    /// Returns whether `dir` in the area has a kernel.
    pub fn has(&self, dir: &str) -> bool {
        self.area.join(dir).join(META).exists()
    }

    /// Finds the kernel fetched for this name; with `any`, even if the lock file has changed since.
    pub fn find(&self, name: &str, locked: Option<&PackageVersion>, any: bool) -> Option<Kernel> {
        let pointer: Pointer = read_json(&self.area.join(format!("{name}.json")))?;
        if pointer.locked.as_ref() != locked && !any {
            return None;
        }
        let dir = self.area.join(&pointer.dir);
        touch(&dir);
        read_stored(&dir, name, pointer.notes)
    }
}

/// Reads a kernel stored in the cache.
pub(crate) fn read_stored(dir: &Path, name: &str, notes: Vec<String>) -> Option<Kernel> {
    read_json::<Stored>(&dir.join(META))?.at(dir, name, notes)
}

/// Examines the kernel in `dir` and writes its record.
pub(crate) fn record(dir: &Path, package: &PackageVersion) -> Result<(), StoreError> {
    let stored = Stored::examine(dir, package)?;
    Ok(write_json(&dir.join(META), &stored)?)
}

/// Returns the kernel if it was built before with the current fragment.
pub(crate) fn built(entry: &KernelEntry, options: &Options<'_>) -> Result<Option<Kernel>, CacheError> {
    let area = options.cache.area("built")?;
    let pointer: Option<Pointer> = read_json(&area.join(pointer_name(entry)));
    Ok(pointer.and_then(|pointer| {
        let dir = area.join(&pointer.dir);
        touch(&dir);
        read_stored(&dir, &entry.name, pointer.notes)
    }))
}

/// Returns the name of the pointer to a built kernel. It contains a hash of the configured options, so that a changed option
/// leads to a new build.
pub(crate) fn pointer_name(entry: &KernelEntry) -> String {
    let text = entry.config.as_deref().and_then(merged).unwrap_or_default();
    format!("{}-{}.json", entry.name, &options_id(&text)[..16])
}

/// Hashes the options of a fragment without its comments.
pub(crate) fn options_id(text: &str) -> String {
    ContentId::new().with(merge(&[text.to_owned()])).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn a_comment_in_a_fragment_does_not_lead_to_a_new_build() {
        assert_eq!(options_id("# a comment\nCONFIG_A=y\n"), options_id("CONFIG_A=y\n"));
        assert_ne!(options_id("CONFIG_A=y\n"), options_id("CONFIG_A=m\n"));
    }

    #[test]
    fn a_kernel_with_a_fragment_has_its_own_name() {
        let catalogue = Catalogue::builtin().unwrap();
        let name = |name| pointer_name(catalogue.resolve(name).unwrap());
        assert_ne!(name("5.10-modular-unix"), name("5.10").replace("5.10", "5.10-modular-unix"));
    }
}
