//! A reader for the encoding of PKCS#7 (X.690): a sequence of elements with tag and content. Contents are slices of the input;
//! elements are decoded on demand and without recursion.
//!
//! Signing tools write DER, but BER with its indefinite lengths is accepted too.

/// The tags in a signature.
pub(super) mod tag {
    pub(in super::super) const INTEGER: u8 = 0x02;
    pub(in super::super) const OCTET_STRING: u8 = 0x04;
    pub(in super::super) const OBJECT: u8 = 0x06;
    pub(in super::super) const SEQUENCE: u8 = 0x30;
    pub(in super::super) const SET: u8 = 0x31;
    /// `[0]`, primitive and constructed.
    pub(in super::super) const CONTEXT_0: u8 = 0x80;
    pub(in super::super) const CONTEXT_0_CONSTRUCTED: u8 = 0xa0;
    pub(in super::super) const CONTEXT_1_CONSTRUCTED: u8 = 0xa1;
}

/// The bit of constructed elements, which contain other elements.
const CONSTRUCTED: u8 = 0x20;

/// Reads one element after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Reads the next element: its tag and content. Returns `None` at the end and for a truncated element.
    pub(super) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let header = Header::read(self.0)?;
        let (_, rest) = self.0.split_at_checked(header.size)?;
        let (length, end) = match header.length {
            Some(length) => (length, 0),
            None => (indefinite_length(rest)?, 2),
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest.get(end..)?;
        Some((header.tag, content))
    }

    /// Reads the content of the next element if it has this tag; otherwise the position does not change.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.any()?;
        if found != tag {
            return None;
        }
        *self = ahead;
        Some(content)
    }

    /// Returns a reader of the next element's content if it has this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }
}

struct Header {
    tag: u8,
    /// `None`: indefinite, up to an end marker.
    length: Option<usize>,
    /// The size of the header itself.
    size: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        let (&first, rest) = rest.split_first()?;
        // Tags of several bytes do not occur in signatures.
        if tag & 0x1f == 0x1f {
            return None;
        }
        match first {
            0x80 if tag & CONSTRUCTED != 0 => Some(Self { tag, length: None, size: 2 }),
            0x80 | 0xff => None,
            _ if first & 0x80 == 0 => Some(Self { tag, length: Some(usize::from(first)), size: 2 }),
            _ => {
                let count = usize::from(first & 0x7f);
                let mut length = 0_usize;
                for &byte in rest.get(..count)? {
                    length = length.checked_mul(256)?.checked_add(usize::from(byte))?;
                }
                Some(Self { tag, length: Some(length), size: 2 + count })
            }
        }
    }
}

/// Returns the length of an element of indefinite length: up to its own end marker (two zeros).
fn indefinite_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut open) = (0_usize, 1_usize);
    loop {
        let header = Header::read(bytes.get(at..)?)?;
        let after = at.checked_add(header.size)?;
        match header.length {
            Some(0) if header.tag == 0 => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
                at = after;
            }
            Some(length) => at = after.checked_add(length)?,
            None => {
                open += 1;
                at = after;
            }
        }
    }
}

/// Returns an object identifier in dotted decimal; `None` when it is malformed.
pub(super) fn object_identifier(content: &[u8]) -> Option<String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut number = 0_u128;
    let mut begins = true;
    for &byte in content {
        // A number must not start with a zero digit.
        if begins && byte == 0x80 {
            return None;
        }
        number = number.checked_mul(128)?.checked_add(u128::from(byte & 0x7f))?;
        begins = byte & 0x80 == 0;
        if begins {
            let written = match number {
                // The first two numbers are encoded as one.
                _ if !text.is_empty() => write!(text, ".{number}"),
                0..80 => write!(text, "{}.{}", number / 40, number % 40),
                _ => write!(text, "2.{}", number - 80),
            };
            written.ok()?;
            number = 0;
        }
    }
    // The last number must be complete.
    (begins && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut reader = Reader::new(bytes);
        std::iter::from_fn(|| reader.any()).map(|(tag, content)| (tag, content.to_vec())).collect()
    }

    #[test]
    fn elements_have_short_and_long_lengths() {
        let long = [&[4, 0x82, 1, 0][..], &[7; 256]].concat();
        assert_eq!(all(b"\x02\x01\x05\x04\x00"), [(2, vec![5]), (4, vec![])]);
        assert_eq!(all(&long), [(4, vec![7; 256])]);
        assert_eq!(all(b"\x04\x83\x00\x00\x01x\x02\x01\x05"), [(4, b"x".to_vec()), (2, vec![5])]);
    }

    #[test]
    fn a_truncated_element_is_rejected() {
        for cut in [&b"\x02"[..], b"\x02\x01", b"\x04\x82\x01", b"\x04\x81", b"\x1f\x01\x00", b"\x04\x80\x00\x00"] {
            assert_eq!(all(cut), [], "{cut:02x?}");
        }
        assert_eq!(all(b"\x04\x88\xff\xff\xff\xff\xff\xff\xff\xff"), []);
        assert_eq!(all(b"\x04\x89\xff\xff\xff\xff\xff\xff\xff\xff\xff"), []);
    }

    #[test]
    fn an_indefinite_length_ends_at_its_own_marker() {
        let nested = b"\x30\x80\x02\x01\x05\x30\x80\x00\x00\x04\x02\x00\x00\x00\x00\x02\x01\x06";
        assert_eq!(all(nested), [(0x30, nested[2..13].to_vec()), (2, vec![6])]);
        assert_eq!(all(&nested[..14]), []);
    }

    #[test]
    fn an_element_with_another_tag_is_not_consumed() {
        let mut reader = Reader::new(b"\x02\x01\x05");
        assert_eq!(reader.take(4), None);
        assert_eq!(reader.take(2), Some(&[5][..]));
    }

    #[test]
    fn object_identifiers_are_printed_in_dotted_decimal() {
        let text = |hex: &[u8]| object_identifier(hex).unwrap_or_default();
        assert_eq!(text(b"\x60\x86\x48\x01\x65\x03\x04\x02\x01"), "2.16.840.1.101.3.4.2.1");
        assert_eq!(text(b"\x27\x03"), "0.39.3");
        assert_eq!(text(b"\x2a\x03"), "1.2.3");
        assert_eq!(text(b"\x88\x37\x03"), "2.999.3");
        assert_eq!(text(b"\x60\x86\x48\xff\xff\xff\xff\xff\x7f"), "2.16.840.4398046511103");
        for bad in [
            &b""[..],
            b"\x60\x86",
            b"\x60\x80\x01",
            b"\x60\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        ] {
            assert_eq!(object_identifier(bad), None, "{bad:02x?}");
        }
    }
}
