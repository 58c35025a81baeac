//! The body of the fuzz target `modprobe_options`.

use kmod::commands::shell_words::{quote, split};

/// The input is a MODPROBE_OPTIONS; cut at its NULs it is words.
///
/// # Panics
/// When a promise about the variable is broken.
pub fn modprobe_options(data: &[u8]) {
    let found = split(data);
    assert!(found.iter().all(|word| !word.is_empty()), "an empty word");
    assert!(found.iter().map(Vec::len).sum::<usize>() <= data.len(), "more comes out than went in");
    assert_eq!(split(&written(&found, b' ')), found, "what was written reads back as something else");

    let words: Vec<Vec<u8>> =
        data.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect();
    for blank in *b" \t\n" {
        let mut text = written(&words, blank);
        assert_eq!(split(&text), words, "words do not survive");
        // A word does not know what stands behind the blank after it.
        text.extend([&[blank], data].concat());
        assert_eq!(split(&text), [words.as_slice(), &found].concat(), "words do not survive what stands behind them");
    }
    // Without what is special a text is cut at its blanks.
    if !data.iter().any(|byte| b"'\"\\".contains(byte)) {
        let cut: Vec<&[u8]> = data.split(|byte| b" \t\n".contains(byte)).filter(|word| !word.is_empty()).collect();
        assert_eq!(found, cut);
    }
}

fn written(words: &[Vec<u8>], blank: u8) -> Vec<u8> {
    words.iter().map(|word| quote(word).into_owned()).collect::<Vec<_>>().join(&blank)
}
