//! What depmod tells its user while it goes on.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::index::InsertError;
use crate::log::Priority;
use crate::name::{Escaped, NameError};
use crate::object::ObjectError;
use crate::sys::{strerror, strerror_io};

/// Something worth telling; its `Display` is the message, without the tool's name and the priority.
#[derive(Debug, thiserror::Error)]
pub enum Notice {
    /// A directory below the module directory cannot be read; its modules are not listed.
    #[error("could not open directory {}: {}", crate::config::show_path(path), strerror_io(source))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A module file whose path cannot stand in the lists; it is not listed.
    #[error("{}: {why}; the module is left out", crate::config::show_path(path))]
    Unlistable {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        why: &'static str,
    },
    /// A module file that cannot be read, or not in part; it is listed with what is known.
    #[error("failed to load symbols from {}: {} ({})", crate::config::show_path(&.0.path), strerror(Errno::from_raw_os_error(.0.kind.errno())), .0.kind)]
    Unreadable(ObjectError),
    /// A list of the kernel's build is not there.
    #[error("could not open {name} at {}: {}", crate::config::show_path(dir), strerror_io(source))]
    MissingList {
        /// Its name.
        name: &'static str,
        /// The module directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The next run will have to read all modules.
    #[error("could not write the cache {}: {}", crate::config::show_path(path), strerror_io(source))]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of modules.builtin that names no module.
    #[error("Invalid modules.builtin line: {}", Escaped(.0))]
    BuiltinLine(Vec<u8>),
    /// An alias that is in the text and not in the index.
    #[error("{} (the alias of {} is left out of the index)", capital(error), Escaped(.module))]
    Alias {
        /// The module.
        module: Vec<u8>,
        /// What is wrong with it.
        error: NameError,
    },
    /// A key that is in the text and not in the index.
    #[error("Module index: {0}")]
    Key(InsertError),
    /// A value of a module's own information that cannot stand in a line.
    #[error("{}: its {key} cannot stand in a list: {}; left out", crate::config::show_path(path), Escaped(.value))]
    Value {
        /// The module file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// The value.
        value: Vec<u8>,
    },
    /// A module announces a device node without its numbers.
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
    /// What an index holds more than once.
    #[error("duplicate {what}: {} {}", Escaped(.key), Escaped(.value))]
    Duplicate {
        /// Of which kind.
        what: &'static str,
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// A module needs what nobody exports.
    #[error("{} needs unknown symbol {}", crate::config::show_path(path), Escaped(.symbol))]
    UnknownSymbol {
        /// The module file.
        path: PathBuf,
        /// The symbol.
        symbol: Vec<u8>,
    },
    /// A module was built for another version of a symbol.
    #[error("{} disagrees about version of symbol {}", crate::config::show_path(path), Escaped(.symbol))]
    SymbolVersion {
        /// The module file.
        path: PathBuf,
        /// The symbol.
        symbol: Vec<u8>,
    },
    /// A module needs another one; told with the first symbol that it needs of it.
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

/// C kmod's own message begins so.
fn capital(error: &NameError) -> String {
    let text = error.to_string();
    match error {
        NameError::Bracket(_) => text.replacen('u', "U", 1),
        _ => text,
    }
}

impl Notice {
    /// How grave it is.
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
