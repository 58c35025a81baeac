//! Tests of signatures in every format. `openssl.p7s` was made by OpenSSL 3.0:
//! `openssl cms -sign -outform DER -binary -nocerts -noattr -nosmimecap -md sha512`, with a key on the curve P-256.

use super::super::der::tag::{
    CONTEXT_0, CONTEXT_0_CONSTRUCTED, CONTEXT_1_CONSTRUCTED, INTEGER, OBJECT, OCTET_STRING, SEQUENCE, SET,
};
use super::*;

const OPENSSL: &[u8] = include_bytes!("openssl.p7s");
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";

/// Returns a file with an appended signature. The trailer's fields are algorithm, hash and type of identifier.
fn appended([algorithm, hash, id_type]: [u8; 3], signer: &[u8], key: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut file = [b"a module", signer, key, signature].concat();
    file.extend([algorithm, hash, id_type, signer.len() as u8, key.len() as u8, 0, 0, 0]);
    file.extend((signature.len() as u32).to_be_bytes());
    file.extend(MARKER);
    file
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..0x80 => vec![short as u8],
        long => [&[0x82][..], &(long as u16).to_be_bytes()].concat(),
    };
    [&[tag][..], &length, &content].concat()
}

/// A PKCS#7 message to build; each part is encoded.
#[derive(Clone)]
struct Message {
    kind: Vec<u8>,
    lists: Vec<u8>,
    signer: Vec<u8>,
    hash: Vec<u8>,
    attributes: Vec<u8>,
    signature: Vec<u8>,
}

impl Message {
    fn of(names: &[(&[u8], &[u8])], serial: &[u8]) -> Self {
        let part = |(kind, text): &(&[u8], &[u8])| {
            element(SET, &[&element(SEQUENCE, &[&element(OBJECT, &[kind]), &element(12, &[text])])])
        };
        let name: Vec<u8> = names.iter().flat_map(part).collect();
        Self {
            kind: SIGNED_DATA.to_vec(),
            lists: Vec::new(),
            signer: element(SEQUENCE, &[&element(SEQUENCE, &[&name]), &element(INTEGER, &[serial])]),
            hash: SHA256.to_vec(),
            attributes: Vec::new(),
            signature: vec![7; 21],
        }
    }

    fn build(&self) -> Vec<u8> {
        let algorithm = |object: &[u8]| element(SEQUENCE, &[&element(OBJECT, &[object])]);
        let one = element(INTEGER, &[&[1]]);
        let info = element(
            SEQUENCE,
            &[
                &one,
                &self.signer,
                &algorithm(&self.hash),
                &self.attributes,
                &algorithm(b"\x2a\x03"),
                &element(OCTET_STRING, &[&self.signature]),
            ],
        );
        let hashes = element(SET, &[&algorithm(b"\x2a\x04")]);
        let signed = element(SEQUENCE, &[&one, &hashes, &algorithm(b"\x2a\x05"), &self.lists, &element(SET, &[&info])]);
        element(SEQUENCE, &[&element(OBJECT, &[&self.kind]), &element(CONTEXT_0_CONSTRUCTED, &[&signed])])
    }

    fn file(&self) -> Vec<u8> {
        appended([0, 0, 2], b"", b"", &self.build())
    }
}

const OU: &[u8] = b"\x55\x04\x0b";

fn shown(file: &[u8]) -> String {
    let Some(signature) = Signature::parse(file) else { return "none".into() };
    let Signature { id_type, signer, key, hash, bytes } = signature;
    format!("{} {} {key:02x?} {hash} {}", id_type.as_str(), String::from_utf8_lossy(signer), bytes.len())
}

#[test]
fn a_signature_of_openssl_is_read() {
    let file = appended([0, 0, 2], b"", b"", OPENSSL);
    assert_eq!(shown(&file), "PKCS#7 Build key [ff, 01, 02] sha512 70");
    assert_eq!(Signature::parse(&file).unwrap().bytes[..5], [0x30, 0x44, 0x02, 0x20, 0x30]);
    assert_eq!(appended_length(&file[file.len() - TRAILER_LENGTH..]), Some(208 + 40));
}

#[test]
fn an_old_signature_follows_signer_and_key() {
    let file = |hash, id| appended([1, hash, id], b"Some One\0x", b"\x01\xff", &[7; 5]);
    assert_eq!(shown(&file(4, 1)), "X509 Some One [01, ff] sha256 5");
    assert_eq!(shown(&file(3, 0)), "PGP Some One [01, ff] rmd160 5");
    assert_eq!(shown(&appended([0, 8, 1], b"", b"", b"s")), "X509  [] sm3 1");
}

#[test]
fn an_invalid_trailer_counts_as_unsigned() {
    for kind in [[2, 0, 1], [0, 9, 1], [0, 0, 3]] {
        assert_eq!(shown(&appended(kind, b"n", b"k", b"s")), "none", "{kind:?}");
    }
    let file = appended([0, 0, 1], b"n", b"k", b"s");
    let patched = |from_end: usize, byte: u8| {
        let mut file = file.clone();
        let at = file.len() - from_end;
        file[at] = byte;
        shown(&file)
    };
    assert_eq!(patched(1, b'\n'), "X509 n [6b] md4 1");
    // A wrong marker; length 0; a signature longer than the file, by a little and by much; a signer longer than the file.
    assert_eq!([(1, b' '), (29, 0), (29, 10), (32, 0xff), (37, 10)].map(|(at, byte)| patched(at, byte)), ["none"; 5]);
    assert_eq!([(29, 9), (37, 9)].map(|(at, byte)| patched(at, byte).len() > 4), [true; 2]);
    for length in 0..TRAILER_LENGTH {
        assert_eq!(shown(&file[file.len() - length..]), "none");
    }
}

#[test]
fn the_signer_is_the_first_common_name_or_else_the_last_part() {
    let signer = |names: &[(&[u8], &[u8])]| {
        let file = Message::of(names, b"\x01").file();
        String::from_utf8_lossy(Signature::parse(&file).unwrap().signer).into_owned()
    };
    assert_eq!(signer(&[(OU, b"a"), (COMMON_NAME, "Jérôme".as_bytes()), (COMMON_NAME, b"c"), (OU, b"d")]), "Jérôme");
    assert_eq!(signer(&[(OU, b"a"), (OU, b"b")]), "b");
    assert_eq!(signer(&[(COMMON_NAME, b"a\0b")]), "a");
    assert_eq!(signer(&[]), "");
}

#[test]
fn the_key_is_the_absolute_value_of_the_serial_number() {
    let key = |serial: &[u8]| Signature::parse(&Message::of(&[], serial).file()).unwrap().key.into_owned();
    assert_eq!(key(b"\x00\xff\x01\x02"), b"\xff\x01\x02");
    assert_eq!(key(b"\x00"), b"");
    assert_eq!(key(b""), b"");
    // -255, -1 and -128.
    assert_eq!([key(b"\xff\x01"), key(b"\xff"), key(b"\x80")], [&b"\xff"[..], b"\x01", b"\x80"]);
}

#[test]
fn optional_parts_are_skipped() {
    let mut message = Message::of(&[(COMMON_NAME, b"x")], b"\x05");
    let plain = shown(&message.file());
    assert_eq!(plain, "PKCS#7 x [05] sha256 21");
    message.lists =
        [element(CONTEXT_0_CONSTRUCTED, &[&[0; 300]]), element(CONTEXT_1_CONSTRUCTED, &[b"\x30\x00"])].concat();
    message.attributes = element(CONTEXT_0_CONSTRUCTED, &[b"\x30\x00"]);
    assert_eq!(shown(&message.file()), plain);
    // So are bytes after the message.
    assert_eq!(shown(&appended([0, 0, 2], b"n", b"k", &[&message.build()[..], b"more"].concat())), plain);
}

#[test]
fn a_key_can_be_given_by_its_identifier_alone() {
    let mut message = Message::of(&[], b"");
    message.signer = element(CONTEXT_0, &[b"\x00\xab"]);
    assert_eq!(shown(&message.file()), "PKCS#7  [00, ab] sha256 21");
}

#[test]
fn an_unknown_hash_is_shown_by_its_object_identifier() {
    let mut message = Message::of(&[], b"\x05");
    message.hash = b"\x60\x86\x48\x01\x65\x03\x04\x02\x7f".to_vec();
    assert_eq!(shown(&message.file()), "PKCS#7  [05] 2.16.840.1.101.3.4.2.127 21");
    message.hash = b"\x2b\x0e\x03\x02\x1a".to_vec();
    assert_eq!(shown(&message.file()), "PKCS#7  [05] sha1 21");
}

#[test]
fn a_truncated_message_or_another_type_counts_as_unsigned() {
    let message = Message::of(&[(COMMON_NAME, b"x")], b"\x05");
    let whole = message.build();
    for length in 0..whole.len() {
        assert_eq!(shown(&appended([0, 0, 2], b"", b"", &whole[..length])), "none", "{length}");
    }
    let other = Message { kind: b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01".to_vec(), ..message };
    assert_eq!(shown(&other.file()), "none");
}

#[test]
fn arbitrary_bytes_do_not_make_the_reader_panic() {
    let old = appended([0, 4, 1], b"Some One", b"\x01\xff", &[7; 5]);
    let files = [old, appended([0, 0, 2], b"", b"", OPENSSL), Message::of(&[(OU, b"a")], b"\xff\x01").file()];
    arbtest::arbtest(|u| {
        let mut file = if u.arbitrary()? { u.choose(&files)?.clone() } else { u.arbitrary()? };
        for _ in 0..u.int_in_range(0..=6)? {
            let at = u.choose_index(file.len().max(1))?;
            let any = u.arbitrary()?;
            let new = *u.choose(&[0, 1, 2, 0x30, 0x7f, 0x80, 0x81, 0xa0, 0xff, any])?;
            file.get_mut(at).into_iter().for_each(|byte| *byte = new);
        }
        let length = appended_length(&file);
        if let Some(signature) = Signature::parse(&file) {
            let within = |part: &[u8]| file.as_ptr_range().contains(&part.as_ptr()) || part.is_empty();
            assert!(within(signature.signer) && within(signature.bytes));
            // The last appended_length bytes are enough.
            let end = &file[file.len() - usize::try_from(length.unwrap()).unwrap()..];
            assert_eq!(Signature::parse(end), Some(signature));
        }
        Ok(())
    });
}
