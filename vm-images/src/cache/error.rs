//! Failures of the cache.

use std::io;
use std::path::PathBuf;

/// A failure of the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory of the whole cache cannot be used.
    #[error("cannot use {} as the cache directory", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An operation on something in the cache failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl CacheError {
    pub(crate) fn new(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CacheError {
        let path = path.into();
        move |source| CacheError::Io { action, path, source }
    }
}
