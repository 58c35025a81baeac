//! The output of real compressors for [`plain`]: xz 5.4, gzip 1.12 and zstd 1.5, with the options in the files' names.

use super::encode::Format;

const GZIP: &[&[u8]] = &[include_bytes!("streams/1.gz"), include_bytes!("streams/9-with-name.gz")];
const XZ: &[&[u8]] = &[
    include_bytes!("streams/crc32-dict-1m.xz"),
    include_bytes!("streams/sha256-blocks.xz"),
    include_bytes!("streams/no-check-x86-delta.xz"),
];
const ZSTD: &[&[u8]] = &[
    include_bytes!("streams/1-no-check.zst"),
    include_bytes!("streams/19.zst"),
    include_bytes!("streams/22-long-stream.zst"),
];

/// The content: lines of a modules.dep.
pub(super) fn plain() -> Vec<u8> {
    let line = |number: u32| format!("kernel/fs/m{}.ko: kernel/lib/crc{}.ko\n", number * 7919 % 1000, number % 13);
    (0..64).map(line).collect::<String>().into_bytes()
}

/// A file in this format, and its content.
pub(super) fn stream(format: Format, number: usize) -> (Vec<u8>, Vec<u8>) {
    let streams = match format {
        Format::Gzip => GZIP,
        Format::Xz => XZ,
        Format::Zstd => ZSTD,
    };
    (streams[number % streams.len()].to_vec(), plain())
}
