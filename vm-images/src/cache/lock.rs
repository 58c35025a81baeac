//! Locks of the cache, taken with flock(2): released when their guard is dropped or the process ends.

use super::CacheError;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A lock, held until this is dropped.
#[derive(Debug)]
pub struct CacheLock {
    pub(super) _file: File,
}

/// A guard of the cache: in use, or taken exclusively.
#[derive(Debug)]
pub struct CacheHold {
    pub(super) _file: File,
}

/// Opens a file for appending and locks it. A process that inherits the descriptor holds the lock too. Setting `stop` ends
/// the wait for another holder with an error of kind `Interrupted`.
pub(crate) fn lock_file(path: &Path, stop: &AtomicBool, waiting: impl FnOnce(&Path)) -> Result<File, CacheError> {
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(CacheError::new("open", path))?;
    let mut waiting = Some(waiting);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(errno) => return Err(CacheError::new("take the lock", path)(errno.into())),
        }
        if let Some(waiting) = waiting.take() {
            waiting(path);
        }
        if stop.load(Ordering::SeqCst) {
            return Err(CacheError::new("take the lock", path)(io::ErrorKind::Interrupted.into()));
        }
        // A blocking flock would not notice `stop`.
        std::thread::sleep(Duration::from_millis(20));
    }
}
