//! `MODPROBE_OPTIONS`: splitting into words, and quoting so that a word survives it. As a shell does it, without
//! expansions: blanks, tabs and newlines separate, `'…'` keeps all, `"…"` and a bare `\` keep the next byte.

use std::borrow::Cow;

/// Splits. Empty words are dropped; an unclosed quote ends with the text.
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

/// The word as it must stand in the variable.
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

    fn shown(text: &str) -> Vec<String> {
        split(text.as_bytes()).into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn words_are_split_at_blanks_and_empty_ones_dropped() {
        assert_eq!(shown("  -q \t-v\n"), ["-q", "-v"]);
        assert_eq!(shown(" '' \"\" "), [""; 0]);
        assert_eq!(shown(""), [""; 0]);
    }

    #[test]
    fn quotes_and_backslashes_keep_blanks() {
        assert_eq!(
            shown(r#"-C 'a b' --config="c d" e\ f 'g\h' "i\"j" 'k"#),
            ["-C", "a b", "--config=c d", "e f", r"g\h", "i\"j", "k"]
        );
    }

    #[test]
    fn a_quoted_word_reads_back() {
        arbtest::arbtest(|u| {
            let words: Vec<Vec<u8>> = u.arbitrary()?;
            let text = words.iter().map(|word| quote(word).into_owned()).collect::<Vec<_>>().join(&b' ');
            let kept: Vec<Vec<u8>> = words.into_iter().filter(|word| !word.is_empty()).collect();
            assert_eq!(split(&text), kept);
            Ok(())
        });
    }
}
