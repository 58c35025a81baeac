//! A module file: how it is compressed, and what its ELF sections say (`.modinfo`, exports, imports, versions), and
//! its signature.
//!
//! [`read_module`] gives the whole file, decompressed: what a loader needs. [`Module::open`] reads no more than its header and section
//! table when the file is not compressed, and then each section that is asked for: what depmod and modinfo need.
//!
//! Every count, offset and size in the file is checked against the file before it is used; what is decompressed is capped, and
//! checked as it grows.

pub mod compress;
mod der;
pub mod elf;
pub mod modinfo;
pub mod signature;
pub mod symbols;
mod xz;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

pub use compress::Compression;
pub use elf::ElfModule;
pub use modinfo::Modinfo;
pub use signature::Signature;

use crate::file;
use elf::FileSource;

/// How much a module file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the module, decompressed. A module with all its debug information has some hundred MiB.
    pub size: u64,
    /// Bytes that a decompressor may take for its window.
    pub window: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 1 << 30, window: 128 << 20 }
    }
}

/// Why a module file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}", path = crate::config::show_path(path))]
pub struct ObjectError {
    /// The file; empty for bytes that did not come from one.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub kind: ObjectErrorKind,
}

/// What is wrong with a module file.
#[derive(Debug, thiserror::Error)]
pub enum ObjectErrorKind {
    /// It could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It has no byte.
    #[error("the file is empty")]
    Empty,
    /// It could not be decompressed.
    #[error("could not decompress as {format}: {source}")]
    Decompress {
        /// The format that its first bytes announce.
        format: Compression,
        /// What the decompressor said.
        source: io::Error,
    },
    /// More bytes than [`Limits::size`].
    #[error("has more than {0} bytes when decompressed")]
    TooLarge(u64),
    /// A window beyond [`Limits::window`].
    #[error("needs more than {limit} bytes of memory to decompress as {format}")]
    Window {
        /// The format.
        format: Compression,
        /// The limit.
        limit: u64,
    },
    /// No ELF file.
    #[error("not an ELF file: it starts with neither ELF's magic nor that of a known compression")]
    NotElf,
    /// An ELF file with a part that is not as it must be.
    #[error("malformed ELF file: {0}")]
    Elf(&'static str),
}

impl ObjectErrorKind {
    /// The errno that the C tools would name for it, where there is one.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Io(error) => error.raw_os_error().unwrap_or(libc::EIO),
            Self::Empty => libc::EINVAL,
            Self::TooLarge(_) => libc::EFBIG,
            Self::Window { .. } => libc::ENOMEM,
            Self::Decompress { .. } | Self::NotElf | Self::Elf(_) => libc::ENOEXEC,
        }
    }

    fn at(self, path: &Path) -> ObjectError {
        ObjectError { path: path.to_owned(), kind: self }
    }
}

/// A whole module, decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleImage {
    /// The ELF file's bytes; nobody has looked yet whether they are one.
    pub bytes: Vec<u8>,
    /// How the file was compressed.
    pub compression: Compression,
}

/// Reads a module file whole, and decompresses it by its first bytes, whatever its name says.
///
/// # Errors
/// [`ObjectError`] when it cannot be read or decompressed within the limits.
pub fn read_module(path: &Path, limits: &Limits) -> Result<ModuleImage, ObjectError> {
    let read = || {
        let bytes = file::read_regular(path, limits.size)?;
        let compression = Compression::sniff(&bytes);
        let bytes = match compression {
            Compression::None => bytes,
            _ => compress::decompress(&bytes, limits)?,
        };
        Ok(ModuleImage { bytes, compression })
    };
    read().map_err(|kind: ObjectErrorKind| kind.at(path))
}

/// Reads how a module file is compressed, from its first bytes.
///
/// # Errors
/// [`ObjectError`] when it cannot be read.
pub fn read_compression(path: &Path) -> Result<Compression, ObjectError> {
    let read = || {
        let (file, _) = file::open_regular(path)?;
        let mut magic = [0; compress::MAGIC_LENGTH];
        let length = file::read_at_most(&file, &mut magic, 0)?;
        Ok(Compression::sniff(&magic[..length]))
    };
    read().map_err(|kind: ObjectErrorKind| kind.at(path))
}

/// A module file that is open for questions.
#[derive(Debug)]
pub struct Module {
    path: PathBuf,
    compression: Compression,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(FileSource),
    Memory(Vec<u8>),
}

/// Memory for one module after the other, where many are read.
#[derive(Debug, Default)]
pub struct Scratch {
    packed: Vec<u8>,
    plain: Vec<u8>,
}

impl Scratch {
    /// The most that is kept for the next module, in bytes: few modules have more.
    const LIMIT: usize = 64 << 20;

    /// Takes back what a module does not need any more.
    pub fn recycle(&mut self, module: Module) {
        if let Content::Memory(plain) = module.content {
            if plain.capacity() <= Self::LIMIT {
                self.plain = plain;
            }
        }
        if self.packed.capacity() > Self::LIMIT {
            self.packed = Vec::new();
        }
    }
}

impl Module {
    /// Opens a module file. One that is compressed is decompressed here.
    ///
    /// # Errors
    /// As [`read_module`].
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, ObjectError> {
        Self::open_with(path, limits, &mut Scratch::default())
    }

    /// As [`Module::open`], with memory that was used before.
    ///
    /// # Errors
    /// As [`read_module`].
    pub fn open_with(path: &Path, limits: &Limits, scratch: &mut Scratch) -> Result<Self, ObjectError> {
        let mut open = || {
            let (file, size) = file::open_regular(path)?;
            if size > limits.size {
                return Err(ObjectErrorKind::TooLarge(limits.size));
            }
            let source = FileSource::new(file, size)?;
            let compression = Compression::sniff(source.start());
            let content = match compression {
                Compression::None => Content::File(source),
                _ => {
                    source.read_all(&mut scratch.packed)?;
                    let mut plain = std::mem::take(&mut scratch.plain);
                    compress::decompress_into(&scratch.packed, &mut plain, limits)?;
                    Content::Memory(plain)
                }
            };
            Ok(Self { path: path.to_owned(), compression, content })
        };
        open().map_err(|kind: ObjectErrorKind| kind.at(path))
    }

    /// What is appended to the module as its signature, for [`Signature::parse`]; `None` when it is not signed. No more than
    /// these bytes is read, so that who does not ask does not pay.
    ///
    /// # Errors
    /// [`ObjectError`] when the file cannot be read.
    pub fn signature_bytes(&self) -> Result<Option<Cow<'_, [u8]>>, ObjectError> {
        let source = self.source();
        let read = || {
            let trailer = source.end(signature::TRAILER_LENGTH as u64)?;
            let length = trailer.as_deref().and_then(signature::appended_length);
            Ok(match length {
                Some(length) => source.end(length)?,
                None => None,
            })
        };
        read().map_err(|kind: ObjectErrorKind| kind.at(&self.path))
    }

    fn source(&self) -> elf::Source<'_> {
        match &self.content {
            Content::File(source) => elf::Source::File(source),
            Content::Memory(bytes) => elf::Source::Memory(bytes),
        }
    }

    /// How the file is compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Reads the ELF header and the section table.
    ///
    /// # Errors
    /// [`ObjectError`] when it is no ELF file, or a malformed one.
    pub fn elf(&self) -> Result<ElfModule<'_>, ObjectError> {
        ElfModule::from_source(self.source()).map_err(|kind| kind.at(&self.path))
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
