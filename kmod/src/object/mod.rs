//! Module files: compression, ELF sections (`.modinfo`, exports, imports, versions) and signature.
//!
//! [`read_module`] returns the whole file, decompressed, for a loader. [`Module::open`] reads only the header and the section
//! table of an uncompressed file, and then each section on demand, for depmod and modinfo.
//!
//! Every count, offset and size in the file is checked against the file before it is used. Decompressed data has a limit, which
//! is checked as the data grows.

pub mod compress;
mod der;
pub mod elf;
pub mod modinfo;
mod names;
pub mod signature;
mod strip;
pub mod symbols;
mod xz;
mod zstd;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

pub use compress::{Compression, Damage};
pub use elf::ElfModule;
pub use modinfo::Modinfo;
pub(crate) use names::own_names;
pub use signature::Signature;
pub(crate) use strip::strip;

use crate::file;
use elf::FileSource;

/// The limits for reading a module file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of the decompressed module, in bytes. A module with full debug information has a few hundred MiB.
    pub size: u64,
    /// The dictionary of the xz decoder, in bytes. The other decoders need less than 200 KiB beyond the module.
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
    /// The file; empty for bytes in memory.
    pub path: PathBuf,
    /// What is wrong; part of the text.
    pub kind: ObjectErrorKind,
}

/// What is wrong with a module file.
#[derive(Debug, thiserror::Error)]
pub enum ObjectErrorKind {
    /// The file could not be read.
    #[error("{}", crate::sys::strerror_io(.0))]
    Io(io::Error),
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The file could not be decompressed.
    #[error("could not decompress as {format}: {damage}")]
    Decompress {
        /// The format, by the first bytes of the file.
        format: Compression,
        /// What is wrong with the data.
        damage: Damage,
    },
    /// The compressed data has no content.
    #[error("empty when decompressed as {0}")]
    EmptyContent(Compression),
    /// The module is larger than [`Limits::size`].
    #[error("has more than {0} bytes when decompressed")]
    TooLarge(u64),
    /// The window is larger than [`Limits::window`].
    #[error("needs more than {limit} bytes of memory to decompress as {format}")]
    Window {
        /// The format.
        format: Compression,
        /// The limit.
        limit: u64,
    },
    /// The file is not an ELF file.
    #[error("not an ELF file: it starts with neither ELF's magic nor that of a known compression")]
    NotElf,
    /// The ELF file is malformed.
    #[error("malformed ELF file: {0}")]
    Elf(&'static str),
}

impl From<io::Error> for ObjectErrorKind {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl ObjectErrorKind {
    /// Returns the errno that the C tools report for this error.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Io(error) => match (error.raw_os_error(), error.kind()) {
                (Some(errno), _) => errno,
                (None, io::ErrorKind::InvalidInput) => libc::EINVAL,
                (None, io::ErrorKind::FileTooLarge) => libc::EFBIG,
                (None, _) => libc::EIO,
            },
            Self::Empty | Self::EmptyContent(_) => libc::EINVAL,
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
    /// The bytes of the ELF file, not yet checked.
    pub bytes: Vec<u8>,
    /// How the file was compressed.
    pub compression: Compression,
}

/// Reads a whole module file and decompresses it. The format is detected by the first bytes, not by the name.
///
/// # Errors
/// [`ObjectError`] when the file cannot be read or decompressed within the limits.
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

/// Detects the compression of a module file by its first bytes.
///
/// # Errors
/// [`ObjectError`] when the file cannot be read.
pub fn read_compression(path: &Path) -> Result<Compression, ObjectError> {
    let read = || {
        let (file, _) = file::open_regular(path)?;
        let mut magic = [0; compress::MAGIC_LENGTH];
        let length = file::read_at_most(&file, &mut magic, 0)?;
        Ok(Compression::sniff(&magic[..length]))
    };
    read().map_err(|kind: ObjectErrorKind| kind.at(path))
}

/// An open module file.
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

/// Buffers that are reused when many modules are read.
#[derive(Debug, Default)]
pub struct Scratch {
    packed: Vec<u8>,
    plain: Vec<u8>,
}

impl Scratch {
    /// The largest buffer that is kept for the next module, in bytes; few modules are larger.
    const LIMIT: usize = 64 << 20;

    /// Reclaims the buffer of a module.
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
    /// Opens a module file. A compressed file is decompressed.
    ///
    /// # Errors
    /// As [`read_module`].
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, ObjectError> {
        Self::open_with(path, limits, &mut Scratch::default())
    }

    /// Like [`Module::open`], with buffers to reuse.
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

    /// Returns the appended signature, for [`Signature::parse`]; `None` when the module is not signed. Only these bytes are
    /// read.
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

    /// Returns how the file is compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Reads the ELF header and the section table.
    ///
    /// # Errors
    /// [`ObjectError`] when the file is not an ELF file, or a malformed one.
    pub fn elf(&self) -> Result<ElfModule<'_>, ObjectError> {
        ElfModule::from_source(self.source()).map_err(|kind| match kind {
            ObjectErrorKind::Empty if self.compression != Compression::None => {
                ObjectErrorKind::EmptyContent(self.compression).at(&self.path)
            }
            kind => kind.at(&self.path),
        })
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
