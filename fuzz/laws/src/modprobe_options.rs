//! The body of the fuzz target `modprobe_options`.

use kmod::commands::shell_words::{quote, split};

/// The input is a value of MODPROBE_OPTIONS, and, split at NULs, a list of arguments.
///
/// # Panics
/// Panics if a promise about the variable is broken.
pub fn modprobe_options(data: &[u8]) {
    let found = split(data);
    assert!(found.iter().all(|word| !word.is_empty()), "an argument is empty");
    assert!(found.iter().map(Vec::len).sum::<usize>() <= data.len(), "the arguments are longer than the input");
    assert_eq!(split(&joined(&found, b' ')), found, "the arguments, quoted, split differently");

    let words: Vec<Vec<u8>> =
        data.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect();
    for separator in *b" \t\n" {
        let mut text = joined(&words, separator);
        assert_eq!(split(&text), words, "quoted arguments are not recovered");
        // The text that follows an argument does not change it.
        text.extend([&[separator], data].concat());
        assert_eq!(split(&text), [words.as_slice(), &found].concat(), "the text that follows changes the arguments");
    }
    // Without quotes and backslashes the text is split at whitespace.
    if !data.iter().any(|byte| b"'\"\\".contains(byte)) {
        let parts: Vec<&[u8]> = data.split(|byte| b" \t\n".contains(byte)).filter(|word| !word.is_empty()).collect();
        assert_eq!(found, parts);
    }
}

/// The quoted words, joined.
fn joined(words: &[Vec<u8>], separator: u8) -> Vec<u8> {
    words.iter().map(|word| quote(word).into_owned()).collect::<Vec<_>>().join(&separator)
}
