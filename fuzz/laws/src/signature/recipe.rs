//! Builds signatures from parts: in the old forms, and as PKCS#7 with lengths in every encoding.

use arbitrary::Arbitrary;
use kmod::object::Signature;
use kmod::object::signature::IdType;
use std::borrow::Cow;

const MARKER: &[u8] = b"~Module signature appended~\n";

/// A signed file.
#[derive(Debug, Arbitrary)]
pub(super) struct Recipe {
    before: Vec<u8>,
    form: Form,
    /// The trailer's algorithm and its padding, which is ignored.
    is_rsa: bool,
    padding: [u8; 3],
    signature: Vec<u8>,
    /// Bytes to change afterwards: positions, from the end, and values.
    damage: Vec<(u16, u8)>,
}

#[derive(Debug, Arbitrary)]
enum Form {
    Old { is_x509: bool, hash: u8, signer: Vec<u8>, key: Vec<u8> },
    Pkcs7(Message),
}

#[derive(Debug, Arbitrary)]
struct Message {
    names: Vec<(bool, Vec<u8>)>,
    by: Key,
    hash: Vec<u32>,
    is_sha256: bool,
    certificates: Option<Vec<u8>>,
    revocations: Option<Vec<u8>>,
    attributes: Option<Vec<u8>>,
    trailing: Vec<u8>,
    lengths: Lengths,
}

#[derive(Debug, Arbitrary)]
enum Key {
    /// The bytes of an unsigned serial number, and the number of zeros before them.
    Serial(Vec<u8>, u8),
    Identifier(Vec<u8>),
}

/// The encodings of the lengths of all elements, in order; repeated as needed.
#[derive(Debug, Arbitrary)]
struct Lengths(Vec<Length>);

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Length {
    Short,
    /// The long form, with up to three more bytes than needed.
    Long(u8),
    Indefinite,
}

impl Recipe {
    /// The file.
    pub(super) fn file(&self) -> Vec<u8> {
        let algorithm = u8::from(self.is_rsa);
        let (head, signer, key, signature) = match &self.form {
            Form::Old { is_x509, hash, .. } => {
                let (signer, key) = self.old_names();
                ([algorithm, hash % 9, u8::from(*is_x509)], signer, key, self.old_signature())
            }
            Form::Pkcs7(message) => ([algorithm, 0, 2], &[][..], &[][..], message.build(&self.signature)),
        };
        let lengths = [signer.len() as u8, key.len() as u8];
        let length = (signature.len() as u32).to_be_bytes();
        [&self.before[..], signer, key, &signature, &head, &lengths, &self.padding, &length, MARKER].concat()
    }

    /// The signature that the parser must return.
    pub(super) fn expected(&self) -> Signature<'_> {
        match &self.form {
            Form::Old { is_x509, hash, .. } => {
                const HASHES: [&str; 9] =
                    ["md4", "md5", "sha1", "rmd160", "sha256", "sha384", "sha512", "sha224", "sm3"];
                let (signer, key) = self.old_names();
                Signature {
                    id_type: if *is_x509 { IdType::X509 } else { IdType::Pgp },
                    signer: before_nul(signer),
                    key: Cow::Borrowed(key),
                    hash: HASHES[usize::from(hash % 9)].into(),
                    bytes: if self.signature.is_empty() { b"s" } else { &self.signature },
                }
            }
            Form::Pkcs7(message) => Signature {
                id_type: IdType::Pkcs7,
                signer: message.signer(),
                key: message.key().into(),
                hash: message.hash_name().into(),
                bytes: &self.signature,
            },
        }
    }

    /// Changes some bytes near the end, where the signature is.
    pub(super) fn damage(&self, file: &mut [u8]) {
        for (at, byte) in &self.damage {
            let at = file.len().checked_sub(1 + usize::from(*at));
            at.and_then(|at| file.get_mut(at)).into_iter().for_each(|old| *old = *byte);
        }
    }

    fn old_names(&self) -> (&[u8], &[u8]) {
        match &self.form {
            Form::Old { signer, key, .. } => (&signer[..signer.len().min(255)], &key[..key.len().min(255)]),
            Form::Pkcs7(_) => (&[], &[]),
        }
    }

    /// The signature, which must not be empty.
    fn old_signature(&self) -> Vec<u8> {
        if self.signature.is_empty() { b"s".to_vec() } else { self.signature.clone() }
    }
}

impl Message {
    fn build(&self, signature: &[u8]) -> Vec<u8> {
        let mut out = Encoder { lengths: &self.lengths.0, next: 0 };
        let kind = out.plain(6, b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02");
        let version = out.plain(2, &[1]);
        let signer = self.signer_element(&mut out);
        let hash = out.plain(6, &self.hash_bytes());
        let hash = out.constructed(0x30, &[&hash]);
        let algorithm = out.plain(6, b"\x2a\x03");
        let algorithm = out.constructed(0x30, &[&algorithm]);
        let mut list = |tag: u8, content: &Option<Vec<u8>>| match content {
            // The content is arbitrary, but its length is valid.
            Some(bytes) => {
                let inner = out.plain(4, bytes);
                out.constructed(tag, &[&inner])
            }
            None => Vec::new(),
        };
        let (certificates, revocations) = (list(0xa0, &self.certificates), list(0xa1, &self.revocations));
        let attributes = list(0xa0, &self.attributes);
        let bytes = out.plain(4, signature);
        let info = out.constructed(0x30, &[&version, &signer, &hash, &attributes, &algorithm, &bytes]);
        let infos = out.constructed(0x31, &[&info]);
        let hashes = out.constructed(0x31, &[&hash]);
        let signed = out.constructed(0x30, &[&version, &hashes, &algorithm, &certificates, &revocations, &infos]);
        let content = out.constructed(0xa0, &[&signed]);
        [out.constructed(0x30, &[&kind, &content]), self.trailing.clone()].concat()
    }

    fn signer_element(&self, out: &mut Encoder<'_>) -> Vec<u8> {
        match &self.by {
            Key::Identifier(bytes) => out.plain(0x80, bytes),
            Key::Serial(bytes, zeros) => {
                let mut names = Vec::new();
                for (is_common, text) in &self.names {
                    let kind = out.plain(6, if *is_common { b"\x55\x04\x03" } else { b"\x55\x04\x0a" });
                    let text = out.plain(12, text);
                    let part = out.constructed(0x30, &[&kind, &text]);
                    names.extend(out.constructed(0x31, &[&part]));
                }
                let name = out.constructed(0x30, &[&names]);
                // A leading zero makes the number positive.
                let serial = out.plain(2, &[&vec![0; usize::from(zeros % 4) + 1], &bytes[..]].concat());
                out.constructed(0x30, &[&name, &serial])
            }
        }
    }

    fn signer(&self) -> &[u8] {
        if matches!(self.by, Key::Identifier(_)) {
            return &[];
        }
        let common = self.names.iter().find(|(is_common, _)| *is_common);
        common.or(self.names.last()).map(|(_, text)| before_nul(text)).unwrap_or_default()
    }

    fn key(&self) -> &[u8] {
        match &self.by {
            Key::Identifier(bytes) => bytes,
            Key::Serial(bytes, _) => &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..],
        }
    }

    /// The object identifier of the hash: SHA-256's, or an unknown one below 2.25.
    fn hash_bytes(&self) -> Vec<u8> {
        if self.is_sha256 {
            return b"\x60\x86\x48\x01\x65\x03\x04\x02\x01".to_vec();
        }
        let digits = |number: &u32| {
            let all = (0..5).rev().map(|place| (number >> (7 * place) & 0x7f) as u8);
            let mut digits: Vec<u8> = all.skip_while(|digit| *digit == 0).collect();
            if digits.is_empty() {
                digits.push(0);
            }
            let last = digits.len() - 1;
            digits
                .iter()
                .enumerate()
                .map(|(at, digit)| if at < last { digit | 0x80 } else { *digit })
                .collect::<Vec<_>>()
        };
        [vec![80 + 25], self.hash.iter().flat_map(digits).collect()].concat()
    }

    fn hash_name(&self) -> String {
        if self.is_sha256 {
            return "sha256".to_owned();
        }
        self.hash.iter().fold("2.25".to_owned(), |name, number| format!("{name}.{number}"))
    }
}

fn before_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

struct Encoder<'a> {
    lengths: &'a [Length],
    next: usize,
}

impl Encoder<'_> {
    /// An element whose content is bytes.
    fn plain(&mut self, tag: u8, content: &[u8]) -> Vec<u8> {
        let length = match self.length() {
            Length::Indefinite => Length::Short,
            other => other,
        };
        [&[tag][..], &definite(length, content.len()), content].concat()
    }

    /// An element whose content is elements.
    fn constructed(&mut self, tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        match self.length() {
            Length::Indefinite => [&[tag, 0x80][..], &content, &[0, 0]].concat(),
            length => [&[tag][..], &definite(length, content.len()), &content].concat(),
        }
    }

    fn length(&mut self) -> Length {
        let length = self.next.checked_rem(self.lengths.len()).map_or(Length::Short, |at| self.lengths[at]);
        self.next += 1;
        length
    }
}

fn definite(length: Length, size: usize) -> Vec<u8> {
    if let (Length::Short, 0..0x80) = (length, size) {
        return vec![size as u8];
    }
    let more = if let Length::Long(more) = length { usize::from(more % 4) } else { 0 };
    let digits: Vec<u8> = (size as u64).to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    [&[0x80 | (more + digits.len().max(1)) as u8][..], &vec![0; more + usize::from(digits.is_empty())], &digits]
        .concat()
}
