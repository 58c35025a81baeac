//! Crafted module files.

use crate::common::{Lab, RELEASE};
use crate::testing::TinyModule;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::OnceLock;

/// More than the smallest memory limit leaves, even if it is stored once.
pub const LARGE: usize = 72 << 20;

/// Fits into the smallest memory limit once, not twice.
pub const MEDIUM: usize = 40 << 20;

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn xz(bytes: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(0);
    options.lzma_options.dict_size = dictionary;
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Builds a zstd frame: the bytes in raw blocks, then `repeats` blocks of 128 KiB of one byte, with a window of 2^`window` bytes.
pub fn zstd(bytes: &[u8], byte: u8, repeats: usize, window: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window - 10) << 3];
    let block = |kind: u32, length: usize| (u32::try_from(length).unwrap() << 3 | kind << 1).to_le_bytes();
    for chunk in bytes.chunks(1 << 16) {
        frame.extend_from_slice(&block(0, chunk.len())[..3]);
        frame.extend_from_slice(chunk);
    }
    for _ in 0..repeats {
        frame.extend_from_slice(&block(1, 1 << 17)[..3]);
        frame.push(byte);
    }
    // An empty last block.
    frame.extend_from_slice(&[1, 0, 0]);
    frame
}

/// Appends zeros to a module: its compressed parts are those of the module and of a MiB of zeros, which is repeated.
fn padded(module: &[u8], size: usize, compress: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let zeros = compress(&vec![0; 1 << 20]);
    [compress(module), zeros.repeat(size >> 20)].concat()
}

fn module(name: &str) -> TinyModule {
    TinyModule::named(name).exports(&["a_sym"]).imports(&["b_sym"])
}

/// Flips the last byte that is not part of a fixed trailer.
fn flipped(mut bytes: Vec<u8>, from_end: usize) -> Vec<u8> {
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    bytes
}

/// Returns uncompressed files by their names.
pub fn plain() -> Vec<(&'static str, Vec<u8>)> {
    // An ELF file whose first section, .modinfo, is as large as the file claims.
    let mut claims = module("claims").build();
    let sections = usize::try_from(u64::from_le_bytes(claims[40..48].try_into().unwrap())).unwrap();
    claims[sections + 64 + 32..sections + 64 + 40].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let mut sections_claim = module("sections").build();
    sections_claim[60..62].copy_from_slice(&[0xff, 0xff]);
    let aliases = |count: u32| {
        let aliases = (0..count).map(|number| format!("alias=pci:v{number:08X}d*sv*"));
        aliases.fold(TinyModule::named("many"), |module, alias| module.info(&alias)).build()
    };
    // A signature of nested sequences without lengths.
    let nested = b"\x30\x80".repeat(30_000);
    let signed = [
        &module("signed").build()[..],
        &nested,
        &[0, 0, 2, 0, 0, 0, 0, 0],
        &u32::try_from(nested.len()).unwrap().to_be_bytes(),
        b"~Module signature appended~\n",
    ];
    vec![
        ("good.ko", module("good").build()),
        ("empty.ko", Vec::new()),
        ("text.ko", b"text".to_vec()),
        ("claims.ko", claims),
        ("sections.ko", sections_claim),
        ("short.ko", module("short").build()[..100].to_vec()),
        ("signed.ko", signed.concat()),
        ("many.ko", aliases(20_000)),
    ]
}

/// Returns small compressed files by their names.
pub fn compressed() -> Vec<(&'static str, Vec<u8>)> {
    let module = |name: &str| module(name).build();
    let xz_small = |bytes: &[u8]| xz(bytes, 1 << 18);
    let zstd_small = |bytes: &[u8]| zstd(bytes, 0, 0, 17);
    // The header announces a checksum, and it is wrong.
    let mut zstd_sum = zstd_small(&module("sum_zst"));
    zstd_sum[4] |= 4;
    zstd_sum.extend([1, 2, 3, 4]);
    // The header announces a dictionary.
    let mut zstd_dictionary = zstd_small(&module("dictionary_zst"));
    zstd_dictionary[4] |= 1;
    zstd_dictionary.insert(6, 7);
    vec![
        ("good_gz.ko.gz", gzip(&module("good_gz"))),
        ("cut_gz.ko.gz", gzip(&module("cut_gz"))[..60].to_vec()),
        ("empty_gz.ko.gz", gzip(b"")),
        ("sum_gz.ko.gz", flipped(gzip(&module("sum_gz")), 6)),
        ("good_xz.ko.xz", xz_small(&module("good_xz"))),
        ("window_xz.ko.xz", xz(&module("window_xz"), 64 << 20)),
        ("cut_xz.ko.xz", xz_small(&module("cut_xz"))[..60].to_vec()),
        ("empty_xz.ko.xz", xz_small(b"")),
        ("sum_xz.ko.xz", flipped(xz_small(&module("sum_xz")), 40)),
        ("good_zst.ko.zst", zstd_small(&module("good_zst"))),
        ("window_zst.ko.zst", zstd(&module("window_zst"), 0, 0, 27)),
        ("cut_zst.ko.zst", zstd_small(&module("cut_zst"))[..60].to_vec()),
        ("empty_zst.ko.zst", zstd_small(b"")),
        ("sum_zst.ko.zst", zstd_sum),
        ("dictionary_zst.ko.zst", zstd_dictionary),
    ]
}

/// A module file whose content is large.
pub struct LargeFile {
    pub name: &'static str,
    /// Its first bytes; zeros follow up to its size.
    start: Vec<u8>,
    size: usize,
    /// Whether its content fits into the smallest memory limit once.
    pub is_medium: bool,
}

/// Returns module files whose content is large.
pub fn large() -> &'static [LargeFile] {
    static FILES: OnceLock<Vec<LargeFile>> = OnceLock::new();
    FILES.get_or_init(|| {
        let small = module("large").build();
        let xz_small = |bytes: &[u8]| xz(bytes, 1 << 18);
        let modinfo = |value: &[u8], count: usize| {
            let value = String::from_utf8(value.repeat(count)).unwrap();
            TinyModule::named("modinfo").info(&value).build()
        };
        // More names than a module may have, and as many as it may have.
        let names = TinyModule { export_bytes: b"s\0".repeat(MEDIUM / 2), ..TinyModule::named("names") }.build();
        let long_name = [&[b'n'; 99][..], b"\0"].concat();
        let exports = TinyModule { export_bytes: long_name.repeat(250_000), ..TinyModule::named("exports") }.build();
        let aliases = (0..200_000).fold(TinyModule::named("m"), |module, n| module.info(&format!("alias=a{n}")));
        let signature = vec![0x30; MEDIUM];
        let trailer = [
            &[0, 0, 2, 0, 0, 0, 0, 0][..],
            &u32::try_from(MEDIUM).unwrap().to_be_bytes(),
            b"~Module signature appended~\n",
        ];
        let file = |name, start: Vec<u8>| LargeFile { name, size: start.len(), start, is_medium: false };
        let medium = |name, start| LargeFile { is_medium: true, ..file(name, start) };
        vec![
            LargeFile { size: MEDIUM, ..medium("medium.ko", small.clone()) },
            LargeFile { size: LARGE, ..file("large.ko", small.clone()) },
            medium("names.ko", names.clone()),
            medium("exports.ko", exports),
            medium("aliases.ko", aliases.build()),
            medium("value.ko", modinfo(b"x", MEDIUM)),
            medium("escaped.ko", modinfo(b"\x01", MEDIUM / 2)),
            medium("entries.ko", modinfo(b"a=b\0", MEDIUM / 4)),
            medium("parameters.ko", modinfo(b"parm=p:d\0parmtype=q:t\0parm=r\0", MEDIUM / 30)),
            medium("signature.ko", [&small[..], &signature, &trailer.concat()].concat()),
            medium("medium_gz.ko.gz", padded(&small, MEDIUM, gzip)),
            file("large_gz.ko.gz", padded(&small, LARGE, gzip)),
            medium("names_gz.ko.gz", gzip(&names)),
            medium("medium_xz.ko.xz", padded(&small, MEDIUM, xz_small)),
            file("large_xz.ko.xz", padded(&small, LARGE, xz_small)),
            medium("names_xz.ko.xz", xz_small(&names)),
            file("dictionary_xz.ko.xz", xz(&[&small[..], &vec![0; LARGE]].concat(), LARGE as u32)),
            medium("medium_zst.ko.zst", zstd(&small, b'a', MEDIUM >> 17, 17)),
            file("large_zst.ko.zst", zstd(&small, 0, LARGE >> 17, 17)),
            file("cut_zst.ko.zst", zstd(&small, 0, LARGE >> 17, 17)[..2000].to_vec()),
        ]
    })
}

impl LargeFile {
    /// Writes the file into a directory.
    pub fn write(&self, directory: &Path) {
        let file = File::create(directory.join(self.name)).unwrap();
        (&file).write_all(&self.start).unwrap();
        file.set_len(self.size as u64).unwrap();
    }
}

/// Returns a path of a module file, relative to the lab.
pub fn path_of(name: &str) -> String {
    format!("./lib/modules/{RELEASE}/k/{name}")
}

/// Creates a lab with these modules, and lists of other modules.
pub fn lab_with(modules: &[(&str, Vec<u8>)]) -> Lab {
    let lab = Lab::new();
    fs::create_dir(lab.tree().join("k")).unwrap();
    let mut dependencies = String::new();
    for (name, bytes) in modules {
        fs::write(lab.tree().join("k").join(name), bytes).unwrap();
        dependencies += &format!("k/{name}:\n");
    }
    symlink("..", lab.tree().join("k/loop")).unwrap();
    lab.index("modules.dep", &dependencies);
    lab
}
