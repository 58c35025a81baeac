//! The module tools under test: which files they bring into the guest, and which commands they answer to.

use crate::cache::CacheError;
use crate::fetch::FetchError;
use crate::options::Options;
use std::io;
use std::path::{Path, PathBuf};

/// Every command that a subject may bring.
pub const COMMANDS: [&str; 6] = ["modprobe", "insmod", "rmmod", "lsmod", "modinfo", "depmod"];

/// The tools under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    name: String,
    commands: Vec<String>,
    files: Vec<GuestFile>,
    id: String,
}

/// One thing that a subject puts into the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFile {
    /// Where, absolute.
    pub guest_path: PathBuf,
    /// Permissions.
    pub mode: u32,
    /// What.
    pub source: Source,
}

/// What a [`GuestFile`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The bytes of a file of the host.
    Host(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A symbolic link to this target.
    Link(String),
}

/// Why something cannot be a subject.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It cannot be read.
    #[error("cannot read the subject {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Fetching it failed, or it cannot be had here.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl Subject {
    /// Our own tools: the static program `kmod` in the directory of guest programs.
    pub fn ours(guest_dir: &Path) -> Result<Subject, SubjectError> {
        Subject::from_path(&guest_dir.join("kmod"), &[])
    }

    /// A program of the user's own (taken for the command of its name, or for all that it answers to), or a directory of
    /// tools. Libraries are found by reading ELF headers, in `lib_dirs` and then the host's directories; nothing is run.
    pub fn from_path(path: &Path, _lib_dirs: &[PathBuf]) -> Result<Subject, SubjectError> {
        Err(SubjectError::Read { path: path.to_owned(), source: io::ErrorKind::Unsupported.into() })
    }

    /// Tools from a package, by the name of the catalogue: `kmod-30`, `kmod-34`, `busybox`.
    pub fn fetch(name: &str, _options: &Options<'_>) -> Result<Subject, SubjectError> {
        Err(FetchError::Unavailable { name: name.to_owned(), reason: "fetching is under construction".to_owned() }
            .into())
    }

    /// What reports call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The commands that it brings, sorted; each is at `/sbin/COMMAND` in the guest.
    pub fn commands(&self) -> &[String] {
        &self.commands
    }

    /// What goes into the guest.
    pub fn files(&self) -> &[GuestFile] {
        &self.files
    }

    /// Content hash, for cache keys.
    pub fn id(&self) -> &str {
        &self.id
    }
}
