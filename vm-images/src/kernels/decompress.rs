//! Decompresses the payload of a bzImage. Pure.

use std::io::{self, Read};

/// Maximum size of an unpacked kernel.
const LARGEST: u64 = 1 << 30;

/// Decompresses the payload of a bzImage. For all formats except gzip, the size of the result follows the stream in four
/// bytes.
pub(crate) fn decompress(payload: &[u8]) -> Result<Vec<u8>, String> {
    let body = &payload[..payload.len().saturating_sub(4)];
    let mut out = Vec::new();
    let (format, result) = if payload.starts_with(&[0x1f, 0x8b]) {
        ("gzip", flate2::read::GzDecoder::new(payload).take(LARGEST).read_to_end(&mut out))
    } else if payload.starts_with(b"\xfd7zXZ\0") {
        ("xz", lzma_rust2::XzReader::new(body, false).take(LARGEST).read_to_end(&mut out))
    } else if payload.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = ruzstd::decoding::StreamingDecoder::new(body).map_err(io::Error::other);
        ("zstd", decoder.and_then(|decoder| decoder.take(LARGEST).read_to_end(&mut out)))
    } else if payload.starts_with(&LZ4_LEGACY) {
        ("lz4", lz4_legacy(body, &mut out))
    } else if payload.starts_with(b"\x7fELF") {
        return Ok(payload.to_vec());
    } else if payload.is_empty() {
        return Err("the compressed kernel is empty".to_owned());
    } else {
        let start: Vec<String> = payload.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(format!("unknown compression, not gzip, xz, zstd or lz4 (first bytes: {})", start.join(" ")));
    };
    // The decoders' own messages are Rust's Debug output in part; that the data is damaged is all they say.
    result.map_err(|_| format!("damaged {format} data"))?;
    Ok(out)
}

const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// Maximum output of one block of the legacy format.
const LZ4_BLOCK: usize = 8 << 20;

/// Decodes lz4's legacy frame: blocks, each preceded by its length.
fn lz4_legacy(stream: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let mut rest = &stream[LZ4_LEGACY.len()..];
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        if *length == LZ4_LEGACY {
            rest = tail;
            continue;
        }
        let (block, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(broken)?;
        lz4_block(block, out).ok_or_else(broken)?;
        rest = tail;
    }
    Ok(out.len())
}

/// Decodes one block: sequences of literals and a copy of earlier output; the last sequence has only literals.
fn lz4_block(mut block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let limit = start + LZ4_BLOCK;
    while let Some((&token, rest)) = block.split_first() {
        block = rest;
        let literals = lz4_length(usize::from(token >> 4), &mut block)?;
        let (bytes, rest) = block.split_at_checked(literals)?;
        out.extend_from_slice(bytes);
        if rest.is_empty() {
            return (out.len() <= limit).then_some(());
        }
        let (distance, rest) = rest.split_first_chunk::<2>()?;
        block = rest;
        let length = lz4_length(usize::from(token & 15), &mut block)? + 4;
        let from = out.len().checked_sub(usize::from(u16::from_le_bytes(*distance)))?;
        if from < start || from == out.len() || out.len() + length > limit {
            return None;
        }
        // Source and destination may overlap, so copy byte by byte, as the format specifies.
        for at in from..from + length {
            out.push(out[at]);
        }
    }
    Some(())
}

/// Reads a length; a value of 15 is continued in the following bytes.
fn lz4_length(nibble: usize, block: &mut &[u8]) -> Option<usize> {
    let mut length = nibble;
    if nibble == 15 {
        loop {
            let (&more, rest) = block.split_first()?;
            *block = rest;
            length += usize::from(more);
            if more != 255 {
                break;
            }
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_payload_of_each_format_is_decompressed() {
        let plain = b"the text of a kernel, the text of a kernel, the text of a kernel".repeat(300);
        assert_eq!(decompress(&gzip(&plain)).unwrap(), plain);

        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
        xz.write_all(&plain).unwrap();
        let mut xz = xz.finish().unwrap();
        xz.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        assert_eq!(decompress(&xz).unwrap(), plain);

        let mut zstd = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
        zstd.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        assert_eq!(decompress(&zstd).unwrap(), plain);

        // Literals "abc", an overlapping copy of 9 bytes from distance 3, literals "!".
        let block = [0x35, b'a', b'b', b'c', 3, 0, 0x10, b'!'];
        let mut lz4 = LZ4_LEGACY.to_vec();
        lz4.extend_from_slice(&(block.len() as u32).to_le_bytes());
        lz4.extend_from_slice(&block);
        lz4.extend_from_slice(&13_u32.to_le_bytes());
        assert_eq!(decompress(&lz4).unwrap(), b"abcabcabcabc!");
    }

    #[test]
    fn a_damaged_payload_is_an_error() {
        assert_eq!(
            decompress(b"BZh9....").unwrap_err(),
            "unknown compression, not gzip, xz, zstd or lz4 (first bytes: 42 5a 68 39)"
        );
        assert_eq!(decompress(b"").unwrap_err(), "the compressed kernel is empty");
        assert_eq!(decompress(&[0x1f, 0x8b, 1, 2, 3]).unwrap_err(), "damaged gzip data");
        assert_eq!(decompress(b"\xfd7zXZ\0........").unwrap_err(), "damaged xz data");
        let zstd = ruzstd::encoding::compress_to_vec(&b"text"[..], ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(decompress(&zstd[..zstd.len() - 2]).unwrap_err(), "damaged zstd data");
        assert_eq!(decompress(b"\x28\xb5\x2f\xfd....").unwrap_err(), "damaged zstd data");
        assert_eq!(decompress(b"\x02\x21\x4c\x18\xff\xff\0\0........").unwrap_err(), "damaged lz4 data");
        for block in [&[0xff_u8][..], &[0x35, b'a', b'b', b'c', 9, 0, 0], &[0x35, b'a', b'b', b'c', 0, 0, 0], &[0x10]] {
            assert!(lz4_block(block, &mut Vec::new()).is_none(), "{block:?}");
        }
    }
}
