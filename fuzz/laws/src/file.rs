//! Files and directories in memory, for functions that need a path.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A temporary directory, in memory if possible.
pub(super) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.unwrap_or_else(|error| panic!("cannot create a temporary directory: {error}"))
}

/// A regular file in memory, removed on drop.
pub(super) struct Unnamed(File);

impl Unnamed {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let make = || {
            let mut file = File::from(rustix::fs::memfd_create("replay", rustix::fs::MemfdFlags::CLOEXEC)?);
            file.write_all(bytes)?;
            Ok(file)
        };
        Self(make().unwrap_or_else(|error: std::io::Error| panic!("cannot create a file in memory: {error}")))
    }

    /// The path that opens it.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
