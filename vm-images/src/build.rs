//! A kernel built from a distribution's source package and a configuration fragment.

use crate::cache::CacheError;
use crate::catalogue::CatalogueError;
use crate::fetch::FetchError;
use crate::kernel::{Kernel, KernelError};
use crate::options::Options;
use std::path::PathBuf;

/// Why a kernel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It cannot be built here: a reason to skip, not to fail.
    #[error("{name} cannot be built: {reason}")]
    Unavailable {
        /// What was asked for.
        name: String,
        /// Why not, and what to do about it.
        reason: String,
    },
    /// make failed.
    #[error("building {name} failed in `{command}`: see {}\n{tail}", log.display())]
    Failed {
        /// What was asked for.
        name: String,
        /// The step.
        command: String,
        /// What it printed.
        log: PathBuf,
        /// The last lines of that.
        tail: String,
    },
    /// The name is unknown.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The source package.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was built is no kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Builds the kernel called `name` (such as `5.10-modular-unix`), or takes it from the cache.
pub fn build(name: &str, _options: &Options<'_>) -> Result<Kernel, BuildError> {
    Err(BuildError::Unavailable { name: name.to_owned(), reason: "building is under construction".to_owned() })
}
