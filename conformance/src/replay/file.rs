//! Files that are in no directory, for readers that want a path.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

/// A regular file in memory, gone when it is dropped.
pub(super) struct Unnamed(File);

impl Unnamed {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let make = || {
            let mut file = File::from(rustix::fs::memfd_create("replay", rustix::fs::MemfdFlags::CLOEXEC)?);
            file.write_all(bytes)?;
            Ok(file)
        };
        Self(make().unwrap_or_else(|error: std::io::Error| panic!("no file in memory: {error}")))
    }

    /// Where it can be opened, as long as it is there.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
