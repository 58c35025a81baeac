//! The signature that is appended to a module file: signer, key and signature bytes. Signatures are not verified; the kernel
//! does that.
//!
//! The module is followed by the name of the signer and the identifier of the key (only in the old formats, PGP and X509), the
//! signature (today a PKCS#7 message, which contains the other two), twelve bytes with the lengths of these, and a marker
//! (include/linux/module_signature.h in the kernel).
//!
//! Every length is checked against the file. A module whose signature cannot be read counts as unsigned, as in C kmod.

use std::borrow::Cow;

use super::der::{self, Reader, tag};

/// The end of a signed file.
pub(super) const MARKER: &[u8; 28] = b"~Module signature appended~\n";

/// The number of bytes at the end of a file that show whether there is a signature, and its length.
pub const TRAILER_LENGTH: usize = 12 + MARKER.len();

/// The size limit of a signature, in bytes; those of the kernel's build are below 2 KiB.
const LENGTH_LIMIT: u64 = 64 << 20;

/// How signer and key are identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdType {
    /// By name and key identifier; never used.
    Pgp,
    /// By name and key identifier (Linux 3.7 to 4.2).
    X509,
    /// In a PKCS#7 message (since Linux 4.3).
    Pkcs7,
}

impl IdType {
    /// Returns the name, as shown in `sig_id`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pgp => "PGP",
            Self::X509 => "X509",
            Self::Pkcs7 => "PKCS#7",
        }
    }
}

/// The hash functions by their number in the old formats.
const HASHES: [&str; 9] = ["md4", "md5", "sha1", "rmd160", "sha256", "sha384", "sha512", "sha224", "sm3"];

/// The hash functions by their object identifier in PKCS#7.
const HASH_OBJECTS: [(&str, &str); 21] = [
    ("1.2.840.113549.2.2", "md2"),
    ("1.2.840.113549.2.4", "md4"),
    ("1.2.840.113549.2.5", "md5"),
    ("1.3.14.3.2.26", "sha1"),
    ("1.3.36.3.2.1", "ripemd160"),
    ("2.16.840.1.101.3.4.2.1", "sha256"),
    ("2.16.840.1.101.3.4.2.2", "sha384"),
    ("2.16.840.1.101.3.4.2.3", "sha512"),
    ("2.16.840.1.101.3.4.2.4", "sha224"),
    ("2.16.840.1.101.3.4.2.5", "sha512-224"),
    ("2.16.840.1.101.3.4.2.6", "sha512-256"),
    ("2.16.840.1.101.3.4.2.7", "sha3-224"),
    ("2.16.840.1.101.3.4.2.8", "sha3-256"),
    ("2.16.840.1.101.3.4.2.9", "sha3-384"),
    ("2.16.840.1.101.3.4.2.10", "sha3-512"),
    ("2.16.840.1.101.3.4.2.11", "shake128"),
    ("2.16.840.1.101.3.4.2.12", "shake256"),
    ("1.2.156.10197.1.401", "sm3"),
    ("1.2.643.2.2.9", "GOST R 34.11-94"),
    ("1.2.643.7.1.1.2.2", "GOST R 34.11-2012 with 256 bit hash"),
    ("1.2.643.7.1.1.2.3", "GOST R 34.11-2012 with 512 bit hash"),
];

/// 1.2.840.113549.1.7.2, signedData: the type of a PKCS#7 message with signatures.
const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
/// 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = b"\x55\x04\x03";

/// The signature of a module file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// How signer and key are identified.
    pub id_type: IdType,
    /// The signer: the common name of the certificate's issuer, or else the last part of its name; up to the first NUL.
    pub signer: &'a [u8],
    /// The key: the serial number of its certificate, or its identifier.
    pub key: Cow<'a, [u8]>,
    /// The hash function: its name, or its object identifier in dotted decimal.
    pub hash: Cow<'static, str>,
    /// The bytes of the signature.
    pub bytes: &'a [u8],
}

/// Returns the length of the appended signature including the trailer; `None` when the file is not signed. `end` is the end of the
/// file, at least [`TRAILER_LENGTH`] bytes.
#[must_use]
pub fn appended_length(end: &[u8]) -> Option<u64> {
    Some(Trailer::read(end)?.appended_length()).filter(|length| *length <= LENGTH_LIMIT)
}

/// The twelve bytes that precede the marker.
struct Trailer {
    hash: &'static str,
    id_type: IdType,
    signer: u8,
    key: u8,
    signature: u32,
}

impl Trailer {
    fn read(end: &[u8]) -> Option<Self> {
        let (_, trailer) = end.strip_suffix(MARKER)?.split_last_chunk::<12>()?;
        let [algorithm, hash, id_type, signer, key, _, _, _, length @ ..] = *trailer;
        let signature = u32::from_be_bytes(length);
        // 0 is DSA and 1 is RSA; the kernel ignores the field.
        if algorithm > 1 || signature == 0 {
            return None;
        }
        let id_type = match id_type {
            0 => IdType::Pgp,
            1 => IdType::X509,
            2 => IdType::Pkcs7,
            _ => return None,
        };
        Some(Self { hash: HASHES.get(usize::from(hash))?, id_type, signer, key, signature })
    }

    fn appended_length(&self) -> u64 {
        u64::from(self.signer) + u64::from(self.key) + u64::from(self.signature) + TRAILER_LENGTH as u64
    }
}

impl<'a> Signature<'a> {
    /// Reads the signature at the end of a file. `file` is the whole file, or at least its last [`appended_length`] bytes.
    #[must_use]
    pub fn parse(file: &'a [u8]) -> Option<Self> {
        let trailer = Trailer::read(file)?;
        let appended = usize::try_from(trailer.appended_length()).ok()?;
        let start = file.len().checked_sub(appended)?;
        let (signer, rest) = file.get(start..)?.split_at_checked(usize::from(trailer.signer))?;
        let (key, rest) = rest.split_at_checked(usize::from(trailer.key))?;
        let bytes = rest.get(..usize::try_from(trailer.signature).ok()?)?;
        match trailer.id_type {
            IdType::Pkcs7 => Self::from_pkcs7(bytes),
            id_type => Some(Self {
                id_type,
                signer: up_to_nul(signer),
                key: Cow::Borrowed(key),
                hash: Cow::Borrowed(trailer.hash),
                bytes,
            }),
        }
    }

    /// Reads the first signer of a PKCS#7 message (RFC 5652: ContentInfo, SignedData, SignerInfo).
    fn from_pkcs7(message: &'a [u8]) -> Option<Self> {
        let mut content_info = Reader::new(message).enter(tag::SEQUENCE)?;
        content_info.take(tag::OBJECT).filter(|kind| *kind == SIGNED_DATA)?;
        let mut signed = content_info.enter(tag::CONTEXT_0_CONSTRUCTED)?.enter(tag::SEQUENCE)?;
        signed.take(tag::INTEGER)?;
        signed.take(tag::SET)?;
        signed.take(tag::SEQUENCE)?;
        // Certificates and revocation lists.
        signed.take(tag::CONTEXT_0_CONSTRUCTED);
        signed.take(tag::CONTEXT_1_CONSTRUCTED);
        let mut info = signed.enter(tag::SET)?.enter(tag::SEQUENCE)?;
        info.take(tag::INTEGER)?;
        let (signer, key) = match info.any()? {
            (tag::SEQUENCE, issuer_and_serial) => {
                let mut by = Reader::new(issuer_and_serial);
                let signer = readable_name(by.enter(tag::SEQUENCE)?)?;
                (signer, magnitude(by.take(tag::INTEGER)?))
            }
            // Only the identifier of the key: the signer is unknown.
            (tag::CONTEXT_0, key) => (&[][..], Cow::Borrowed(key)),
            _ => return None,
        };
        let hash = der::object_identifier(info.enter(tag::SEQUENCE)?.take(tag::OBJECT)?)?;
        // The signed attributes.
        info.take(tag::CONTEXT_0_CONSTRUCTED);
        info.take(tag::SEQUENCE)?;
        let bytes = info.take(tag::OCTET_STRING)?;
        let hash = match HASH_OBJECTS.iter().find(|(object, _)| *object == hash) {
            Some((_, name)) => Cow::Borrowed(*name),
            None => Cow::Owned(hash),
        };
        Some(Self { id_type: IdType::Pkcs7, signer, key, hash, bytes })
    }
}

/// Returns the first common name in a name, or else its last part; empty for an empty name.
fn readable_name(mut name: Reader<'_>) -> Option<&[u8]> {
    let mut last = &[][..];
    while let Some(mut set) = name.enter(tag::SET) {
        while let Some(mut part) = set.enter(tag::SEQUENCE) {
            let kind = part.take(tag::OBJECT)?;
            (_, last) = part.any()?;
            if kind == COMMON_NAME {
                return Some(up_to_nul(last));
            }
        }
    }
    Some(up_to_nul(last))
}

fn up_to_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Returns the absolute value of an integer, without leading zeros.
fn magnitude(integer: &[u8]) -> Cow<'_, [u8]> {
    fn stripped(bytes: &[u8]) -> &[u8] {
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        bytes.get(zeros..).unwrap_or_default()
    }
    if integer.first().is_none_or(|first| first & 0x80 == 0) {
        return Cow::Borrowed(stripped(integer));
    }
    // Two's complement: invert all bits and add one.
    let mut positive: Vec<u8> = integer.iter().map(|byte| !byte).collect();
    for byte in positive.iter_mut().rev() {
        let carry;
        (*byte, carry) = byte.overflowing_add(1);
        if !carry {
            break;
        }
    }
    Cow::Owned(stripped(&positive).to_vec())
}

#[cfg(test)]
mod tests;
