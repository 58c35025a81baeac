//! Files locked with flock(2): the kernel releases the lock when its holder dies, however it dies.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A held lock. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Others may hold a shared lock too.
    Shared,
    /// No other holder.
    Exclusive,
}

impl Lock {
    /// Tries to lock a file, creating it if necessary. Returns `None` if somebody else holds the lock.
    pub(crate) fn try_take(path: &Path, mode: Mode) -> io::Result<Option<Self>> {
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            match flock(&file, operation) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            // A previous holder may have removed the file between our open and our lock.
            let ours = file.metadata()?;
            match std::fs::metadata(path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                    return Ok(Some(Self { file, path: path.to_owned() }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Locks a file, waiting at most `limit`. Returns `None` if somebody else still holds the lock.
    pub(crate) fn take(path: &Path, mode: Mode, limit: Duration) -> io::Result<Option<Self>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(lock) = Self::try_take(path, mode)? {
                return Ok(Some(lock));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sets the file's modification time to now, to record that what it guards was used.
    pub(crate) fn touch(&self) {
        let _ = self.file.set_modified(SystemTime::now()); // only the order of a later clean-up depends on it
    }

    /// Removes the file and releases the lock, which must be exclusive.
    pub(crate) fn remove(self) {
        let _ = std::fs::remove_file(&self.path); // a file that stays is removed the next time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_lock_excludes_all_others_and_shared_locks_coexist() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let one = Lock::try_take(&path, Mode::Shared).unwrap().unwrap();
        let two = Lock::try_take(&path, Mode::Shared).unwrap().unwrap();
        assert!(Lock::try_take(&path, Mode::Exclusive).unwrap().is_none());
        drop((one, two));
        let alone = Lock::try_take(&path, Mode::Exclusive).unwrap().unwrap();
        assert!(Lock::take(&path, Mode::Shared, Duration::from_millis(20)).unwrap().is_none());
        alone.remove();
        assert!(!path.exists());
        assert!(Lock::try_take(&path, Mode::Exclusive).unwrap().is_some());
    }
}
