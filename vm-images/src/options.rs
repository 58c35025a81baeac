//! Options for fetching and building, and progress reports.

use crate::cache::{Cache, CacheError, CacheLock};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Options for fetching and building.
#[derive(Clone)]
pub struct Options<'a> {
    /// The cache.
    pub cache: Cache,
    /// Use only the cache, not the network.
    pub offline: bool,
    /// Use the newest offered versions, whatever is cached or locked.
    pub refresh: bool,
    /// The URI of a Debian archive to use instead of the one in the machine's apt configuration. The security archive
    /// is expected beside it (`URI-security`).
    pub mirror: Option<String>,
    /// Receives progress reports.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// When set, running child processes are killed and the call returns an error.
    pub stop: &'a AtomicBool,
}

/// The default of `stop`.
static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Options<'a> {
    /// Returns the default options: online, the machine's own archive, no progress reports.
    pub fn new(cache: Cache) -> Options<'a> {
        Options { cache, offline: false, refresh: false, mirror: None, progress: &|_| {}, stop: &NEVER }
    }

    /// Takes a lock of the cache, reporting if it has to wait; fails if `stop` is set meanwhile.
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

/// A progress report. `Display` formats it as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Waiting for another run that uses the same part of the cache.
    Waiting {
        /// The lock file.
        lock: PathBuf,
    },
    /// The index of a suite is being updated.
    Updating {
        /// The suite.
        suite: String,
    },
    /// A package is being downloaded.
    Downloading {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// The size in bytes.
        bytes: u64,
    },
    /// A package is being unpacked.
    Unpacking {
        /// The package.
        package: String,
    },
    /// Our depmod is indexing a module directory.
    Indexing {
        /// The name of the kernel.
        kernel: String,
    },
    /// The files of a revision are being checked out.
    CheckingOut {
        /// The revision.
        revision: String,
    },
    /// A kernel build starts.
    Building {
        /// The name of the kernel.
        kernel: String,
        /// The file with make's output.
        log: PathBuf,
    },
    /// The progress of a build.
    Built {
        /// The name of the kernel.
        kernel: String,
        /// The number of steps so far.
        steps: usize,
        /// The duration so far.
        seconds: u64,
    },
    /// A note for the user, such as a version that differs from the locked one.
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
            Progress::CheckingOut { revision } => write!(f, "checking out {revision}"),
            Progress::Building { kernel, log } => write!(f, "building {kernel} (log: {})", log.display()),
            Progress::Built { kernel, steps, seconds } => {
                write!(f, "building {kernel}: {steps} steps in {} min {:02} s", seconds / 60, seconds % 60)
            }
            Progress::Note(text) => f.write_str(text),
        }
    }
}
