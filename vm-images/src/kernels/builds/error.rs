//! Why a kernel could not be built.

use super::git::GitError;
use super::make::MakeError;
use crate::cache::CacheError;
use crate::catalogue::CatalogueError;
use crate::kernels::store::StoreError;
use crate::packages::apt::AptError;
use std::io;
use std::path::PathBuf;

/// A kernel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It cannot be built on this machine: a reason to skip, not to fail.
    #[error("cannot build {name}: {reason}")]
    Unavailable {
        /// The name of the kernel or the tree.
        name: String,
        /// The reason.
        reason: String,
    },
    /// Its source package is not available: a reason to skip, not to fail.
    #[error("{name} is not available: {reason}")]
    NoSource {
        /// The name of the kernel.
        name: String,
        /// The reason.
        reason: String,
    },
    /// A file or directory that the user named cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Options in the fragment do not exist in this source or have unmet dependencies.
    #[error("{name}: these lines of configs/{config} had no effect: {}", lines.join(", "))]
    Config {
        /// The name of the kernel.
        name: String,
        /// The fragment.
        config: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// The name is unknown.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The git repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// make failed.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// The source package could not be fetched.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// The result of the build is not a usable kernel.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}
