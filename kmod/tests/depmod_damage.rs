//! The words for each decoder and each kind of damage, as `depmod` and `modinfo` print them.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

#[path = "common/module_root.rs"]
mod module_root;

use std::io::Write as _;

use module_root::testing::TinyModule;
use module_root::{RELEASE, Root};

fn module() -> Vec<u8> {
    TinyModule::named("m").exports(&["one", "two"]).build()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(content).unwrap();
    packer.finish().unwrap()
}

fn xz(content: &[u8]) -> Vec<u8> {
    let mut packer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
    packer.write_all(content).unwrap();
    packer.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Changes a byte, counted from the end.
fn changed(mut bytes: Vec<u8>, from_end: usize) -> Vec<u8> {
    let at = bytes.len() - from_end;
    bytes[at] ^= 0x55;
    bytes
}

#[test]
fn each_kind_of_damage_has_words() {
    let root = Root::new(&[]);
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    for (name, bytes) in [
        ("a-empty.ko", Vec::new()),
        ("b-text.ko", b"#!/bin/sh\n".to_vec()),
        ("c-truncated.ko", half(module())),
        ("d-truncated.ko.gz", half(gzip(&module()))),
        ("e-checksum.ko.gz", changed(gzip(&module()), 6)),
        ("f-empty.ko.gz", gzip(b"")),
        ("g-truncated.ko.xz", half(xz(&module()))),
        ("h-changed.ko.xz", changed(xz(&module()), 40)),
        ("i-trailing.ko.xz", [xz(&module()), b"more".to_vec()].concat()),
        ("j-truncated.ko.zst", half(zstd(&module()))),
        ("k-checksum.ko.zst", changed(zstd(&module()), 2)),
        ("l-trailing.ko.zst", [zstd(&module()), b"more".to_vec()].concat()),
        ("m-dictionary.ko.zst", b"\x28\xb5\x2f\xfd\x01\x38\x07\x01\x00\x00".to_vec()),
        ("n-text.ko.zst", zstd(b"text")),
    ] {
        root.put(name, &bytes);
    }
    insta::assert_snapshot!(root.depmod(&[RELEASE]));
}
