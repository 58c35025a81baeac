//! Compression of module files: detection by magic, and decompression into memory up to a limit.

use std::fmt;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::{Limits, ObjectErrorKind, xz};

/// The number of leading bytes that [`Compression::sniff`] needs.
pub const MAGIC_LENGTH: usize = 6;

const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
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
            _ if start.starts_with(ZSTD) => Self::Zstd,
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
/// [`ObjectErrorKind::Decompress`], [`ObjectErrorKind::TooLarge`], [`ObjectErrorKind::Window`].
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
            out.extend_from_slice(bytes);
        }
        Compression::Xz => xz::decompress(bytes, out, limits)?,
        Compression::Gzip => fill(MultiGzDecoder::new(bytes), out, format, limits)?,
        Compression::Zstd => zstd(bytes, out, limits)?,
    }
    Ok(())
}

/// Appends the output of a decoder, up to the limit.
pub(super) fn fill(
    mut decoder: impl Read,
    out: &mut Vec<u8>,
    format: Compression,
    limits: &Limits,
) -> Result<(), ObjectErrorKind> {
    /// The size of a read, in bytes. A decoder may buffer as much again.
    const STEP: u64 = 1 << 20;
    loop {
        let room = limits.size.saturating_sub(out.len() as u64).saturating_add(1).min(STEP);
        match decoder.by_ref().take(room).read_to_end(out) {
            Ok(_) if out.len() as u64 > limits.size => return Err(ObjectErrorKind::TooLarge(limits.size)),
            Ok(length) if (length as u64) < room => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                return Err(ObjectErrorKind::Window { format, limit: limits.window });
            }
            Err(source) => return Err(ObjectErrorKind::Decompress { format, source }),
        }
    }
}

/// Decompresses a file of several frames, some of which may be skippable.
fn zstd(bytes: &[u8], out: &mut Vec<u8>, limits: &Limits) -> Result<(), ObjectErrorKind> {
    let format = Compression::Zstd;
    let damaged = |source: io::Error| ObjectErrorKind::Decompress { format, source };
    let mut decoder = FrameDecoder::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(length) = skippable(rest) {
            rest = rest.get(length..).ok_or_else(|| damaged(io::ErrorKind::UnexpectedEof.into()))?;
            continue;
        }
        if zstd_window(rest).is_some_and(|window| window > limits.window) {
            return Err(ObjectErrorKind::Window { format, limit: limits.window });
        }
        let mut stream =
            StreamingDecoder::new_with_decoder(&mut rest, &mut decoder).map_err(|e| damaged(io::Error::other(e)))?;
        fill(&mut stream, out, format, limits)?;
        if decoder.get_checksum_from_data().is_some_and(|sum| Some(sum) != decoder.get_calculated_checksum()) {
            return Err(damaged(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match")));
        }
    }
    Ok(())
}

/// Returns the whole length of a skippable frame, if there is one.
fn skippable(bytes: &[u8]) -> Option<usize> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (length, _) = rest.split_first_chunk()?;
    let is_one = u32::from_le_bytes(*magic) & 0xffff_fff0 == 0x184d_2a50;
    is_one.then(|| (u32::from_le_bytes(*length) as usize).saturating_add(8))
}

/// Returns the window size in a frame header (RFC 8878, 3.1.1.1); `None` when the whole content is the window.
fn zstd_window(frame: &[u8]) -> Option<u64> {
    let &[descriptor, window] = frame.get(4..6)?.first_chunk()?;
    if descriptor & 0x20 != 0 {
        return None;
    }
    let base = 1_u64 << (10 + (window >> 3));
    Some(base + base / 8 * u64::from(window & 7))
}
