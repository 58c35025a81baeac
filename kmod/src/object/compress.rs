//! Compression of module files: detection by magic, and decompression into memory up to a limit.

use std::fmt;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::{Limits, ObjectErrorKind, xz, zstd};
use crate::file::out_of_memory;
use crate::memory;
use crate::stack::run_with_stack;

/// The number of leading bytes that [`Compression::sniff`] needs.
pub const MAGIC_LENGTH: usize = 6;

const XZ: &[u8] = b"\xfd7zXZ\0";
const GZIP: &[u8] = b"\x1f\x8b";

/// How a module file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// Not compressed, or in an unknown format.
    None,
    /// `.ko.xz`
    Xz,
    /// `.ko.gz`
    Gzip,
    /// `.ko.zst`
    Zstd,
}

impl Compression {
    /// Detects the format by the first bytes of a file.
    #[must_use]
    pub fn sniff(start: &[u8]) -> Self {
        match start {
            _ if start.starts_with(XZ) => Self::Xz,
            _ if start.starts_with(zstd::MAGIC) => Self::Zstd,
            _ if start.starts_with(GZIP) => Self::Gzip,
            _ => Self::None,
        }
    }

    /// Returns the kernel's name for the format, as in /sys/module/compression; empty for none.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The data ends early.
    #[error("unexpected end of input")]
    Truncated,
    /// The data is not valid.
    #[error("the data is corrupt")]
    Corrupt,
    /// The content has another checksum than stored.
    #[error("the checksum does not match")]
    Checksum,
    /// Something else follows the compressed data.
    #[error("unknown data follows the compressed data")]
    Trailing,
    /// The data needs a dictionary, and none exists for modules.
    #[error("the data needs a dictionary")]
    Dictionary,
    /// The data uses an unknown or unsupported feature of the format.
    #[error("unsupported compression options")]
    Unsupported,
}

/// The suffixes of module file names.
const SUFFIXES: [&[u8]; 4] = [b".ko", b".ko.xz", b".ko.gz", b".ko.zst"];

/// Returns the name of a module file without the suffix of its compression: `x.ko` for `x.ko.xz`.
#[must_use]
pub fn uncompressed_name(name: &[u8]) -> Option<&[u8]> {
    let stem = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(*suffix))?;
    Some(&name[..stem.len() + b".ko".len()])
}

/// Decompresses a whole file. An uncompressed file is returned unchanged.
///
/// # Errors
/// [`ObjectErrorKind::Decompress`], [`ObjectErrorKind::TooLarge`], [`ObjectErrorKind::Window`]; [`ObjectErrorKind::Io`] with
/// `ENOMEM` when the content does not fit into memory.
pub fn decompress(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, ObjectErrorKind> {
    let mut out = Vec::new();
    decompress_into(bytes, &mut out, limits)?;
    Ok(out)
}

/// Like [`decompress`], but replaces the content of `out` and reuses its memory.
///
/// # Errors
/// As [`decompress`]; `out` then contains the data before the error.
pub fn decompress_into(bytes: &[u8], out: &mut Vec<u8>, limits: &Limits) -> Result<(), ObjectErrorKind> {
    let format = Compression::sniff(bytes);
    out.clear();
    match format {
        Compression::None => {
            if bytes.len() as u64 > limits.size {
                return Err(ObjectErrorKind::TooLarge(limits.size));
            }
            reserve(out, bytes.len())?;
            out.extend_from_slice(bytes);
        }
        Compression::Xz => run_with_stack(|| xz::decompress(bytes, out, limits))?,
        Compression::Gzip => run_with_stack(|| fill(MultiGzDecoder::new(bytes), out, limits, gzip_error))?,
        Compression::Zstd => zstd::decompress(bytes, out, limits)?,
    }
    Ok(())
}

/// Appends the output of a decoder, up to the limit. `cause` classifies the errors of the decoder.
pub(super) fn fill(
    mut decoder: impl Read,
    out: &mut Vec<u8>,
    limits: &Limits,
    cause: impl Fn(&io::Error) -> ObjectErrorKind,
) -> Result<(), ObjectErrorKind> {
    /// The size of a read, in bytes. A decoder may buffer as much again.
    const STEP: u64 = 1 << 20;
    loop {
        let room = limits.size.saturating_sub(out.len() as u64).saturating_add(1).min(STEP);
        reserve(out, room as usize)?;
        match decoder.by_ref().take(room).read_to_end(out) {
            Ok(_) if out.len() as u64 > limits.size => return Err(ObjectErrorKind::TooLarge(limits.size)),
            Ok(length) if (length as u64) < room => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(cause(&error)),
        }
    }
}

/// Reserves memory for more bytes of a module, see [`memory::reserve`].
pub(super) fn reserve(out: &mut Vec<u8>, additional: usize) -> io::Result<()> {
    memory::reserve(out, additional).map_err(out_of_memory)
}

/// Classifies an error of the gzip decoder.
fn gzip_error(error: &io::Error) -> ObjectErrorKind {
    let damage = match error.kind() {
        io::ErrorKind::UnexpectedEof => Damage::Truncated,
        _ if error.to_string().contains("checksum") => Damage::Checksum,
        _ => Damage::Corrupt,
    };
    ObjectErrorKind::Decompress { format: Compression::Gzip, damage }
}
