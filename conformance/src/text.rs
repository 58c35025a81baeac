//! Text forms that every report and message shares: bytes and errors.

pub use harness::error_chain;
use std::fmt::Write as _;

/// Returns `bytes` in the reversible text form: printable ASCII is unchanged, a backslash is `\\`, every other byte
/// is `\xNN`.
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

/// Returns a line without bytes that a terminal or a report could interpret: each byte that is not printable ASCII is
/// `\xNN`. Unlike [`escape`] it keeps backslashes, for a line of which some parts are escaped already.
#[must_use]
pub fn printable(line: &str) -> String {
    line.split('\\').map(|part| escape(part.as_bytes())).collect::<Vec<_>>().join("\\")
}

/// Returns the bytes of a text that [`escape`] wrote; `None` for any other text.
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
    fn escaped_bytes_are_printable_and_reversible() {
        let all: Vec<u8> = (0..=255).collect();
        let text = escape(&all);
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert_eq!(unescape(&text), Some(all));
        assert_eq!(escape(b"a/b..%s\x01\xff\\"), r"a/b..%s\x01\xff\\");
    }

    #[test]
    fn a_line_with_escaped_parts_is_not_escaped_twice() {
        assert_eq!(printable(r"got /a\x0a"), r"got /a\x0a");
        assert_eq!(printable("got \x1b[2J, \\x0a"), r"got \x1b[2J, \x0a");
    }

    #[test]
    fn a_broken_escape_is_not_unescaped() {
        assert_eq!(unescape(r"\x4"), None);
        assert_eq!(unescape(r"\n"), None);
    }
}
