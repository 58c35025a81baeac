//! Small files and directories of the cache.

use super::CacheError;
use serde::{Serialize, de::DeserializeOwned};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Reads a small JSON file of the cache. Returns `None` if it is missing or has another form.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a small JSON file atomically.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CacheError> {
    let write = || -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(CacheError::new("write", path))
}

/// Returns the entries of a directory, sorted; none if it is missing.
pub(crate) fn paths_in(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).map(|list| list.filter_map(|entry| Some(entry.ok()?.path())).collect()).unwrap_or_default();
    paths.sort();
    paths
}

/// Sets the modification time of an entry to now, to record its use. Only the order of a later clean-up depends on it.
pub fn touch(path: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
    let at = |nanoseconds| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}
