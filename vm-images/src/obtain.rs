//! Packages brought here: suites opened together, one of their versions chosen, downloaded and unpacked.

use crate::apt::{self, AptError, Root};
use crate::fetch::FetchError;
use crate::kernel::{PackageFile, PackageVersion};
use crate::options::{Options, Progress};
use crate::packages::{Index, Package};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the suites of one entry offer.
#[derive(Default)]
pub(crate) struct Offer {
    pub index: Index,
    roots: Vec<(String, Root)>,
    /// The suites that could not be read, and why.
    pub missing: Vec<String>,
}

impl Offer {
    /// Reads the indexes of these suites. If none of them can be had, that is [`FetchError::Unavailable`].
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

    /// Reads the indexes of more suites. One that cannot be had is left out, with its reason.
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

    /// Downloads these packages and unpacks them into one directory.
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

/// How a chosen set of packages is recorded; the first is what was asked for.
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

/// The locked files, if the index still has all of them. A file that has changed under its version is an error.
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

/// What is told when something else than the locked version is taken; nothing if it is the same version.
pub(crate) fn drift(index: &Index, locked: &PackageVersion, taken: &Package) -> Option<String> {
    let (package, version) = (&locked.package, &locked.version);
    if (package, version) == (&taken.name, &taken.version) {
        return None;
    }
    let what = match index.exactly(package, version) {
        Some(_) => "is locked",
        None => "is locked but no longer offered",
    };
    Some(format!("{package} {version} {what}; this is {} {}", taken.name, taken.version))
}

/// A name's pointer to what was fetched for it: as long as the lock says the same, nothing is asked on the net.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pointer {
    /// The locked version at that time.
    pub locked: Option<PackageVersion>,
    /// Directory, beside the pointers.
    pub dir: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Reads a small JSON file of the cache; one that is missing or of another form counts as absent.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a small JSON file, by way of a temporary one.
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

/// The name of the directory for a set of packages.
pub(crate) fn directory_name(package: &PackageVersion) -> String {
    let mut id = crate::cache::ContentId::new();
    for file in &package.files {
        id.add(&file.sha256);
    }
    let version = package.version.replace([':', '/'], "_");
    format!("{}_{version}_{}", package.package, &id.finish()[..8])
}

/// The entries of a directory, sorted; none if it is missing.
pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).map(|list| list.filter_map(|entry| Some(entry.ok()?.path())).collect()).unwrap_or_default();
    paths.sort();
    paths
}
