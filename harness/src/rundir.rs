//! A temporary directory that belongs to one run.
use crate::error::HarnessError;
use std::path::{Path, PathBuf};

/// A locked temporary directory, removed when dropped; what dead runs left beside it is swept.
#[derive(Debug)]
pub struct RunDir {
    dir: tempfile::TempDir,
}

impl RunDir {
    /// Makes a directory under `base` (which is made too) and removes those of runs that have ended without cleaning up.
    ///
    /// # Errors
    /// The directory cannot be made, or `base` belongs to another user.
    pub fn open(base: &Path) -> Result<Self, HarnessError> {
        std::fs::create_dir_all(base).map_err(HarnessError::io("create", base))?;
        let dir = tempfile::Builder::new().prefix("run-").tempdir_in(base).map_err(HarnessError::io("create", base))?;
        Ok(Self { dir })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the directory where it is, for a person to look at.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}
