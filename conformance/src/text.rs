//! The one reversible text form of bytes, used in every report: printable ASCII as it is, `\\` for a
//! backslash, `\xNN` for every other byte.

use std::fmt::Write as _;

/// `bytes` in the text form.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

/// The bytes of a text form; `None` if `text` is not one.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [b'x', high, low, tail @ ..] => {
                let digit = |c: u8| char::from(c).to_digit(16);
                bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_reversible_and_printable() {
        let all: Vec<u8> = (0..=255).collect();
        let text = escape(&all);
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert_eq!(unescape(&text), Some(all));
        assert_eq!(escape(b"a/b..%s\x01\xff\\"), r"a/b..%s\x01\xff\\");
    }

    #[test]
    fn a_broken_escape_is_refused() {
        assert_eq!(unescape(r"\x4"), None);
        assert_eq!(unescape(r"\n"), None);
    }
}
