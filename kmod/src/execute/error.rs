//! Why a module was not loaded, in the words that modprobe prints.

use super::{CommandFailure, OpenError, Reason};
use crate::config::{Mask, MaskProblem};
use crate::name::{Escaped, ModuleName};
use crate::sys::strerror;
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Why a module was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is loaded already, and [`LoadMode::first_time`](super::LoadMode::first_time) is set or the kernel returned `EEXIST`.
    #[error("Module already in kernel")]
    AlreadyLoaded,
    /// The kernel refused it.
    #[error("{}", Explained(*.errno, .module, .reason.as_ref()))]
    Refused {
        /// The module.
        module: ModuleName,
        /// The error of the system call.
        errno: Errno,
        /// The reason from the kernel log, if it can be read.
        reason: Option<Reason>,
    },
    /// It, or what it depends on, is masked.
    #[error("module '{module}' is masked by {mask}")]
    Masked {
        /// The masked module.
        module: ModuleName,
        /// The `mask` line.
        mask: Mask,
    },
    /// A part of kmod.d cannot be read, which may mask any module.
    #[error("every module is masked: {0}")]
    AllMasked(MaskProblem),
    /// There is not enough memory for its plan.
    #[error("{}", strerror(Errno::NOMEM))]
    Memory,
    /// Its file could not be opened.
    #[error("{}: {error}", Escaped(.path.as_os_str().as_bytes()))]
    Open {
        /// The file.
        path: PathBuf,
        /// The error.
        error: OpenError,
    },
    /// Its file could not be read or decompressed; the text names it.
    #[error("{0}")]
    Image(String),
    /// There is no file for this name.
    #[error("{}", strerror(Errno::NOSYS))]
    NoFile(ModuleName),
    /// Its install command failed.
    #[error("{}", strerror(Errno::INVAL))]
    Command {
        /// The module.
        module: ModuleName,
        /// The command, after the options were inserted.
        command: Vec<u8>,
        /// How it failed.
        failure: CommandFailure,
    },
}

impl LoadError {
    /// Returns whether this is usual for a name that the kernel requests: no such module exists, as for a device without a driver
    /// and for `alias NAME off`, or the kernel's command line blacklists it.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        matches!(self, Self::NoFile(_) | Self::Refused { reason: Some(Reason::Blacklisted), .. })
    }

    /// Returns the message to print ahead of the error itself, about the module that caused it.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::NoFile(module) => Some(format!("could not find module by name='{module}'")),
            Self::Command { module, command, failure } => {
                Some(format!("Error running install command '{}' for module {module}: {failure}", Escaped(command)))
            }
            Self::AlreadyLoaded
            | Self::Refused { .. }
            | Self::Masked { .. }
            | Self::AllMasked(_)
            | Self::Memory
            | Self::Open { .. }
            | Self::Image(_) => None,
        }
    }
}

/// An errno with the reason from the kernel log. `ENOENT` is not about a file here: a missing file is [`LoadError::Open`].
struct Explained<'a>(Errno, &'a ModuleName, Option<&'a Reason>);

impl std::fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(errno, module, reason) = self;
        match (*errno, reason) {
            (Errno::NOENT, None) => f.write_str("Unknown symbol in module, or unknown parameter (see dmesg)"),
            (errno, None) => f.write_str(&strerror(errno)),
            (Errno::NOENT, Some(Reason::UnknownParameter(_))) => f.write_str("Unknown parameter"),
            (Errno::NOENT, Some(_)) => f.write_str("Unknown symbol in module"),
            (errno, Some(_)) => f.write_str(&strerror(errno)),
        }?;
        reason.map_or(Ok(()), |reason| write!(f, ": {}", reason.about(module)))
    }
}
