//! The zstd decoder (RFC 8878).
//!
//! A module is decompressed into memory as a whole, so that the output itself is the window: a frame needs no memory beyond its
//! content and some 150 KiB for tables and literals, whatever window it declares. All memory that a file can claim is reserved
//! fallibly and only as far as its remaining bytes can produce output. Nothing recurses, and no buffer is on the stack.

mod bits;
mod block;
mod fse;
mod huffman;
mod sequences;
mod xxhash;

use super::compress::{Damage, reserve};
use super::{Compression, Limits, ObjectErrorKind};
use crate::file::out_of_memory;
use block::BlockDecoder;
use xxhash::xxh64;

pub(super) const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// The maximum size of a block, compressed or not, in bytes (3.1.1.2.4).
const BLOCK_LIMIT: usize = 128 << 10;

/// Why a frame cannot be decoded.
#[derive(Debug)]
enum Error {
    Damage(Damage),
    /// The output exceeds the limit.
    TooLarge,
    /// Not enough memory for the output.
    Memory,
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

/// Appends the content of all frames. A file can contain several frames, and skippable ones.
pub(super) fn decompress(bytes: &[u8], out: &mut Vec<u8>, limits: &Limits) -> Result<(), ObjectErrorKind> {
    let mut decoder = BlockDecoder::default();
    let mut input = Input(bytes);
    let mut frames = || -> Result<(), Error> {
        while !input.0.is_empty() {
            frame(&mut input, out, limits.size, &mut decoder)?;
        }
        Ok(())
    };
    frames().map_err(|error| match error {
        Error::Damage(damage) => ObjectErrorKind::Decompress { format: Compression::Zstd, damage },
        Error::TooLarge => ObjectErrorKind::TooLarge(limits.size),
        Error::Memory => out_of_memory(error).into(),
    })
}

fn frame(input: &mut Input<'_>, out: &mut Vec<u8>, limit: u64, decoder: &mut BlockDecoder) -> Result<(), Error> {
    // The first frame has a magic: it is the reason why this decoder is used.
    let magic = input.take(4).map_err(|_| Damage::Trailing)?;
    match magic {
        MAGIC => {}
        [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            let length = input.number(4)?;
            input.take(usize::try_from(length).map_err(|_| Damage::Truncated)?)?;
            return Ok(());
        }
        _ => return Err(Damage::Trailing.into()),
    }
    let header = FrameHeader::read(input)?;
    let start = out.len();
    if let Some(size) = header.content_size {
        if size > limit.saturating_sub(start as u64) {
            return Err(Error::TooLarge);
        }
        // A block of four bytes has at most BLOCK_LIMIT of content: the size cannot claim more.
        let most = (input.0.len() / 4 + 1).saturating_mul(BLOCK_LIMIT);
        let size = usize::try_from(size).map_or(most, |size| size.min(most));
        // With room for another block: the last one does not move the output then.
        reserve(out, size + BLOCK_LIMIT).map_err(|_| Error::Memory)?;
    }
    decoder.reset();
    loop {
        let header = input.number(3)?;
        let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, (header >> 3) as usize);
        if size > BLOCK_LIMIT {
            return Err(Damage::Corrupt.into());
        }
        reserve(out, BLOCK_LIMIT).map_err(|_| Error::Memory)?;
        match kind {
            0 => out.extend_from_slice(input.take(size)?),
            1 => {
                let byte = input.take(1)?[0];
                out.resize(out.len() + size, byte);
            }
            2 => decoder.decode(input.take(size)?, start, out)?,
            _ => return Err(Damage::Corrupt.into()),
        }
        if out.len() as u64 > limit {
            return Err(Error::TooLarge);
        }
        if is_last {
            break;
        }
    }
    let content = &out[start..];
    if header.content_size.is_some_and(|size| size != content.len() as u64) {
        return Err(Damage::Corrupt.into());
    }
    if header.has_checksum && input.number(4)? != xxh64(content) & 0xffff_ffff {
        return Err(Damage::Checksum.into());
    }
    Ok(())
}

/// The rest of the file.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damage::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads a little-endian number of up to eight bytes.
    fn number(&mut self, length: usize) -> Result<u64, Damage> {
        Ok(self.take(length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// The fields of a frame header that are needed here (3.1.1.1).
struct FrameHeader {
    content_size: Option<u64>,
    has_checksum: bool,
}

impl FrameHeader {
    fn read(input: &mut Input<'_>) -> Result<Self, Damage> {
        let descriptor = input.number(1)?;
        let is_single_segment = descriptor & 0x20 != 0;
        // The reserved bit: a later version of the format.
        if descriptor & 8 != 0 {
            return Err(Damage::Unsupported);
        }
        // The window size: the output is the window.
        if !is_single_segment {
            input.take(1)?;
        }
        let dictionary = input.number([0, 1, 2, 4][(descriptor & 3) as usize])?;
        let content_size = match (descriptor >> 6, is_single_segment) {
            (0, false) => None,
            (0, true) => Some(input.number(1)?),
            (1, _) => Some(input.number(2)? + 256),
            (2, _) => Some(input.number(4)?),
            _ => Some(input.number(8)?),
        };
        if dictionary != 0 {
            return Err(Damage::Dictionary);
        }
        Ok(Self { content_size, has_checksum: descriptor & 4 != 0 })
    }
}

#[cfg(test)]
mod tests;
