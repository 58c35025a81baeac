//! The body of the fuzz target `decompress`.

pub(crate) mod encode;
mod real;

use arbitrary::{Arbitrary, Unstructured};
use encode::{Format, Part};
use kmod::object::compress::decompress as decompress_file;
use kmod::object::{Compression, Limits, ObjectErrorKind};

/// The first byte of a structured input; any other input is a file, compressed or not.
const STRUCTURED: u8 = b'S';
/// Small, so that decompression bombs exceed them.
const LIMITS: Limits = Limits { size: 1 << 20, window: 8 << 20 };

/// The input is a file, or `S` and the parameters of one.
///
/// # Panics
/// Panics if a promise about compressed files is broken.
pub fn decompress(data: &[u8]) {
    match data.split_first() {
        Some((&STRUCTURED, bytes)) => {
            let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
            let (mut file, plain) = recipe.make();
            match decompress_file(&file, &LIMITS) {
                Ok(out) => assert_eq!(out, plain, "the output is not the content"),
                Err(error) => panic!("a valid file is rejected: {error}"),
            }
            check_any_file(&file, usize::from(recipe.cut));
            recipe.damage(&mut file);
            check_any_file(&file, usize::from(recipe.cut));
        }
        _ => check_any_file(data, data.len() / 2),
    }
}

/// For all files: the output does not exceed the limit, and the limit is exact; a truncated file gives an error or the
/// beginning; two concatenated files give both contents.
fn check_any_file(file: &[u8], cut: usize) {
    let format = Compression::sniff(file);
    let out = match decompress_file(file, &LIMITS) {
        Ok(out) => out,
        Err(error) => return check_error(&error, format),
    };
    let length = out.len() as u64;
    assert!(length <= LIMITS.size, "the output has {length} bytes");
    let with_limit = |size| decompress_file(file, &Limits { size, ..LIMITS });
    assert_eq!(with_limit(length).ok().as_ref(), Some(&out), "the limit is not exact");
    if let Some(less) = length.checked_sub(1) {
        let error = with_limit(less).err();
        assert!(
            matches!(error, Some(ObjectErrorKind::TooLarge(limit)) if limit == less),
            "one byte too many: {error:?}"
        );
    }
    if let Ok(beginning) = decompress_file(&file[..cut % (file.len() + 1)], &LIMITS) {
        let is_file = format == Compression::None || cut % (file.len() + 1) >= 6;
        assert!(!is_file || out.starts_with(&beginning), "a truncated file does not give the beginning");
    }
    if 2 * length <= LIMITS.size {
        let twice = decompress_file(&[file, file].concat(), &LIMITS);
        assert_eq!(twice.ok(), Some([out.as_slice(), &out].concat()), "two files do not give both contents");
    }
    match decompress_file(file, &Limits { window: 4096, ..LIMITS }) {
        Ok(again) => assert_eq!(again, out, "a smaller window changes the output"),
        Err(error) => assert!(matches!(error, ObjectErrorKind::Window { limit: 4096, .. }), "{error}"),
    }
}

fn check_error(error: &ObjectErrorKind, sniffed: Compression) {
    match error {
        ObjectErrorKind::TooLarge(limit) => assert_eq!(*limit, LIMITS.size),
        ObjectErrorKind::Window { format, limit } => assert_eq!((*format, *limit), (sniffed, LIMITS.window)),
        ObjectErrorKind::Decompress { format, .. } => assert_eq!(*format, sniffed),
        other => panic!("decompression cannot cause this error: {other}"),
    }
    assert!(sniffed != Compression::None, "an uncompressed file is rejected: {error}");
}

/// A file of several concatenated parts.
#[derive(Debug, Arbitrary)]
struct Recipe {
    format: Format,
    parts: Vec<Part>,
    cut: u16,
    /// Bytes to change afterwards: positions and values.
    damage: Vec<(u16, u8)>,
}

impl Recipe {
    /// The file and its content.
    fn make(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut file, mut plain) = (Vec::new(), Vec::new());
        for part in &self.parts {
            let (bytes, content) = part.make(self.format, file.is_empty());
            file.extend(bytes);
            plain.extend(content);
        }
        (file, plain)
    }

    fn damage(&self, file: &mut [u8]) {
        for (at, byte) in &self.damage {
            if let Some(at) = usize::from(*at).checked_rem(file.len()) {
                file[at] = *byte;
            }
        }
    }
}
