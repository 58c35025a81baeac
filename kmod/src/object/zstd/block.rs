//! Compressed blocks (3.1.1.3): literals, then sequences.

use super::super::compress::Damage;
use super::BLOCK_LIMIT;
use super::huffman;
use super::sequences::SequenceDecoder;

/// Decodes the blocks of a frame. Its memory is used again for the next frame.
#[derive(Debug, Default)]
pub(super) struct BlockDecoder {
    huffman: huffman::Table,
    sequences: SequenceDecoder,
    literals: Vec<u8>,
}

impl BlockDecoder {
    /// Starts a frame.
    pub(super) fn reset(&mut self) {
        self.huffman.clear();
        self.sequences.reset();
    }

    /// Decodes a block and appends its content. `start` is where the frame starts in `out`.
    pub(super) fn decode(&mut self, block: &[u8], start: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
        let header = LiteralsHeader::read(block)?;
        let rest = &block[header.length..];
        let (literals, rest) = match header.kind {
            LiteralsKind::Raw => rest.split_at_checked(header.size).ok_or(Damage::Corrupt)?,
            LiteralsKind::Repeated => {
                let (&byte, rest) = rest.split_first().ok_or(Damage::Corrupt)?;
                self.literals.clear();
                self.literals.resize(header.size, byte);
                (&self.literals[..], rest)
            }
            LiteralsKind::Compressed { streams, compressed_size, has_table } => {
                let (mut packed, rest) = rest.split_at_checked(compressed_size).ok_or(Damage::Corrupt)?;
                if has_table {
                    packed = &packed[self.huffman.read(packed)?..];
                } else if !self.huffman.is_set() {
                    return Err(Damage::Corrupt);
                }
                self.literals.clear();
                self.literals.reserve(header.size);
                if streams == 1 {
                    self.huffman.decode(packed, header.size, &mut self.literals)?;
                } else {
                    self.decode_four(packed, header.size)?;
                }
                (&self.literals[..], rest)
            }
        };
        self.sequences.decode(rest, literals, start, out)
    }

    /// Decodes four streams; the sizes of the first three precede them.
    fn decode_four(&mut self, packed: &[u8], size: usize) -> Result<(), Damage> {
        let (sizes, mut rest) = packed.split_first_chunk::<6>().ok_or(Damage::Corrupt)?;
        let part = size.div_ceil(4);
        for pair in sizes.chunks_exact(2) {
            let length = usize::from(u16::from_le_bytes([pair[0], pair[1]]));
            let (stream, after) = rest.split_at_checked(length).ok_or(Damage::Corrupt)?;
            self.huffman.decode(stream, part, &mut self.literals)?;
            rest = after;
        }
        let last = size.checked_sub(3 * part).ok_or(Damage::Corrupt)?;
        self.huffman.decode(rest, last, &mut self.literals)
    }
}

/// The header of the literals section (3.1.1.3.1.1).
struct LiteralsHeader {
    kind: LiteralsKind,
    /// The number of literals.
    size: usize,
    /// The length of the header.
    length: usize,
}

enum LiteralsKind {
    Raw,
    /// One byte, repeated.
    Repeated,
    Compressed {
        streams: u8,
        compressed_size: usize,
        /// Whether a Huffman table precedes the streams. Otherwise that of an earlier block is used.
        has_table: bool,
    },
}

impl LiteralsHeader {
    fn read(block: &[u8]) -> Result<Self, Damage> {
        let first = *block.first().ok_or(Damage::Corrupt)?;
        let (kind, format) = (first & 3, first >> 2 & 3);
        let number = |length: usize| {
            let bytes = block.get(..length).ok_or(Damage::Corrupt)?;
            Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        let header = if kind < 2 {
            let (length, shift) = [(1, 3), (2, 4), (1, 3), (3, 4)][usize::from(format)];
            let kind = if kind == 0 { LiteralsKind::Raw } else { LiteralsKind::Repeated };
            Self { kind, size: (number(length)? >> shift) as usize, length }
        } else {
            let (length, bits, streams) = [(3, 10, 1), (3, 10, 4), (4, 14, 4), (5, 18, 4)][usize::from(format)];
            let sizes = number(length)? >> 4;
            let size = (sizes & ((1 << bits) - 1)) as usize;
            let compressed_size = (sizes >> bits) as usize;
            Self { kind: LiteralsKind::Compressed { streams, compressed_size, has_table: kind == 2 }, size, length }
        };
        if header.size > BLOCK_LIMIT { Err(Damage::Corrupt) } else { Ok(header) }
    }
}
