//! The `.bin` indexes of a module directory: tries from a key (a module name, an alias pattern, a symbol) to values with
//! a priority. One reader for every node order that depmod has ever written, and one writer.
//!
//! All integers are big-endian. The file opens with [`MAGIC`], [`VERSION`] and the offset of the root node. The high
//! four bits of an offset say what the node has, the low 28 where it stands; 0 stands for "no node":
//!
//! ```text
//! [prefix bytes, NUL] [first: u8, last: u8, child offsets: u32 × (last - first + 1)] [count: u32, (priority: u32, value, NUL) × count]
//!  PREFIX              CHILDREN                                                       VALUES
//! ```
//!
//! The byte that leads to a child is not repeated in the child's prefix. Keys are 7-bit.

mod bytes;
mod read;
mod write;

use std::io;
use std::path::PathBuf;

pub use read::Index;
pub use write::{IndexWriter, InsertError};

/// The first four bytes of an index.
pub const MAGIC: u32 = 0xb007_f457;
/// What stands behind the magic: major version 2, minor version 1. Readers look at the major one.
pub const VERSION: u32 = 0x0002_0001;
/// The longest key that is followed, in bytes: no name or alias is longer.
pub const KEY_LIMIT: usize = 4096;

const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;
const OFFSET_MASK: u32 = 0x0fff_ffff;

/// A value of an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    /// Lower comes first; depmod writes the module's place in its order.
    pub priority: u32,
    /// The value: a module's name, or a line of modules.dep.
    pub bytes: Vec<u8>,
}

/// Why an index could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}", path = crate::config::show_path(path))]
pub struct IndexError {
    /// The file; empty for an index that did not come from one.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub kind: IndexErrorKind,
}

impl IndexError {
    /// Whether there simply is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(&self.kind, IndexErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The same once more, for who asks again.
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

    /// Whether the file has no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.kind, IndexErrorKind::Short(0))
    }
}

/// What is wrong with an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexErrorKind {
    /// It could not be read.
    #[error("could not be read: {0}")]
    Io(#[from] io::Error),
    /// Shorter than its header.
    #[error("has {0} bytes, fewer than the 12 of an index's header; run depmod")]
    Short(usize),
    /// No index at all.
    #[error("magic check fail: {0:x} instead of {MAGIC:x}; run depmod")]
    Magic(u32),
    /// An index of another age.
    #[error("major version check fail: {0} instead of {major}; run depmod", major = VERSION >> 16)]
    Version(u32),
    /// A node that does not hold what it must.
    #[error("corrupt at offset {offset:#x}: {what}; run depmod")]
    Corrupt {
        /// Where in the file.
        offset: usize,
        /// What was found there.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests;
