//! Obtains packages: opens suites, selects a version, downloads and unpacks it.

use super::apt::{self, AptError, Root};
use super::index::{Index, Package};
use super::record::PackageVersion;
use crate::options::{Options, Progress};
use std::path::Path;

/// The packages that the suites of an entry offer.
#[derive(Default)]
pub(crate) struct Offer {
    pub index: Index,
    roots: Vec<(String, Root)>,
    /// The reasons why suites could not be read.
    pub missing: Vec<String>,
}

impl Offer {
    /// Reads the indexes of suites. Fails with [`AptError::Unavailable`] if none is available.
    pub fn open(suites: &[String], keep: impl Fn(&str) -> bool, options: &Options<'_>) -> Result<Offer, AptError> {
        let mut offer = Offer::default();
        offer.add(suites, keep, options)?;
        if offer.roots.is_empty() {
            return Err(AptError::Unavailable(offer.missing.join("; ")));
        }
        Ok(offer)
    }

    /// Reads the indexes of more suites. If one is not available, the reason is recorded in `missing`.
    pub fn add(
        &mut self,
        suites: &[String],
        keep: impl Fn(&str) -> bool,
        options: &Options<'_>,
    ) -> Result<(), AptError> {
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
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Downloads packages and unpacks them into one directory.
    pub fn unpack(&self, packages: &[&Package], into: &Path, options: &Options<'_>) -> Result<(), AptError> {
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
