//! What a caller may choose when something is fetched or built, and what it is told meanwhile.

use crate::cache::{Cache, CacheError, CacheLock};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// How to fetch and build.
#[derive(Clone)]
pub struct Options<'a> {
    /// Where everything is kept.
    pub cache: Cache,
    /// Use only what is cached.
    pub offline: bool,
    /// Take the newest versions that are offered, whatever is cached or locked.
    pub refresh: bool,
    /// URI of a Debian archive to use in place of the one in the machine's own apt configuration. The security
    /// archive is looked for beside it (`URI-security`).
    pub mirror: Option<String>,
    /// Told what is going on.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Once it is set, what was started for fetching or building is killed, and the call ends with an error.
    pub stop: &'a AtomicBool,
}

/// For a caller that never stops.
static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Options<'a> {
    /// On line, without a mirror of its own, silent.
    pub fn new(cache: Cache) -> Options<'a> {
        Options { cache, offline: false, refresh: false, mirror: None, progress: &|_| {}, stop: &NEVER }
    }

    /// Takes a lock of the cache, unless the run is to end before it is free; tells that it waits.
    pub(crate) fn lock(&self, name: &str) -> Result<CacheLock, CacheError> {
        self.cache.lock_unless(self.stop, name, |lock| (self.progress)(Progress::Waiting { lock: lock.to_owned() }))
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .field("refresh", &self.refresh)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

/// What is going on. `Display` gives one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Waiting for another run that uses the same part of the cache.
    Waiting {
        /// The lock's file.
        lock: PathBuf,
    },
    /// The index of a suite is being updated.
    Updating {
        /// Its name.
        suite: String,
    },
    /// A package is being downloaded.
    Downloading {
        /// Its name.
        package: String,
        /// Its version.
        version: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A package is being unpacked.
    Unpacking {
        /// Its name.
        package: String,
    },
    /// Our depmod is indexing a module directory.
    Indexing {
        /// The kernel's name.
        kernel: String,
    },
    /// A kernel is being built.
    Building {
        /// Its name.
        kernel: String,
        /// What make prints.
        log: PathBuf,
    },
    /// How far a build has come.
    Built {
        /// The kernel's name.
        kernel: String,
        /// Steps that make has told of.
        steps: usize,
        /// Since its begin.
        seconds: u64,
    },
    /// Something that the user should know, such as a version that is not the locked one.
    Note(String),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::Waiting { lock } => write!(f, "waiting for another run ({})", lock.display()),
            Progress::Updating { suite } => write!(f, "reading the package index of {suite}"),
            Progress::Downloading { package, version, bytes } => {
                write!(f, "downloading {package} {version} ({} MiB)", bytes.div_ceil(1 << 20))
            }
            Progress::Unpacking { package } => write!(f, "unpacking {package}"),
            Progress::Indexing { kernel } => write!(f, "indexing the modules of {kernel}"),
            Progress::Building { kernel, log } => write!(f, "building {kernel} (log: {})", log.display()),
            Progress::Built { kernel, steps, seconds } => {
                write!(f, "building {kernel}: {steps} steps in {} min {:02} s", seconds / 60, seconds % 60)
            }
            Progress::Note(text) => f.write_str(text),
        }
    }
}
