//! The `.bin` indexes of a module directory: tries that map a key (a module name, an alias pattern, a symbol) to values with
//! priorities. The reader accepts every node order that depmod has ever written.
//!
//! All integers are big-endian. The file starts with [`MAGIC`], [`VERSION`] and the offset of the root node. The high four bits of
//! an offset say which parts the node has, the low 28 are its position in the file; 0 means "no node":
//!
//! ```text
//! [prefix bytes, NUL] [first: u8, last: u8, child offsets: u32 × (last - first + 1)] [count: u32, (priority: u32, value, NUL) × count]
//!  PREFIX              CHILDREN                                                       VALUES
//! ```
//!
//! The byte that selects a child is not repeated in the child's prefix. Keys are 7-bit.

mod bytes;
mod read;
mod write;

use std::io;
use std::path::PathBuf;

pub use read::Index;
pub use write::{IndexWriter, InsertError, Pair};

/// The first four bytes of an index.
pub const MAGIC: u32 = 0xb007_f457;
/// The version that follows the magic: major 2, minor 1. Readers check the major version only.
pub const VERSION: u32 = 0x0002_0001;
/// The longest key in bytes: no name or alias is longer.
pub const KEY_LIMIT: usize = 4096;

const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;
const OFFSET_MASK: u32 = 0x0fff_ffff;

/// A value in an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    /// Values are sorted by ascending priority; depmod writes the position of the module.
    pub priority: u32,
    /// The value: a module name, or a line of modules.dep.
    pub bytes: Vec<u8>,
}

/// Why an index could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}", path = crate::config::show_path(path))]
pub struct IndexError {
    /// The file; empty for an index in memory.
    pub path: PathBuf,
    /// What is wrong; part of the text.
    pub kind: IndexErrorKind,
}

impl IndexError {
    /// Returns whether the file does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(&self.kind, IndexErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Copies the error, to return it again.
    pub(crate) fn copy(&self) -> Self {
        let kind = match &self.kind {
            IndexErrorKind::Io(error) => IndexErrorKind::Io(crate::file::copy_error(error)),
            IndexErrorKind::Short(length) => IndexErrorKind::Short(*length),
            IndexErrorKind::Magic(magic) => IndexErrorKind::Magic(*magic),
            IndexErrorKind::Version(version) => IndexErrorKind::Version(*version),
            IndexErrorKind::Corrupt { offset, what } => IndexErrorKind::Corrupt { offset: *offset, what },
        };
        Self { path: self.path.clone(), kind }
    }

    /// Returns whether the file is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.kind, IndexErrorKind::Short(0))
    }
}

/// What is wrong with an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexErrorKind {
    /// The file could not be read.
    #[error("could not be read: {}", crate::sys::strerror_io(.0))]
    Io(io::Error),
    /// The file is shorter than the header of an index.
    #[error("has {0} bytes, fewer than the 12 of an index's header; run depmod")]
    Short(usize),
    /// The file is not an index.
    #[error("magic check fail: {0:x} instead of {MAGIC:x}; run depmod")]
    Magic(u32),
    /// The index has another major version.
    #[error("major version check fail: {0} instead of {major}; run depmod", major = VERSION >> 16)]
    Version(u32),
    /// A node is malformed.
    #[error("corrupt at offset {offset:#x}: {what}; run depmod")]
    Corrupt {
        /// The position in the file.
        offset: usize,
        /// What was found there.
        what: &'static str,
    },
}

impl From<io::Error> for IndexErrorKind {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests;
