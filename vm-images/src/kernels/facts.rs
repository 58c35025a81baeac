//! Facts about a kernel, read from its image without booting it: its strings and its configuration. The version number of
//! a patched tree is unreliable; its image is not.
//!
//! The compressed kernel is unpacked once; its strings (runs of printable bytes) and configuration are cached.

use super::decompress::decompress;
use super::kernel::{Kernel, KernelError};
use crate::cache::{Cache, CacheError};
use crate::kernels::bzimage::Header;
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;

/// Shorter runs of printable bytes are mostly machine code.
const SHORTEST: usize = 6;
/// The strings and the configuration of a kernel image. Created by [`Kernel::facts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Runs of printable bytes, one per line.
    text: String,
    /// Values by option, without `CONFIG_`.
    config: Option<HashMap<String, String>>,
}

impl ImageFacts {
    /// Returns whether the unpacked kernel contains this text, such as a format string or the name of an exported symbol.
    /// Only printable ASCII of at least 6 bytes can be found, so omit a newline.
    pub fn contains(&self, needle: &[u8]) -> bool {
        let Ok(needle) = std::str::from_utf8(needle) else { return false };
        needle.len() >= SHORTEST && !needle.contains('\n') && self.text.contains(needle)
    }

    /// Returns the value of a configuration option, given without `CONFIG_`: `y`, `m`, a number or a string as in the
    /// file; `n` if it is not set. `None` if the configuration is unknown.
    pub fn config(&self, option: &str) -> Option<&str> {
        let config = self.config.as_ref()?;
        Some(config.get(option).map_or("n", String::as_str))
    }

    /// Returns the facts of a configuration without an image.
    pub fn of_config(config: &str) -> ImageFacts {
        ImageFacts::new(String::new(), Some(config))
    }

    fn new(text: String, config: Option<&str>) -> ImageFacts {
        ImageFacts { text, config: config.map(parse_config) }
    }
}

impl Kernel {
    /// Reads the facts of the image; cached. The configuration is the one built into the image (`CONFIG_IKCONFIG`), else
    /// the file that came with it ([`Kernel::config`]).
    pub fn facts(&self, cache: &Cache) -> Result<ImageFacts, KernelError> {
        let dir = cache.area("facts")?.join(&self.id);
        if !dir.exists() {
            let new = cache.new_dir()?;
            let bytes = fs::read(&self.image).map_err(KernelError::read(&self.image))?;
            let header =
                Header::parse(&bytes).map_err(|source| KernelError::NotAKernel { path: self.image.clone(), source })?;
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

/// Returns the runs of printable bytes, one per line.
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

/// Returns the configuration that CONFIG_IKCONFIG embeds in an image, compressed with gzip between two marks.
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
    use crate::kernels::bzimage::sample_image;
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

    #[test]
    fn strings_and_configuration_are_read_from_an_image() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path().join("cache")).unwrap();
        let image = temp.path().join("bzImage");
        fs::write(&image, sample_image("5.10.1 x", &gzip(&vmlinux()))).unwrap();
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
}
