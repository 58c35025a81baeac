//! Messages for the user that do not end a run.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::index::InsertError;
use crate::log::Priority;
use crate::name::{Escaped, NameError};
use crate::object::{ObjectError, ObjectErrorKind};
use crate::sys::{strerror, strerror_io};

/// A message for the user. Its `Display` is the text, without the tool's name and the priority.
#[derive(Debug, thiserror::Error)]
pub enum Notice {
    /// A directory below the module directory cannot be read; its modules are not listed.
    #[error("could not open directory {}: {}", crate::config::show_path(path), strerror_io(cause))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A symbolic link that leads nowhere and has the name of a module or of a searched directory; it is left out.
    #[error(
        "could not follow symbolic link {} to {}: {}",
        crate::config::show_path(path),
        crate::config::show_path(target),
        strerror_io(cause)
    )]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// Its target.
        target: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A module file whose path cannot be written to the lists; it is left out.
    #[error("{}: {why}; the module is left out", crate::config::show_path(path))]
    Unlistable {
        /// The file.
        path: PathBuf,
        /// Why the path cannot be written.
        why: &'static str,
    },
    /// A module file that cannot be read completely; it is listed with the parts that could be read.
    #[error("failed to load symbols from {}: {}", crate::config::show_path(&.0.path), unreadable(&.0.kind))]
    Unreadable(ObjectError),
    /// The module directory, which contains the lists of the kernel's build, cannot be read.
    #[error("could not open directory {}: {}", crate::config::show_path(path), strerror_io(cause))]
    MissingDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A list of the kernel's build cannot be read.
    #[error("could not open {name} at {}: {}", crate::config::show_path(dir), strerror_io(cause))]
    MissingList {
        /// Its name.
        name: &'static str,
        /// The module directory.
        dir: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Another process holds the lock of the output directory.
    #[error("another process has locked {}; waiting up to 2 more seconds", crate::config::show_path(path))]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The cache cannot be written: the next run has to read all modules.
    #[error("could not write the cache {}: {}", crate::config::show_path(path), strerror_io(cause))]
    Cache {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A line of modules.builtin that does not name a module.
    #[error("Invalid modules.builtin line: {}", Escaped(.0))]
    BuiltinLine(Vec<u8>),
    /// An alias that is in the text list only, because the index cannot contain it.
    #[error("{} (the alias of {} is left out of the index)", capital(error), Escaped(.module))]
    Alias {
        /// The module.
        module: Vec<u8>,
        /// What is wrong with the alias.
        error: NameError,
    },
    /// A key that is in the text list only, because the index cannot contain it.
    #[error("Module index: {0}")]
    Key(InsertError),
    /// A value of `.modinfo` that cannot be written as a line.
    #[error("{}: its {key} cannot stand in a list: {}; left out", crate::config::show_path(path), Escaped(.value))]
    Value {
        /// The module file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// The value.
        value: Vec<u8>,
    },
    /// A module with the alias of a device node but without its numbers.
    #[error(
        "Module '{}' has devname ({}) but lacks major and minor information. Ignoring.",
        Escaped(.module), Escaped(.devname)
    )]
    Devname {
        /// The module.
        module: Vec<u8>,
        /// The node.
        devname: Vec<u8>,
    },
    /// An entry that an index contains more than once.
    #[error("duplicate {what}: {} {}", Escaped(.key), Escaped(.value))]
    Duplicate {
        /// The kind of entry.
        what: &'static str,
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// A module needs a symbol that neither the kernel nor a module exports.
    #[error("{} needs unknown symbol {}", crate::config::show_path(path), Escaped(.symbol))]
    UnknownSymbol {
        /// The module file.
        path: PathBuf,
        /// The symbol.
        symbol: Vec<u8>,
    },
    /// A module was built against another version of a symbol.
    #[error("{} disagrees about version of symbol {}", crate::config::show_path(path), Escaped(.symbol))]
    SymbolVersion {
        /// The module file.
        path: PathBuf,
        /// The symbol.
        symbol: Vec<u8>,
    },
    /// A module needs another one; the symbol is the first that it imports from it.
    #[error("{} needs \"{}\": {}", crate::config::show_path(path), Escaped(.symbol), crate::config::show_path(owner))]
    Needs {
        /// The module file.
        path: PathBuf,
        /// The symbol.
        symbol: Vec<u8>,
        /// The file of the module that exports it.
        owner: PathBuf,
    },
}

/// Returns the text of the errno that C kmod reports, and the cause unless it is the same.
fn unreadable(kind: &ObjectErrorKind) -> String {
    let (errno, cause) = (strerror(Errno::from_raw_os_error(kind.errno())), kind.to_string());
    if errno == cause { cause } else { format!("{errno} ({cause})") }
}

/// Capitalises the message about brackets, as in C kmod.
fn capital(error: &NameError) -> String {
    let text = error.to_string();
    match error {
        NameError::Bracket(_) => text.replacen('u', "U", 1),
        _ => text,
    }
}

impl Notice {
    /// Returns the priority with which the message is logged.
    #[must_use]
    pub fn priority(&self) -> Priority {
        match self {
            Self::Directory { .. }
            | Self::Unlistable { .. }
            | Self::Unreadable(_)
            | Self::BuiltinLine(_)
            | Self::Devname { .. } => Priority::Error,
            Self::Needs { .. } => Priority::Info,
            _ => Priority::Warning,
        }
    }
}
