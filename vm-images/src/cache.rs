//! One directory that is safe to share between runs: locks by flock, results that appear by rename and are
//! never changed afterwards.

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Bump when the meaning of something cached changes.
const LAYOUT: &str = "v1";

/// What can go wrong with the cache.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct CacheError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl CacheError {
    pub(crate) fn new(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CacheError {
        let path = path.into();
        move |source| CacheError { action, path, source }
    }
}

/// The cache. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Opens the cache in `dir`, which is made when it is missing.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Cache, CacheError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(CacheError::new("create the cache directory", &dir))?;
        let dir = dir.canonicalize().map_err(CacheError::new("find the cache directory", &dir))?;
        Ok(Cache { dir })
    }

    /// The usual place, given a way to look up environment variables: `$KMODLAB_CACHE`, else
    /// `$XDG_CACHE_HOME/kmodlab`, else `$HOME/.cache/kmodlab`.
    pub fn default_dir(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("KMODLAB_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("kmodlab")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/kmodlab")))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A directory of the cache for one purpose, made when it is missing.
    pub fn area(&self, name: &str) -> Result<PathBuf, CacheError> {
        let dir = self.dir.join(LAYOUT).join(name);
        fs::create_dir_all(&dir).map_err(CacheError::new("create", &dir))?;
        Ok(dir)
    }

    /// Takes the lock called `name`, waiting for whoever holds it; `waiting` is called once before it waits.
    /// It is given back when the guard is dropped, also by a crash.
    pub fn lock(&self, name: &str, waiting: impl FnOnce(&Path)) -> Result<CacheLock, CacheError> {
        self.lock_unless(&AtomicBool::new(false), name, waiting)
    }

    /// [`Cache::lock`], which gives up when `stop` is set.
    pub(crate) fn lock_unless(
        &self,
        stop: &AtomicBool,
        name: &str,
        waiting: impl FnOnce(&Path),
    ) -> Result<CacheLock, CacheError> {
        let path = self.area("locks")?.join(format!("{name}.lock"));
        Ok(CacheLock { _file: lock_file(&path, stop, waiting)? })
    }

    /// Says that the cache is in use, as long as the guard lives, so that nobody cleans it up meanwhile; several may.
    /// Waits for a clean-up that is under way.
    pub fn hold(&self) -> Result<CacheHold, CacheError> {
        let (file, path) = self.use_lock()?;
        rustix::fs::flock(&file, FlockOperation::LockShared)
            .map_err(|errno| CacheError::new("take the lock", &path)(errno.into()))?;
        Ok(CacheHold { _file: file })
    }

    /// The cache for a clean-up: nobody else uses it as long as the guard lives. `None`: somebody does.
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

    /// A new directory on the cache's own file system, so that what is made in it can be renamed into place. What a
    /// killed run has left is removed first.
    pub fn new_dir(&self) -> Result<NewDir, CacheError> {
        let area = self.area("tmp")?;
        // Between its making and its lock a directory looks abandoned.
        let _making = self.lock("tmp", |_| {})?;
        sweep(&area);
        let dir = tempfile::Builder::new().prefix("new-").tempdir_in(&area);
        let dir = dir.map_err(CacheError::new("make a directory in", area))?;
        let lock = File::open(dir.path()).map_err(CacheError::new("open", dir.path()))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| CacheError::new("take the lock", dir.path())(errno.into()))?;
        Ok(NewDir { dir, _lock: lock })
    }

    /// Moves a finished directory to `target`. When another run was faster its result is kept, which is as good.
    pub fn publish(&self, finished: NewDir, target: &Path) -> Result<(), CacheError> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(CacheError::new("create", parent))?;
        }
        match fs::rename(finished.path(), target) {
            Ok(()) => {
                // It has moved: there is nothing left to remove.
                let _ = finished.dir.keep();
                Ok(())
            }
            Err(_) if target.is_dir() => Ok(()),
            Err(error) => Err(CacheError::new("create", target)(error)),
        }
    }
}

/// Opens a file for appending and locks it. Whoever inherits the descriptor holds the lock too. While another holds it,
/// `stop` ends the wait with an error of kind `Interrupted`.
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
        // The system would let us wait without asking, but not be woken by `stop`.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes the directories that nobody holds. Failing to is no harm.
fn sweep(area: &Path) {
    for path in fs::read_dir(area).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        let abandoned = File::open(&path)
            .is_ok_and(|dir| rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok());
        if abandoned {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// A directory that is being filled. Removed when dropped, unless it is published.
#[derive(Debug)]
pub struct NewDir {
    dir: TempDir,
    _lock: File,
}

impl NewDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The cache in use, or alone.
#[derive(Debug)]
pub struct CacheHold {
    _file: File,
}

/// Sets the time of something in the cache to now: it was used. It orders a later clean-up, nothing more.
pub fn touch(path: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
    let at = |nanoseconds| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// A lock that is held as long as this lives.
#[derive(Debug)]
pub struct CacheLock {
    _file: File,
}

/// SHA-256 of all that was put in, as lower-case hexadecimal. Each part is preceded by its length, so that parts
/// cannot run into each other.
#[derive(Clone, Default)]
pub struct ContentId(Sha256);

impl ContentId {
    /// Nothing yet.
    pub fn new() -> ContentId {
        ContentId::default()
    }

    /// Adds one part.
    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> ContentId {
        self.add(part);
        self
    }

    /// Adds one part.
    pub fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// The sum.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// SHA-256 of a file's bytes, as lower-case hexadecimal.
pub fn sha256_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

/// SHA-256 of some bytes, as lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_environment_says() {
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
        let first = cache.lock("one", |_| panic!("nobody holds it")).unwrap();
        let waited = std::thread::scope(|scope| {
            let (told, heard) = std::sync::mpsc::channel();
            let cache = &cache;
            scope.spawn(move || cache.lock("one", |_| told.send(()).unwrap()).unwrap());
            let waited = heard.recv().is_ok();
            drop(first);
            waited
        });
        assert!(waited);
    }

    #[test]
    fn what_a_killed_run_left_is_swept_and_what_another_run_makes_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path()).unwrap();
        let left = cache.area("tmp").unwrap().join("new-left");
        fs::create_dir_all(left.join("sub")).unwrap();
        let held = cache.new_dir().unwrap();
        let other = cache.new_dir().unwrap();
        assert!(!left.exists() && held.path().exists() && other.path().exists());
    }

    #[test]
    fn a_clean_up_is_alone_and_users_are_together() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path()).unwrap();
        let users = (cache.hold().unwrap(), cache.hold().unwrap());
        assert!(cache.alone().unwrap().is_none());
        drop(users);
        let alone = cache.alone().unwrap();
        assert!(alone.is_some() && cache.alone().unwrap().is_none());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(ContentId::new().with("ab").with("c").finish(), ContentId::new().with("a").with("bc").finish());
    }

    #[test]
    fn what_is_published_first_stays() {
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
