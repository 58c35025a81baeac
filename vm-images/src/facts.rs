//! What a kernel's image says about itself without being booted: the text in it and its configuration. Version
//! numbers lie about patched trees, the image does not.
//!
//! The compressed kernel is unpacked once; its text (runs of printable bytes) and its configuration stay in the cache.

use crate::bzimage::Header;
use crate::cache::{Cache, CacheError};
use crate::kernel::{Kernel, KernelError};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Shorter runs of printable bytes are mostly machine code.
const SHORTEST: usize = 6;
/// No kernel is larger than this when it is unpacked.
const LARGEST: u64 = 1 << 30;

/// What an image says about itself. Made by [`Kernel::facts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Runs of printable bytes, one a line.
    text: String,
    /// By option, without `CONFIG_`.
    config: Option<HashMap<String, String>>,
}

impl ImageFacts {
    /// Whether this text stands anywhere in the unpacked kernel: a format string, the name of an exported symbol. Only
    /// printable ASCII of at least 6 bytes is ever found: leave out the line's end.
    pub fn contains(&self, needle: &[u8]) -> bool {
        let Ok(needle) = std::str::from_utf8(needle) else { return false };
        needle.len() >= SHORTEST && !needle.contains('\n') && self.text.contains(needle)
    }

    /// The value of a configuration option, named without `CONFIG_`: `y`, `m`, a number or a text as it stands in the
    /// file; `n` when it is not set. `None` when the configuration is not known.
    pub fn config(&self, option: &str) -> Option<&str> {
        let config = self.config.as_ref()?;
        Some(config.get(option).map_or("n", String::as_str))
    }

    /// What a configuration says, without an image.
    pub fn of_config(config: &str) -> ImageFacts {
        ImageFacts::new(String::new(), Some(config))
    }

    fn new(text: String, config: Option<&str>) -> ImageFacts {
        ImageFacts { text, config: config.map(parse_config) }
    }
}

impl Kernel {
    /// What can be learnt from the image without booting it; cached. The configuration is the one that is built into the
    /// image (`CONFIG_IKCONFIG`), else the file that came with it ([`Kernel::config`]).
    pub fn facts(&self, cache: &Cache) -> Result<ImageFacts, KernelError> {
        let dir = cache.area("facts")?.join(&self.id);
        if !dir.exists() {
            let new = cache.new_dir()?;
            let bytes = fs::read(&self.image).map_err(KernelError::read(&self.image))?;
            let header =
                Header::parse(&bytes).map_err(|reason| KernelError::NotAKernel { path: self.image.clone(), reason })?;
            let kernel = decompress(header.payload(&bytes))
                .map_err(|reason| KernelError::Payload { path: self.image.clone(), reason })?;
            write(&new.path().join("text"), text_of(&kernel).as_bytes())?;
            if let Some(config) = built_in_config(&kernel) {
                write(&new.path().join("config"), config.as_bytes())?;
            }
            cache.publish(new, &dir)?;
        }
        let path = dir.join("text");
        let text = fs::read_to_string(&path).map_err(KernelError::read(path))?;
        let config = match (fs::read_to_string(dir.join("config")), &self.config) {
            (Ok(config), _) => Some(config),
            (Err(_), Some(path)) => Some(fs::read_to_string(path).map_err(KernelError::read(path))?),
            (Err(_), None) => None,
        };
        Ok(ImageFacts::new(text, config.as_deref()))
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    fs::write(path, bytes).map_err(CacheError::new("write", path))
}

/// Unpacks the payload of a bzImage. All formats but gzip have the length of the result behind them, in four bytes that are
/// not part of the stream.
pub(crate) fn decompress(payload: &[u8]) -> Result<Vec<u8>, String> {
    let body = &payload[..payload.len().saturating_sub(4)];
    let mut out = Vec::new();
    let result = if payload.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(payload).take(LARGEST).read_to_end(&mut out)
    } else if payload.starts_with(b"\xfd7zXZ\0") {
        lzma_rust2::XzReader::new(body, false).take(LARGEST).read_to_end(&mut out)
    } else if payload.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        ruzstd::decoding::StreamingDecoder::new(body)
            .map_err(|error| error.to_string())?
            .take(LARGEST)
            .read_to_end(&mut out)
    } else if payload.starts_with(&LZ4_LEGACY) {
        lz4_legacy(body, &mut out)
    } else if payload.starts_with(b"\x7fELF") {
        out = payload.to_vec();
        Ok(out.len())
    } else {
        let start: Vec<String> = payload.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(format!("its compression is none of gzip, xz, zstd, lz4 (it begins with {})", start.join(" ")));
    };
    result.map_err(|error| error.to_string())?;
    Ok(out)
}

const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// What one block of the legacy format may give.
const LZ4_BLOCK: usize = 8 << 20;

/// lz4's legacy frame: blocks, each after its length.
fn lz4_legacy(stream: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "the lz4 stream is broken");
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

/// One block: sequences of literals and a copy from what came before; the last has literals only.
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
        // Source and result may overlap: byte by byte, as the format has it.
        for at in from..from + length {
            out.push(out[at]);
        }
    }
    Some(())
}

/// A length of 15 goes on in the following bytes.
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

/// Runs of printable bytes, one a line.
fn text_of(kernel: &[u8]) -> String {
    let mut text = String::new();
    for run in kernel.split(|&byte| !(byte == b' ' || byte.is_ascii_graphic())) {
        if run.len() >= SHORTEST {
            text.extend(run.iter().map(|&byte| char::from(byte)));
            text.push('\n');
        }
    }
    text
}

/// The configuration that CONFIG_IKCONFIG puts into an image: gzip between two marks.
fn built_in_config(kernel: &[u8]) -> Option<String> {
    const START: &[u8] = b"IKCFG_ST";
    let at = kernel
        .windows(START.len() + 2)
        .position(|window| window.starts_with(START) && window.ends_with(&[0x1f, 0x8b]))?;
    let mut config = String::new();
    flate2::read::GzDecoder::new(&kernel[at + START.len()..]).take(1 << 24).read_to_string(&mut config).ok()?;
    Some(config)
}

fn parse_config(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='))
        .map(|(option, value)| (option.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bzimage::made;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn vmlinux() -> Vec<u8> {
        let mut kernel = b"\x7fELF\0\0\x014request: %s, throttling...\n\0abc\0".to_vec();
        kernel.extend_from_slice(b"IKCFG_ST");
        kernel.extend_from_slice(&gzip(b"CONFIG_UNIX=m\n# CONFIG_X is not set\nCONFIG_NAME=\"a b\"\nCONFIG_N=50\n"));
        kernel.extend_from_slice(b"IKCFG_ED");
        kernel
    }

    /// A real user of the API: an image on disk, asked twice.
    #[test]
    fn an_image_tells_its_text_and_its_configuration() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path().join("cache")).unwrap();
        let image = temp.path().join("bzImage");
        fs::write(&image, made("5.10.1 x", &gzip(&vmlinux()))).unwrap();
        let kernel = Kernel::from_image(&image, None).unwrap();
        for _ in 0..2 {
            let facts = kernel.facts(&cache).unwrap();
            assert!(facts.contains(b"throttling..."));
            assert!(!facts.contains(b"cannot be processed"));
            assert!(!facts.contains(b"throttling...\n"));
            assert!(!facts.contains(b"abc"));
            let config = ["UNIX", "X", "NAME", "N", "OTHER"].map(|option| facts.config(option).unwrap().to_owned());
            assert_eq!(config, ["m", "n", "a b", "50", "n"]);
        }
    }

    #[test]
    fn a_payload_of_each_format_is_unpacked() {
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

        // literals "abc", a copy of 9 bytes from 3 before (it overlaps), literals "!"
        let block = [0x35, b'a', b'b', b'c', 3, 0, 0x10, b'!'];
        let mut lz4 = LZ4_LEGACY.to_vec();
        lz4.extend_from_slice(&(block.len() as u32).to_le_bytes());
        lz4.extend_from_slice(&block);
        lz4.extend_from_slice(&13_u32.to_le_bytes());
        assert_eq!(decompress(&lz4).unwrap(), b"abcabcabcabc!");
    }

    #[test]
    fn a_broken_payload_is_an_error_and_no_panic() {
        assert_eq!(
            decompress(b"BZh9....").unwrap_err(),
            "its compression is none of gzip, xz, zstd, lz4 (it begins with 42 5a 68 39)"
        );
        assert!(decompress(b"").is_err());
        assert!(decompress(&[0x1f, 0x8b, 1, 2, 3]).is_err());
        for block in [&[0xff_u8][..], &[0x35, b'a', b'b', b'c', 9, 0, 0], &[0x35, b'a', b'b', b'c', 0, 0, 0], &[0x10]] {
            assert!(lz4_block(block, &mut Vec::new()).is_none(), "{block:?}");
        }
    }
}
