//! Obtains packages: opens suites, selects a version, downloads and unpacks it.

use crate::kernels::fetch::FetchError;
use crate::kernels::kernel::{PackageFile, PackageVersion};
use crate::options::{Options, Progress};
use crate::packages::apt::{self, AptError, Root};
use crate::packages::index::{Index, Package};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The packages that the suites of an entry offer.
#[derive(Default)]
pub(crate) struct Offer {
    pub index: Index,
    roots: Vec<(String, Root)>,
    /// The reasons why suites could not be read.
    pub missing: Vec<String>,
}

impl Offer {
    /// Reads the indexes of suites. Fails with [`FetchError::Unavailable`] if none is available.
    pub fn open(
        name: &str,
        suites: &[String],
        keep: impl Fn(&str) -> bool,
        options: &Options<'_>,
    ) -> Result<Offer, FetchError> {
        let mut offer = Offer::default();
        offer.add(suites, keep, options)?;
        if offer.roots.is_empty() {
            return Err(FetchError::Unavailable { name: name.to_owned(), reason: offer.missing.join("; ") });
        }
        Ok(offer)
    }

    /// Reads the indexes of more suites. If one is not available, the reason is recorded in `missing`.
    pub fn add(
        &mut self,
        suites: &[String],
        keep: impl Fn(&str) -> bool,
        options: &Options<'_>,
    ) -> Result<(), FetchError> {
        let archives = apt::archives(options.mirror.as_deref());
        for suite in suites {
            let opened = Root::open(&options.cache, &archives, suite).and_then(|root| {
                root.update(options)?;
                Ok((root.index(&keep)?, root))
            });
            match opened {
                Ok((packages, root)) => {
                    self.index.add(packages);
                    self.roots.push((suite.clone(), root));
                }
                Err(AptError::Unavailable(reason)) if !self.missing.contains(&reason) => self.missing.push(reason),
                Err(AptError::Unavailable(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Downloads packages and unpacks them into one directory.
    pub fn unpack(&self, packages: &[&Package], into: &Path, options: &Options<'_>) -> Result<(), FetchError> {
        let downloads = options.cache.new_dir()?;
        for (suite, root) in &self.roots {
            let here: Vec<&Package> = packages.iter().copied().filter(|package| &package.suite == suite).collect();
            if here.is_empty() {
                continue;
            }
            for (package, file) in here.iter().zip(root.download(&here, downloads.path(), options)?) {
                (options.progress)(Progress::Unpacking { package: package.name.clone() });
                apt::unpack(&file, into, options)?;
            }
        }
        Ok(())
    }
}

/// Returns the record of a set of packages; the first one is the requested package.
pub(crate) fn record(packages: &[&Package]) -> Option<PackageVersion> {
    let first = packages.first()?;
    let files = packages.iter().map(|package| PackageFile {
        package: package.name.clone(),
        version: package.version.clone(),
        sha256: package.sha256.clone(),
    });
    Some(PackageVersion {
        suite: first.suite.clone(),
        package: first.name.clone(),
        version: first.version.clone(),
        files: files.collect(),
    })
}

/// Returns the locked packages if the index still contains all of them. A file that changed without a change of version is
/// an error.
pub(crate) fn locked<'a>(index: &'a Index, locked: &PackageVersion) -> Result<Option<Vec<&'a Package>>, AptError> {
    let mut found = Vec::new();
    for file in &locked.files {
        match index.exactly(&file.package, &file.version) {
            Some(package) if package.sha256 == file.sha256 => found.push(package),
            Some(package) => {
                return Err(AptError::Changed {
                    package: file.package.clone(),
                    version: file.version.clone(),
                    expected: file.sha256.clone(),
                    found: package.sha256.clone(),
                });
            }
            None => return Ok(None),
        }
    }
    Ok((!found.is_empty()).then_some(found))
}

/// Returns a note for the user if the selected version is not the locked one.
pub(crate) fn drift(index: &Index, locked: &PackageVersion, taken: &Package) -> Option<String> {
    let (package, version) = (&locked.package, &locked.version);
    if (package, version) == (&taken.name, &taken.version) {
        return None;
    }
    let what = match index.exactly(package, version) {
        Some(_) => "is locked",
        None => "is locked but no longer offered",
    };
    Some(format!("{package} {version} {what}; using {} {}", taken.name, taken.version))
}

/// A pointer from a name to the fetched packages. While the lock file does not change, the network is not used.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pointer {
    /// The locked version when they were fetched.
    pub locked: Option<PackageVersion>,
    /// The directory, beside the pointers.
    pub dir: String,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Reads a small JSON file of the cache. Returns `None` if it is missing or has another form.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a small JSON file atomically.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), crate::cache::CacheError> {
    let write = || -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(crate::cache::CacheError::new("write", path))
}

/// Returns the directory name for a set of packages.
pub(crate) fn directory_name(package: &PackageVersion) -> String {
    let mut id = crate::cache::ContentId::new();
    for file in &package.files {
        id.add(&file.sha256);
    }
    let version = package.version.replace([':', '/'], "_");
    format!("{}_{version}_{}", package.package, &id.finish()[..8])
}

/// Returns the entries of a directory, sorted; none if it is missing.
pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).map(|list| list.filter_map(|entry| Some(entry.ok()?.path())).collect()).unwrap_or_default();
    paths.sort();
    paths
}
