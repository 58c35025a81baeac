//! Tests of the zstd decoder: against the encoder and the decoder of the crate ruzstd, and on damaged files.

use std::io::Read as _;

use super::*;

const FAST: &[u8] = include_bytes!("samples/fast.zst");
const LEVEL_19: &[u8] = include_bytes!("samples/level19.zst");
const LEVEL_22: &[u8] = include_bytes!("samples/level22.zst");
const STREAM: &[u8] = include_bytes!("samples/stream.zst");

const LIMITS: Limits = Limits { size: 4 << 20, window: 0 };

fn decode(bytes: &[u8]) -> Result<Vec<u8>, ObjectErrorKind> {
    let mut out = Vec::new();
    decompress(bytes, &mut out, &LIMITS).map(|()| out)
}

fn damage(bytes: &[u8]) -> Damage {
    match decode(bytes) {
        Err(ObjectErrorKind::Decompress { format: Compression::Zstd, damage }) => damage,
        other => panic!("{other:?}"),
    }
}

fn encode(plain: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Text with repetitions at several distances, and some noise.
fn sample(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let mut plain: Vec<u8> = Vec::new();
    while plain.len() < u.int_in_range(0..=300_000)? && !u.is_empty() {
        match u.int_in_range(0..=3)? {
            0 => plain.extend(u.arbitrary::<[u8; 32]>()?),
            1 => plain.extend([b'x'; 3000]),
            2 => {
                let from = u.int_in_range(0..=plain.len())?;
                let length = u.int_in_range(0..=plain.len() - from)?;
                plain.extend_from_within(from..from + length);
            }
            _ => {
                let word = u.arbitrary::<u32>()? % 500;
                plain.extend(format!("symbol_{word} ").bytes().cycle().take(200));
            }
        }
    }
    Ok(plain)
}

#[test]
fn files_of_the_zstd_program_are_read() {
    // `zstd -1`, `zstd -19` and `zstd --ultra -22 --long=27` of a file; `zstd -3 --no-check` of standard input, which declares no size.
    let samples: [(&[u8], u64); 4] = [(FAST, 6000), (LEVEL_19, 12_000), (LEVEL_22, 1000), (STREAM, 12_000)];
    for (packed, lines) in samples {
        let line = |n: u64| format!("{} alias pci:v{:08X}d*\n", n * n % 61, n * 31 % 1009);
        let expected: String = (0..lines).map(line).collect();
        assert!(decode(packed).unwrap() == expected.as_bytes(), "{} bytes", packed.len());
    }
}

#[test]
fn encoded_text_is_decoded() {
    arbtest::arbtest(|u| {
        let plain = sample(u)?;
        assert!(decode(&encode(&plain)).unwrap() == plain, "{} bytes", plain.len());
        Ok(())
    })
    .size_min(1 << 12)
    .size_max(1 << 16);
}

/// Decodes a damaged file. What is decoded must be the same as for ruzstd.
fn is_decoded_alike(bytes: &[u8]) -> bool {
    let Ok(out) = decode(bytes) else { return false };
    let mut theirs = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(bytes).unwrap();
    decoder.read_to_end(&mut theirs).unwrap();
    assert!(theirs == out);
    true
}

#[test]
fn damage_is_an_error_or_changes_the_content() {
    // Within the frame's header, and within the literals of a block.
    for (at, is_decoded) in [(4, false), (300, true)] {
        let mut bytes = STREAM.to_vec();
        bytes[at] ^= 8;
        assert_eq!(is_decoded_alike(&bytes), is_decoded, "{at}");
    }
}

#[test]
fn damaged_files_are_errors_or_the_same_as_for_ruzstd() {
    let samples = [FAST, LEVEL_19, LEVEL_22, STREAM];
    arbtest::arbtest(|u| {
        let mut bytes = u.choose(&samples)?.to_vec();
        for _ in 0..u.int_in_range(1..=3)? {
            // Most of the structure is at the start.
            let end = if u.arbitrary()? { bytes.len() } else { 300 };
            let at = u.choose_index(end)?;
            bytes[at] = u.arbitrary()?;
        }
        is_decoded_alike(&bytes);
        Ok(())
    });
}

/// RFC 8878, 4.2.2. The C library accepts that bits are missing there, and returns 37 wrong bytes for this file.
#[test]
fn a_huffman_stream_that_ends_within_its_last_symbols_is_corrupt() {
    let mut bytes = STREAM.to_vec();
    bytes[9189] ^= 1;
    assert_eq!(damage(&bytes), Damage::Corrupt);
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(&bytes[..]).unwrap();
    assert!(decoder.read_to_end(&mut Vec::new()).is_err());
}

/// A frame with a window descriptor and one block of each kind.
fn frame(descriptor: u8, blocks: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = [MAGIC, &[descriptor, 0x50]].concat();
    for (number, (kind, size, content)) in blocks.iter().enumerate() {
        let header = u32::from(number + 1 == blocks.len()) | kind << 1 | size << 3;
        bytes.extend(&header.to_le_bytes()[..3]);
        bytes.extend(*content);
    }
    bytes
}

#[test]
fn frames_are_concatenated_and_skippable_ones_are_skipped() {
    let one = frame(0, &[(0, 3, b"abc"), (1, 4, b"x"), (0, 0, b"")]);
    let skippable = b"\x5f\x2a\x4d\x18\x02\0\0\0zz";
    assert_eq!(decode(&[&one[..], skippable, &one].concat()).unwrap(), b"abcxxxxabcxxxx");
    assert_eq!(damage(&[&one[..], &skippable[..9]].concat()), Damage::Truncated);
    assert_eq!(damage(&[&one[..], b"garbage"].concat()), Damage::Trailing);
    assert_eq!(damage(&[&one[..], b"\x28"].concat()), Damage::Trailing);
}

#[test]
fn every_kind_of_damage_is_named() {
    let good = frame(0, &[(0, 3, b"abc")]);
    for length in 4..good.len() {
        assert_eq!(damage(&good[..length]), Damage::Truncated, "{length}");
    }
    assert_eq!(damage(&frame(8, &[(0, 0, b"")])), Damage::Unsupported);
    assert_eq!(damage(&[MAGIC, &[1, 0x50, 7, 1, 0, 0]].concat()), Damage::Dictionary);
    assert_eq!(damage(&frame(0, &[(3, 0, b"")])), Damage::Corrupt);
    assert_eq!(damage(&frame(0, &[(0, 0x20_0000 - 1, b"")])), Damage::Corrupt);
    assert_eq!(damage(&frame(4, &[(0, 3, b"abc")])), Damage::Truncated, "without its checksum");
    let sum = xxh64(b"abc").to_le_bytes();
    assert_eq!(decode(&[&frame(4, &[(0, 3, b"abc")])[..], &sum[..4]].concat()).unwrap(), b"abc");
    assert_eq!(damage(&[&frame(4, &[(0, 3, b"abc")])[..], b"nope"].concat()), Damage::Checksum);
    // A content size of 4 with 3 bytes.
    assert_eq!(damage(&[MAGIC, &[0x20, 4, 0x19, 0, 0], b"abc"].concat()), Damage::Corrupt);
}

#[test]
fn a_block_has_at_most_128_kib_of_content() {
    // 65 sequences of one literal length code 0, offset code 0 and match length code 52 with 16 additional bits: 131 KB each.
    let mut section = vec![0x08, b'y', 65, 0b01_01_01_00, 0, 0, 52];
    section.extend([0xff; 130]);
    section.push(1);
    let size = section.len() as u32;
    assert_eq!(damage(&frame(0, &[(0, 1, b"y"), (2, size, &section)])), Damage::Corrupt);
}

#[test]
fn the_limit_is_exact_and_a_declared_size_is_not_trusted() {
    let one = frame(0, &[(1, 1000, b"x")]);
    let limited = |bytes: &[u8], size| decompress(bytes, &mut Vec::new(), &Limits { size, ..LIMITS });
    assert!(limited(&one, 1000).is_ok());
    assert!(matches!(limited(&one, 999), Err(ObjectErrorKind::TooLarge(999))));
    // Declares 2^60 bytes: beyond every limit, and then no memory for it.
    let huge = [MAGIC, &[0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0]].concat();
    assert!(matches!(limited(&huge, 1000), Err(ObjectErrorKind::TooLarge(1000))));
    let mut out = Vec::new();
    let error = decompress(&huge, &mut out, &Limits { size: u64::MAX, ..LIMITS });
    assert!(matches!(error, Err(ObjectErrorKind::Decompress { damage: Damage::Corrupt, .. })));
    assert!(out.capacity() < 1 << 20, "{}", out.capacity());
}
