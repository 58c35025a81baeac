//! Why a subject is not usable.

use super::elf::ElfError;
use super::subject::COMMANDS;
use crate::cache::CacheError;
use crate::catalogue::CatalogueError;
use crate::packages::apt::AptError;
use std::io;
use std::path::PathBuf;

/// The subject is not usable.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not executable.
    #[error("the subject {} is not executable", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The file is neither a program nor a script.
    #[error("the subject {} is neither an ELF program nor a script (no #! line)", path.display())]
    NotAProgram {
        /// The file.
        path: PathBuf,
    },
    /// The program is damaged, or for another machine.
    #[error("cannot use the program {}", path.display())]
    UnusableProgram {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ElfError,
    },
    /// A library, or the dynamic loader, was not found.
    #[error("the subject {} needs {library} (for {needed_by}), which was not found", path.display())]
    MissingLibrary {
        /// The subject.
        path: PathBuf,
        /// The missing library.
        library: String,
        /// The program or library that needs it.
        needed_by: String,
    },
    /// The interpreter of a script is not on this host.
    #[error("the subject {} is a script whose interpreter, {interpreter}, does not exist on this host", path.display())]
    MissingInterpreter {
        /// The script.
        path: PathBuf,
        /// Its interpreter.
        interpreter: String,
    },
    /// The subject provides no command.
    #[error("the subject {} provides none of the commands {}", path.display(), COMMANDS.join(", "))]
    NoCommand {
        /// The file or directory.
        path: PathBuf,
    },
    /// Our own tools are not built.
    #[error("kmodlab's module tools are not in {}", dir.display())]
    OursNotBuilt {
        /// The directory of guest programs.
        dir: PathBuf,
    },
    /// It is not available on this machine: a reason to skip, not to fail.
    #[error("{name} is not available: {reason}")]
    Unavailable {
        /// The name of the subject.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The name is unknown.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// apt or dpkg failed, or a download is damaged.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}
