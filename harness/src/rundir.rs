//! A temporary directory for one run of the program, and the removal of directories whose run is dead.
//!
//! Each directory contains a file that its owner keeps locked. The kernel releases the lock when the owner dies,
//! also by SIGKILL. The next run that opens a directory beside it finds the lock free and removes the old directory.

use crate::error::HarnessError;
use crate::lock::{Lock, Mode};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = "run-";
const LOCK: &str = "lock";
/// Held while a directory is created or removed, so that no other run removes a directory that is not locked yet.
const GATE: &str = "gate";
/// Removing files takes less than this unless something is wrong.
const GATE_LIMIT: Duration = Duration::from_secs(60);

/// A locked temporary directory, removed when dropped.
#[derive(Debug)]
pub struct RunDir {
    // Fields are dropped in this order: the directory is removed first, then the lock is released.
    dir: tempfile::TempDir,
    _lock: Lock,
}

impl RunDir {
    /// Creates a directory in `base` (which is created too) and removes the directories of dead runs.
    ///
    /// # Errors
    /// The directory cannot be created, or `base` belongs to another user.
    pub fn open(base: &Path) -> Result<Self, HarnessError> {
        private_dir(base)?;
        let _gate = sweep(base)?;
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(base)
            .map_err(HarnessError::io("create a directory in", base))?;
        let path = dir.path().join(LOCK);
        let lock = Lock::try_take(&path, Mode::Exclusive)
            .and_then(|lock| lock.ok_or_else(|| io::ErrorKind::ResourceBusy.into()))
            .map_err(HarnessError::io("lock", &path))?;
        Ok(Self { dir, _lock: lock })
    }

    /// Returns the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps the directory for inspection, under a name that later runs do not remove: `kept-…`.
    ///
    /// # Errors
    /// The directory cannot be renamed; it is removed then.
    pub fn keep(self) -> Result<PathBuf, HarnessError> {
        let name = self.dir.path().file_name().unwrap_or_default().to_string_lossy().replacen(PREFIX, "kept-", 1);
        let kept = self.dir.path().with_file_name(name);
        std::fs::rename(self.dir.path(), &kept).map_err(HarnessError::io("rename", self.dir.path()))?;
        let _ = self.dir.keep(); // it was renamed, so there is nothing to remove
        Ok(kept)
    }
}

/// Creates a directory that only this user may enter, or checks that an existing one belongs to this user.
pub(crate) fn private_dir(path: &Path) -> Result<(), HarnessError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(HarnessError::io("create", path))?;
    let owner = std::fs::metadata(path).map_err(HarnessError::io("stat", path))?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(HarnessError::NotOurs { path: path.to_owned() });
    }
    Ok(())
}

/// Removes the directories whose owner is dead, and returns the lock that keeps others from creating or removing
/// directories. A directory that cannot be removed stays for the next sweep; that is not an error.
pub(crate) fn sweep(base: &Path) -> Result<Lock, HarnessError> {
    let path = base.join(GATE);
    let gate = Lock::take(&path, Mode::Exclusive, GATE_LIMIT)
        .and_then(|lock| lock.ok_or_else(|| io::ErrorKind::TimedOut.into()))
        .map_err(HarnessError::io("lock", &path))?;
    for entry in base.read_dir().map_err(HarnessError::io("read", base))? {
        let path = entry.map_err(HarnessError::io("read", base))?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
            if let Ok(Some(_dead)) = Lock::try_take(&path.join(LOCK), Mode::Exclusive) {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }
    Ok(gate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(base: &Path) -> usize {
        base.read_dir().unwrap().filter(|e| e.as_ref().unwrap().file_type().unwrap().is_dir()).count()
    }

    #[test]
    fn a_dropped_directory_is_removed_and_a_kept_one_stays() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().join("made/here");
        let run = RunDir::open(&base).unwrap();
        std::fs::write(run.path().join("file"), "x").unwrap();
        drop(run);
        assert_eq!(runs(&base), 0);
        let run = RunDir::open(&base).unwrap();
        std::fs::write(run.path().join("file"), "x").unwrap();
        let kept = run.keep().unwrap();
        let _next = RunDir::open(&base).unwrap();
        assert_eq!(std::fs::read(kept.join("file")).unwrap(), b"x");
    }

    #[test]
    fn the_next_run_removes_directories_of_dead_runs_only() {
        let base = tempfile::tempdir().unwrap();
        let living = RunDir::open(base.path()).unwrap();
        // A killed run leaves a directory whose lock is free, or one without a lock file.
        for (name, locked) in [("run-dead", true), ("run-early", false)] {
            std::fs::create_dir_all(base.path().join(name).join("deep")).unwrap();
            std::fs::write(base.path().join(name).join("deep/file"), "x").unwrap();
            if locked {
                std::fs::write(base.path().join(name).join(LOCK), "").unwrap();
            }
        }
        std::fs::create_dir(base.path().join("something-else")).unwrap();
        let next = RunDir::open(base.path()).unwrap();
        assert!(living.path().exists() && next.path().exists());
        assert!(!base.path().join("run-dead").exists() && !base.path().join("run-early").exists());
        assert!(base.path().join("something-else").exists());
    }
}
