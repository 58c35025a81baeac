//! Containers of all formats, built by hand from uncompressed blocks, with optional fields that real encoders never write.
//! The output of real compressors is in [`super::real`].

use super::real;
use arbitrary::Arbitrary;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub(super) enum Format {
    Gzip,
    Xz,
    Zstd,
}

/// One stream, member or frame, or the filler between two.
#[derive(Debug, Arbitrary)]
pub(super) enum Part {
    /// Built by hand.
    Built { content: Vec<Content>, shape: u8 },
    /// The output of a real compressor, by number.
    Real(u8),
    /// A part without content: padding of .xz, a skippable frame of .zst.
    Filler(u8),
}

/// The content of one block.
#[derive(Debug, Arbitrary)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// One byte, repeated.
    Run(u8, u16),
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Run(byte, count) => vec![*byte; usize::from(count % 2048)],
        }
    }
}

impl Part {
    /// The bytes in the file and their content. No file begins with filler.
    pub(super) fn make(&self, format: Format, is_first: bool) -> (Vec<u8>, Vec<u8>) {
        match (self, format) {
            (Self::Built { content, shape }, _) => {
                let blocks: Vec<Vec<u8>> = content.iter().map(Content::bytes).collect();
                let file = match format {
                    Format::Gzip => gzip(&blocks, *shape),
                    Format::Xz => xz(&blocks, *shape),
                    Format::Zstd => zstd(content, *shape),
                };
                (file, blocks.concat())
            }
            (Self::Real(number), _) => real::stream(format, usize::from(*number)),
            (Self::Filler(length), Format::Xz) if !is_first => (vec![0; 4 * usize::from(length % 8)], Vec::new()),
            (Self::Filler(length), Format::Zstd) if !is_first => {
                let magic = 0x184d_2a50 | u32::from(length % 16);
                let frame =
                    [&magic.to_le_bytes()[..], &u32::from(*length).to_le_bytes(), &vec![0xee; usize::from(*length)]];
                (frame.concat(), Vec::new())
            }
            (Self::Filler(_), _) => (Vec::new(), Vec::new()),
        }
    }
}

/// A member: RFC 1952, its blocks RFC 1951, 3.2.4.
fn gzip(blocks: &[Vec<u8>], shape: u8) -> Vec<u8> {
    let (extra, name, comment) = (shape & 4 != 0, shape & 8 != 0, shape & 16 != 0);
    let flags = shape & 0b1_1100;
    let mut out = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
    if extra {
        out.extend(b"\x03\x00abc");
    }
    for text in [name, comment].into_iter().filter(|has| *has) {
        out.extend(if text { &b"x.ko\0"[..] } else { b"" });
    }
    let block = |out: &mut Vec<u8>, bytes: &[u8], is_last: bool| {
        let length = bytes.len() as u16;
        out.push(u8::from(is_last));
        out.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        out.extend_from_slice(bytes);
    };
    blocks.iter().for_each(|bytes| block(&mut out, bytes, false));
    block(&mut out, b"", true);
    let plain = blocks.concat();
    out.extend(crc32(&plain).to_le_bytes());
    out.extend((plain.len() as u32).to_le_bytes());
    out
}

/// A stream: the .xz file format 1.2.1. Each block has two chunks.
fn xz(blocks: &[Vec<u8>], shape: u8) -> Vec<u8> {
    let check = [0_u8, 1, 4][usize::from(shape % 3)];
    let flags = [0, check];
    let mut out = [&b"\xfd7zXZ\0"[..], &flags, &crc32(&flags).to_le_bytes()].concat();
    let mut records = Vec::new();
    for plain in blocks {
        let start = out.len();
        // One filter, LZMA2, with a dictionary of at least 4 KiB.
        let header = [2, 0, 0x21, 1, shape >> 4, 0, 0, 0];
        out.extend([&header[..], &crc32(&header).to_le_bytes()].concat());
        let (first, second) = plain.split_at(plain.len() / 2);
        let mut control = 1;
        for chunk in [first, second].into_iter().filter(|chunk| !chunk.is_empty()) {
            out.push(control);
            out.extend((chunk.len() as u16 - 1).to_be_bytes());
            out.extend_from_slice(chunk);
            control = 2;
        }
        out.push(0);
        let unpadded = out.len() - start;
        pad(&mut out, start);
        match check {
            1 => out.extend(crc32(plain).to_le_bytes()),
            4 => out.extend(crc64(plain).to_le_bytes()),
            _ => {}
        }
        let check_size = [0, 4, 8][usize::from(shape % 3)];
        records.push((unpadded + check_size, plain.len()));
    }
    let start = out.len();
    out.push(0);
    out.extend(number(records.len()));
    for (unpadded, plain) in records {
        out.extend([number(unpadded), number(plain)].concat());
    }
    pad(&mut out, start);
    let sum = crc32(&out[start..]);
    out.extend(sum.to_le_bytes());
    let size = ((out.len() - start) / 4 - 1) as u32;
    let end = [&size.to_le_bytes()[..], &flags].concat();
    out.extend([&crc32(&end).to_le_bytes()[..], &end, b"YZ"].concat());
    out
}

fn pad(out: &mut Vec<u8>, start: usize) {
    while (out.len() - start) % 4 != 0 {
        out.push(0);
    }
}

/// A variable-length integer: seven bits in each byte, the low ones first.
fn number(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// A frame: RFC 8878, 3.1.1.
fn zstd(blocks: &[Content], shape: u8) -> Vec<u8> {
    let plain: usize = blocks.iter().map(|content| content.bytes().len()).sum();
    let mut out = b"\x28\xb5\x2f\xfd".to_vec();
    match (shape & 1, u8::try_from(plain)) {
        // A single segment: the content is the window, and its size is given.
        (1, Ok(size)) => out.extend([0x20, size]),
        // A window of 128 KiB to 8 MiB; the size is not given, or in four bytes.
        (_, _) if shape & 2 == 0 => out.extend([0, (7 + shape % 7) << 3]),
        (_, _) => out.extend([&[0x80, 7 << 3][..], &(plain as u32).to_le_bytes()].concat()),
    }
    for content in blocks {
        let (kind, bytes) = match content {
            Content::Run(byte, _) => (1, vec![*byte]),
            Content::Bytes(bytes) => (0, bytes.clone()),
        };
        out.extend(&((content.bytes().len() as u32) << 3 | kind << 1).to_le_bytes()[..3]);
        out.extend(bytes);
    }
    // The last block is empty.
    out.extend([1, 0, 0]);
    out
}

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let next =
        |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ ((sum & 1) * 0xedb8_8320));
    !bytes.iter().fold(!0, next)
}

fn crc64(bytes: &[u8]) -> u64 {
    let next = |sum: u64, byte: &u8| {
        (0..8).fold(sum ^ u64::from(*byte), |sum, _| (sum >> 1) ^ ((sum & 1) * 0xc96c_5795_d787_0f42))
    };
    !bytes.iter().fold(!0, next)
}
