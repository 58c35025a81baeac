//! Writes xz files with uncompressed LZMA2 chunks and a choice of integrity checks. Every decoder must read them.
//! Source: the .xz file format, version 1.2.

use sha2::{Digest, Sha256};

/// The integrity check after a block's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// CRC-32, which the kernel's decoder supports.
    Crc32,
    /// SHA-256, which is valid but not supported by the kernel's decoder.
    Sha256,
}

/// Returns `data` as an xz file.
#[must_use]
pub fn encode(data: &[u8], check: Check) -> Vec<u8> {
    let (kind, digest) = match check {
        Check::Crc32 => (1, crc32(data).to_le_bytes().to_vec()),
        Check::Sha256 => (10, Sha256::digest(data).to_vec()),
    };
    let flags = [0, kind];
    let mut file = b"\xfd7zXZ\0".to_vec();
    file.extend(with_crc(&flags));

    // Block header: 12 bytes, one filter, no sizes; LZMA2 with a dictionary of 64 KiB.
    let header = with_crc(&[2, 0, 0x21, 1, 8, 0, 0, 0]);
    let mut chunks = Vec::new();
    for (number, chunk) in data.chunks(1 << 16).enumerate() {
        // 1: uncompressed, resets the dictionary; 2: uncompressed.
        chunks.push(if number == 0 { 1 } else { 2 });
        let length = u16::try_from(chunk.len() - 1).unwrap_or(u16::MAX);
        chunks.extend(length.to_be_bytes());
        chunks.extend(chunk);
    }
    chunks.push(0);
    let unpadded = header.len() + chunks.len() + digest.len();
    file.extend(&header);
    file.extend(&chunks);
    pad(&mut file);
    file.extend(digest);

    let mut index = vec![0, 1];
    number(&mut index, unpadded);
    number(&mut index, data.len());
    pad(&mut index);
    let index = with_crc(&index);
    let backward = u32::try_from(index.len() / 4 - 1).unwrap_or(u32::MAX);
    file.extend(&index);
    let footer = [&backward.to_le_bytes()[..], &flags].concat();
    file.extend(crc32(&footer).to_le_bytes());
    file.extend(footer);
    file.extend(b"YZ");
    file
}

fn with_crc(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc32(bytes).to_le_bytes()].concat()
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Appends a number, seven bits per byte, the lowest first.
fn number(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmod::object::{Limits, compress::decompress};

    #[test]
    fn an_encoded_file_decompresses_to_its_data() {
        for length in [1, 5, 1000, 1 << 16, (1 << 16) + 1, 200_000] {
            let data: Vec<u8> = (0..length).map(|n| (n * 7 % 251) as u8).collect();
            for check in [Check::Crc32, Check::Sha256] {
                let file = encode(&data, check);
                assert_eq!(file.len() % 4, 0);
                assert!(decompress(&file, &Limits::default()).unwrap() == data, "{length} {check:?}");
            }
        }
    }
}
