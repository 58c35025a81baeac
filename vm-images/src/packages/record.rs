//! Records of downloaded packages: kept in kernels.lock, and in the cache next to the unpacked files.

use super::index::Package;
use crate::cache::ContentId;
use serde::{Deserialize, Serialize};

/// The package from which a kernel or subject was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageVersion {
    /// The suite that offered it.
    pub suite: String,
    /// The name of the package.
    pub package: String,
    /// The version.
    pub version: String,
    /// All downloaded files, the package itself first.
    pub files: Vec<PackageFile>,
}

/// A downloaded package file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// The name of the package.
    pub package: String,
    /// The version.
    pub version: String,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
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

/// Returns the directory name for a set of packages.
pub(crate) fn directory_name(package: &PackageVersion) -> String {
    let mut id = ContentId::new();
    for file in &package.files {
        id.add(&file.sha256);
    }
    let version = package.version.replace([':', '/'], "_");
    format!("{}_{version}_{}", package.package, &id.finish()[..8])
}
