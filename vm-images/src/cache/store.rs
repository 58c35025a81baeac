//! The directory of the cache: areas, directories under construction, publication by rename.

use super::CacheError;
use super::lock::{CacheHold, CacheLock, lock_file};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// Increment when the meaning of something in the cache changes.
const LAYOUT: &str = "v1";

/// Creates a directory with its parents. That a file has its name is the same error as for a parent.
fn create_directory(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Errno::NOTDIR.into(),
        _ => error,
    })
}

/// The cache. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Opens the cache in `dir`, creating it if necessary.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Cache, CacheError> {
        let dir = dir.into();
        match create_directory(&dir).and_then(|()| dir.canonicalize()) {
            Ok(dir) => Ok(Cache { dir }),
            Err(source) => Err(CacheError::Directory { path: dir, source }),
        }
    }

    /// Returns the default directory: `$KMODLAB_CACHE`, else `$XDG_CACHE_HOME/kmodlab`, else `$HOME/.cache/kmodlab`.
    /// `env` looks up an environment variable.
    pub fn default_dir(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("KMODLAB_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("kmodlab")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/kmodlab")))
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns a directory of the cache for one purpose, creating it if necessary.
    pub fn area(&self, name: &str) -> Result<PathBuf, CacheError> {
        let dir = self.dir.join(LAYOUT).join(name);
        create_directory(&dir).map_err(CacheError::new("create", &dir))?;
        Ok(dir)
    }

    /// Takes the lock called `name`. If somebody else holds it, calls `waiting` once and waits. The lock is released
    /// when the guard is dropped or the process ends.
    pub fn lock(&self, name: &str, waiting: impl FnOnce(&Path)) -> Result<CacheLock, CacheError> {
        self.lock_unless(&AtomicBool::new(false), name, waiting)
    }

    /// Like [`Cache::lock`], but fails when `stop` is set while waiting.
    pub(crate) fn lock_unless(
        &self,
        stop: &AtomicBool,
        name: &str,
        waiting: impl FnOnce(&Path),
    ) -> Result<CacheLock, CacheError> {
        let path = self.area("locks")?.join(format!("{name}.lock"));
        Ok(CacheLock { _file: lock_file(&path, stop, waiting)? })
    }

    /// Marks the cache as in use while the guard exists, which prevents a clean-up. Several runs may use it at once.
    /// Waits for a running clean-up.
    pub fn hold(&self) -> Result<CacheHold, CacheError> {
        let (file, path) = self.use_lock()?;
        rustix::fs::flock(&file, FlockOperation::LockShared)
            .map_err(|errno| CacheError::new("take the lock", &path)(errno.into()))?;
        Ok(CacheHold { _file: file })
    }

    /// Takes the cache exclusively for a clean-up while the guard exists. Returns `None` if it is in use.
    pub fn alone(&self) -> Result<Option<CacheHold>, CacheError> {
        let (file, path) = self.use_lock()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(CacheHold { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(CacheError::new("take the lock", path)(errno.into())),
        }
    }

    fn use_lock(&self) -> Result<(File, PathBuf), CacheError> {
        let path = self.area("locks")?.join("in-use.lock");
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(CacheError::new("open", &path))?;
        Ok((file, path))
    }

    /// Creates a directory on the cache's file system, from which results can be renamed into place. Directories left by
    /// killed runs are removed first.
    pub fn new_dir(&self) -> Result<NewDir, CacheError> {
        let area = self.area("tmp")?;
        // Until it is locked, a new directory looks abandoned.
        let _creation = self.lock("tmp", |_| {})?;
        sweep(&area);
        let dir = tempfile::Builder::new().prefix("new-").tempdir_in(&area);
        let dir = dir.map_err(CacheError::new("create a directory in", area))?;
        let lock = File::open(dir.path()).map_err(CacheError::new("open", dir.path()))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| CacheError::new("take the lock", dir.path())(errno.into()))?;
        Ok(NewDir { dir, _lock: lock })
    }

    /// Moves a finished directory to `target`. If another run was faster, its equivalent result is kept.
    pub fn publish(&self, finished: NewDir, target: &Path) -> Result<(), CacheError> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(CacheError::new("create", parent))?;
        }
        match fs::rename(finished.path(), target) {
            Ok(()) => {
                // It was moved, so there is nothing to remove.
                let _ = finished.dir.keep();
                Ok(())
            }
            Err(_) if target.is_dir() => Ok(()),
            Err(error) => Err(CacheError::new("create", target)(error)),
        }
    }
}

/// Removes the directories that are not locked. A failure is harmless.
fn sweep(area: &Path) {
    for path in fs::read_dir(area).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        let abandoned = File::open(&path)
            .is_ok_and(|dir| rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok());
        if abandoned {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// A directory under construction. Removed when dropped, unless it is published.
#[derive(Debug)]
pub struct NewDir {
    dir: TempDir,
    _lock: File,
}

impl NewDir {
    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_depends_on_the_environment() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        let dir = |pairs| Cache::default_dir(env(pairs)).map(|dir| dir.display().to_string());
        assert_eq!(dir(&[("KMODLAB_CACHE", "k"), ("HOME", "/h")]).as_deref(), Some("k"));
        assert_eq!(dir(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).as_deref(), Some("/x/kmodlab"));
        assert_eq!(dir(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")]).as_deref(), Some("/h/.cache/kmodlab"));
        assert_eq!(dir(&[("KMODLAB_CACHE", "")]), None);
    }

    #[test]
    fn a_second_holder_waits_for_the_first() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path()).unwrap();
        let first = cache.lock("one", |_| panic!("the lock is free")).unwrap();
        let waited = std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let cache = &cache;
            scope.spawn(move || cache.lock("one", |_| sender.send(()).unwrap()).unwrap());
            let waited = receiver.recv().is_ok();
            drop(first);
            waited
        });
        assert!(waited);
    }

    #[test]
    fn directories_of_killed_runs_are_removed_and_those_of_running_ones_are_not() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path()).unwrap();
        let left = cache.area("tmp").unwrap().join("new-left");
        fs::create_dir_all(left.join("sub")).unwrap();
        let held = cache.new_dir().unwrap();
        let other = cache.new_dir().unwrap();
        assert!(!left.exists() && held.path().exists() && other.path().exists());
    }

    #[test]
    fn a_clean_up_is_exclusive_and_users_are_not() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path()).unwrap();
        let users = (cache.hold().unwrap(), cache.hold().unwrap());
        assert!(cache.alone().unwrap().is_none());
        drop(users);
        let alone = cache.alone().unwrap();
        assert!(alone.is_some() && cache.alone().unwrap().is_none());
    }

    #[test]
    fn the_first_published_result_is_kept() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path()).unwrap();
        let target = temp.path().join("area/thing");
        for content in ["first", "second"] {
            let new = cache.new_dir().unwrap();
            fs::write(new.path().join("file"), content).unwrap();
            cache.publish(new, &target).unwrap();
        }
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "first");
        assert_eq!(fs::read_dir(cache.area("tmp").unwrap()).unwrap().count(), 0);
    }
}
