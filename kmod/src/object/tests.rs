//! Tests of module files in every form, valid and damaged.

use std::io::Write as _;

use super::testing::TinyModule;
use super::*;

fn sample() -> TinyModule {
    let mut module = TinyModule::named("tiny").info("alias=fs-tiny").info("softdep=pre: a").info("strange");
    module = module.exports(&["tiny_one", "tiny_two"]).imports(&["kmalloc"]);
    module.weak = vec!["perhaps".into()];
    module.versions = vec![("kmalloc".into(), 7), ("module_layout".into(), 9)];
    module
}

fn shapes() -> Vec<TinyModule> {
    let mut shapes = Vec::new();
    for bits in 0..16 {
        let bit = |n: u32| bits >> n & 1 == 1;
        shapes.push(TinyModule {
            is_32: bit(0),
            is_big: bit(1),
            crcs_in_section: bit(2),
            many_sections: bit(3),
            ..sample()
        });
    }
    shapes
}

fn check_sample(elf: &ElfModule<'_>) {
    let modinfo = elf.modinfo().unwrap();
    let expected: [(&[u8], &[u8]); 4] =
        [(b"name", b"tiny"), (b"alias", b"fs-tiny"), (b"softdep", b"pre: a"), (b"strange", b"")];
    assert_eq!(modinfo.iter().collect::<Vec<_>>(), expected);
    assert_eq!(modinfo.values(b"alias").collect::<Vec<_>>(), [b"fs-tiny"]);
    let exports = elf.exports().unwrap();
    assert_eq!(exports.iter().map(|e| e.name).collect::<Vec<_>>(), [b"tiny_one", b"tiny_two"]);
    assert!(exports.iter().all(|export| elf.crc(export) == Some(0x1234)));
    let imports: Vec<_> = elf.imports().unwrap().iter().map(|i| (i.name.to_vec(), i.weak, i.crc)).collect();
    let expected = [("kmalloc", false, Some(7)), ("perhaps", true, None), ("module_layout", false, Some(9))];
    assert_eq!(imports, expected.map(|(name, weak, crc)| (name.as_bytes().to_vec(), weak, crc)));
}

#[test]
fn both_classes_both_byte_orders_and_many_sections_are_read() {
    for module in shapes() {
        check_sample(&ElfModule::parse(&module.build()).unwrap());
    }
}

#[test]
fn more_than_65280_sections_are_counted() {
    // Empty sections are appended to the table, which is at the end of the file.
    let mut bytes = TinyModule { many_sections: true, ..sample() }.build();
    let table = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    bytes.resize(bytes.len() + 64 * 70_000, 0);
    let count = (bytes.len() - table) as u64 / 64;
    bytes[table + 32..table + 40].copy_from_slice(&count.to_le_bytes());
    check_sample(&ElfModule::parse(&bytes).unwrap());
}

#[test]
fn exports_without_checksums_come_from_the_strings() {
    let module = TinyModule { plain_exports: vec!["one".into(), "two".into()], ..TinyModule::default() }.build();
    let elf = ElfModule::parse(&module).unwrap();
    let exports = elf.exports().unwrap();
    assert_eq!(exports.iter().map(|e| e.name).collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(elf.crc(&exports[0]), None);
}

pub(super) fn compressed(format: Compression, bytes: &[u8]) -> Vec<u8> {
    match format {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        Compression::Xz => {
            let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        Compression::Zstd => ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest),
    }
}

const FORMATS: [Compression; 4] = [Compression::None, Compression::Xz, Compression::Gzip, Compression::Zstd];

#[test]
fn the_format_is_detected_by_the_first_bytes_not_by_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let plain = sample().build();
    for format in FORMATS {
        let path = dir.path().join("misnamed.ko.zst");
        std::fs::write(&path, compressed(format, &plain)).unwrap();
        let image = read_module(&path, &Limits::default()).unwrap();
        assert_eq!((image.bytes, image.compression), (plain.clone(), format));
        assert_eq!(read_compression(&path).unwrap(), format);
        let module = Module::open(&path, &Limits::default()).unwrap();
        assert_eq!(module.compression(), format);
        check_sample(&module.elf().unwrap());
    }
}

#[test]
fn concatenated_streams_are_one_module() {
    let plain = sample().build();
    let (head, tail) = plain.split_at(plain.len() / 2);
    for format in &FORMATS[1..] {
        let both = [compressed(*format, head), compressed(*format, tail)].concat();
        assert_eq!(compress::decompress(&both, &Limits::default()).unwrap(), plain, "{format}");
    }
    let skippable = [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &compressed(Compression::Zstd, &plain)].concat();
    // A file that starts with a skippable frame is not detected as zstd; a skippable frame after another is skipped.
    assert_eq!(Compression::sniff(&skippable), Compression::None);
    let appended = [&compressed(Compression::Zstd, &plain)[..], b"\x50\x2a\x4d\x18\x03\0\0\0abc"].concat();
    assert_eq!(compress::decompress(&appended, &Limits::default()).unwrap(), plain);
}

#[test]
fn decompression_stops_at_the_limit() {
    let zeros = vec![0; 8 << 20];
    for format in FORMATS {
        let packed = compressed(format, &zeros);
        let limits = Limits { size: 1 << 20, ..Limits::default() };
        let error = compress::decompress(&packed, &limits).unwrap_err();
        assert!(matches!(error, ObjectErrorKind::TooLarge(1_048_576)), "{format}: {error}");
        let exact = Limits { size: 8 << 20, ..Limits::default() };
        assert_eq!(compress::decompress(&packed, &exact).unwrap().len(), zeros.len());
    }
}

#[test]
fn a_window_costs_no_memory_or_is_limited() {
    // 2 TiB, the largest window that a frame can declare.
    let zstd = b"\x28\xb5\x2f\xfd\x00\xf8\x01\0\0";
    assert_eq!(compress::decompress(zstd, &Limits::default()).unwrap(), b"");
    let xz = compressed(Compression::Xz, &sample().build());
    let error = compress::decompress(&xz, &Limits { window: 4096, ..Limits::default() }).unwrap_err();
    assert_eq!(error.to_string(), "needs more than 4096 bytes of memory to decompress as xz");
}

#[test]
fn a_truncated_stream_is_an_error() {
    let plain = sample().build();
    for format in &FORMATS[1..] {
        let whole = compressed(*format, &plain);
        for length in [6, whole.len() / 2, whole.len() - 1] {
            assert!(compress::decompress(&whole[..length], &Limits::default()).is_err(), "{format} cut to {length}");
        }
    }
}

fn error_text(bytes: &[u8]) -> String {
    let read = || {
        let elf = ElfModule::parse(bytes)?;
        elf.modinfo()?;
        elf.exports()?;
        elf.imports().map(drop)
    };
    match read() {
        Ok(()) => "none".into(),
        Err(error) => error.to_string(),
    }
}

fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut module = sample().build();
    module[at..at + bytes.len()].copy_from_slice(bytes);
    module
}

#[test]
fn every_malformed_part_has_its_own_message() {
    assert_eq!(error_text(b""), "the file is empty");
    assert!(error_text(b"#!/bin/sh").starts_with("not an ELF file"));
    assert_eq!(error_text(b"\x7fELF\x03\x01"), "malformed ELF file: unknown class or byte order");
    assert_eq!(error_text(b"\x7fELF\x02\x01\x01"), "malformed ELF file: the header is cut off");
    let names = "malformed ELF file: the index of the section names is out of range";
    let table = "malformed ELF file: the section table is not within the file";
    for (at, bytes, expected) in [
        (62, &0_u16.to_le_bytes()[..], names),
        (62, &200_u16.to_le_bytes(), names),
        (60, &60_000_u16.to_le_bytes(), table),
        (60, &0_u16.to_le_bytes(), names),
        (40, &u64::MAX.to_le_bytes(), table),
        (40, &0_u64.to_le_bytes(), "malformed ELF file: it has no section table"),
        (58, &63_u16.to_le_bytes(), "malformed ELF file: entries of the section table of a wrong size"),
    ] {
        assert_eq!(error_text(&patched(at, bytes)), expected, "{bytes:?} at {at}");
    }
}

#[test]
fn a_string_table_without_its_nul_is_an_error() {
    let mut module = sample().build();
    let at = module.windows(8).position(|w| w == b"perhaps\0").unwrap();
    module[at + 7] = b'x';
    assert_eq!(error_text(&module), "malformed ELF file: the string table does not end in NUL");
}

#[test]
fn a_name_beyond_the_limit_is_an_error() {
    let long = "x".repeat(4096);
    let module = TinyModule::named("a").imports(&[&long]).build();
    assert_eq!(error_text(&module), "malformed ELF file: a symbol's name is too long");
    assert_eq!(error_text(&TinyModule::named("a").imports(&[&long[1..]]).build()), "none");
}

#[test]
fn a_checksum_outside_its_section_is_ignored() {
    // Changes the section and the value of an export's checksum symbol.
    let symbol = |value: u64, section: u16| {
        let mut module = TinyModule { crcs_in_section: true, ..sample() }.build();
        let entry = [&[0, 0][..], &2_u16.to_le_bytes(), &4_u64.to_le_bytes()].concat();
        let at = module.windows(entry.len()).position(|w| w == entry).unwrap();
        module[at + 2..at + 4].copy_from_slice(&section.to_le_bytes());
        module[at + 4..at + 12].copy_from_slice(&value.to_le_bytes());
        let elf = ElfModule::parse(&module).unwrap();
        elf.crc(&elf.exports().unwrap()[1])
    };
    assert_eq!(symbol(4, 2), Some(0x1234));
    assert_eq!([symbol(6, 2), symbol(u64::MAX, 2), symbol(4, 200), symbol(4, 0xff05), symbol(4, 0)], [None; 5]);
}

#[test]
fn arbitrary_bytes_do_not_make_the_reader_panic() {
    let shapes: Vec<Vec<u8>> = shapes().iter().map(TinyModule::build).collect();
    arbtest::arbtest(|u| {
        let mut bytes = if u.arbitrary()? { u.choose(&shapes)?.clone() } else { u.arbitrary()? };
        for _ in 0..u.int_in_range(0..=6)? {
            let at = u.choose_index(bytes.len().max(1))?;
            let any = u.arbitrary()?;
            let new: u8 = *u.choose(&[0, 1, 2, 0x7f, 0x80, 0xff, any])?;
            bytes.get_mut(at).into_iter().for_each(|byte| *byte = new);
        }
        if let Ok(elf) = ElfModule::parse(&bytes) {
            let _ = elf.modinfo().map(|info| info.iter().count());
            let _ = elf.imports();
            let _ = elf.versions();
            for export in elf.exports().unwrap_or_default() {
                let _ = elf.crc(&export);
            }
        }
        Ok(())
    });
}

#[test]
fn damaged_bytes_do_not_make_the_decoders_panic() {
    let plain = sample().build();
    let whole: Vec<Vec<u8>> = FORMATS[1..].iter().map(|format| compressed(*format, &plain)).collect();
    let limits = Limits { size: 1 << 20, window: 8 << 20 };
    arbtest::arbtest(|u| {
        let mut bytes = u.choose(&whole)?.clone();
        for _ in 0..u.int_in_range(1..=8)? {
            let at = u.choose_index(bytes.len())?;
            bytes[at] = u.arbitrary()?;
        }
        let _ = compress::decompress(&bytes, &limits);
        Ok(())
    });
}

#[test]
fn a_signature_is_read_from_a_file_and_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut signed = sample().build();
    signed.extend(b"NameKSig\0\x04\x01\x04\x01\0\0\0\0\0\0\x03~Module signature appended~\n");
    for format in FORMATS {
        let path = dir.path().join("m.ko");
        std::fs::write(&path, compressed(format, &signed)).unwrap();
        let module = Module::open(&path, &Limits::default()).unwrap();
        let bytes = module.signature_bytes().unwrap().unwrap();
        assert_eq!(bytes.len(), 8 + signature::TRAILER_LENGTH);
        let signature = Signature::parse(&bytes).unwrap();
        assert_eq!((signature.signer, signature.bytes), (&b"Name"[..], &b"Sig"[..]));
        check_sample(&module.elf().unwrap());
        for unsigned in [&sample().build()[..], &signed[..30], &signed[signed.len() - 40..]] {
            std::fs::write(&path, compressed(format, unsigned)).unwrap();
            let module = Module::open(&path, &Limits::default()).unwrap();
            assert!(module.signature_bytes().unwrap().is_none());
        }
    }
}
