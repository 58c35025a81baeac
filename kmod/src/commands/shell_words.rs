//! Splits `MODPROBE_OPTIONS` into arguments as a shell does, without expansions, and quotes arguments for it.
//!
//! Spaces, tabs and newlines separate. Single quotes preserve everything; in double quotes and outside quotes a backslash
//! preserves the next byte.

use std::borrow::Cow;

/// Splits a text into arguments. Empty arguments are dropped; the end of the text closes an open quote.
#[must_use]
pub fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words = vec![Vec::new()];
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        let escaped = match (quote, byte) {
            (None, b' ' | b'\t' | b'\n') => {
                words.push(Vec::new());
                continue;
            }
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                continue;
            }
            (Some(open), close) if open == close => {
                quote = None;
                continue;
            }
            (None | Some(b'"'), b'\\') => bytes.next(),
            _ => Some(byte),
        };
        if let Some(word) = words.last_mut() {
            word.extend(escaped);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Quotes an argument so that [`split`] returns it unchanged.
#[must_use]
pub fn quote(word: &[u8]) -> Cow<'_, [u8]> {
    let special = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\'' | b'"' | b'\\');
    if !word.iter().any(special) {
        return Cow::Borrowed(word);
    }
    let mut quoted = vec![b'"'];
    for &byte in word {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Vec<String> {
        split(text.as_bytes()).into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn white_space_separates_and_empty_arguments_are_dropped() {
        assert_eq!(arguments("  -q \t-v\n"), ["-q", "-v"]);
        assert_eq!(arguments(" '' \"\" "), [""; 0]);
        assert_eq!(arguments(""), [""; 0]);
    }

    #[test]
    fn quotes_and_backslashes_preserve_spaces() {
        assert_eq!(
            arguments(r#"-C 'a b' --config="c d" e\ f 'g\h' "i\"j" 'k"#),
            ["-C", "a b", "--config=c d", "e f", r"g\h", "i\"j", "k"]
        );
    }

    #[test]
    fn a_quoted_argument_splits_to_itself() {
        arbtest::arbtest(|u| {
            let words: Vec<Vec<u8>> = u.arbitrary()?;
            let text = words.iter().map(|word| quote(word).into_owned()).collect::<Vec<_>>().join(&b' ');
            let kept: Vec<Vec<u8>> = words.into_iter().filter(|word| !word.is_empty()).collect();
            assert_eq!(split(&text), kept);
            Ok(())
        });
    }
}
