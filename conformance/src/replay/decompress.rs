//! The body of the fuzz target `decompress`.

mod encode;
mod real;

use arbitrary::{Arbitrary, Unstructured};
use encode::{Format, Part};
use kmod::object::compress::decompress as undone;
use kmod::object::{Compression, Limits, ObjectErrorKind};

/// What a structured input begins with; everything else is a file, compressed or not.
const STRUCTURED: u8 = b'S';
/// What decompression may cost here: small, so that bombs are found.
const LIMITS: Limits = Limits { size: 1 << 20, window: 8 << 20 };

/// The input is a file, or `S` and the making of one.
///
/// # Panics
/// When a promise about compressed files is broken.
pub fn decompress(data: &[u8]) {
    match data.split_first() {
        Some((&STRUCTURED, bytes)) => {
            let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
            let (mut file, plain) = recipe.make();
            match undone(&file, &LIMITS) {
                Ok(out) => assert_eq!(out, plain, "what comes out is not what went in"),
                Err(error) => panic!("a good file is refused: {error}"),
            }
            hostile(&file, usize::from(recipe.cut));
            recipe.damage(&mut file);
            hostile(&file, usize::from(recipe.cut));
        }
        _ => hostile(data, data.len() / 2),
    }
}

/// Whatever the bytes are: no more than the limit comes out, the limit is exact, what was cut off gives nothing else than the
/// beginning, and two files behind each other give both contents.
fn hostile(file: &[u8], cut: usize) {
    let format = Compression::sniff(file);
    let out = match undone(file, &LIMITS) {
        Ok(out) => out,
        Err(error) => return is_explained(&error, format),
    };
    let length = out.len() as u64;
    assert!(length <= LIMITS.size, "{length} bytes came out");
    let with_limit = |size| undone(file, &Limits { size, ..LIMITS });
    assert_eq!(with_limit(length).ok().as_ref(), Some(&out), "the limit is not exact");
    if let Some(less) = length.checked_sub(1) {
        let error = with_limit(less).err();
        assert!(matches!(error, Some(ObjectErrorKind::TooLarge(told)) if told == less), "one byte too many: {error:?}");
    }
    if let Ok(beginning) = undone(&file[..cut % (file.len() + 1)], &LIMITS) {
        let is_file = format == Compression::None || cut % (file.len() + 1) >= 6;
        assert!(!is_file || out.starts_with(&beginning), "a cut file gives something else than the beginning");
    }
    if 2 * length <= LIMITS.size {
        let twice = undone(&[file, file].concat(), &LIMITS);
        assert_eq!(twice.ok(), Some([out.as_slice(), &out].concat()), "two files are not both contents");
    }
    match undone(file, &Limits { window: 4096, ..LIMITS }) {
        Ok(again) => assert_eq!(again, out, "a smaller window gives something else"),
        Err(error) => assert!(matches!(error, ObjectErrorKind::Window { limit: 4096, .. }), "{error}"),
    }
}

fn is_explained(error: &ObjectErrorKind, sniffed: Compression) {
    match error {
        ObjectErrorKind::TooLarge(limit) => assert_eq!(*limit, LIMITS.size),
        ObjectErrorKind::Window { format, limit } => assert_eq!((*format, *limit), (sniffed, LIMITS.window)),
        ObjectErrorKind::Decompress { format, .. } => assert_eq!(*format, sniffed),
        other => panic!("decompression cannot fail so: {other}"),
    }
    assert!(sniffed != Compression::None, "what is not compressed is refused: {error}");
}

/// A file of several parts, one behind the other.
#[derive(Debug, Arbitrary)]
struct Recipe {
    format: Format,
    parts: Vec<Part>,
    cut: u16,
    /// What is changed afterwards: where, and to what.
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
