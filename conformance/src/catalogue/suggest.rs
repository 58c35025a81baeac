//! Suggestions for mistyped names.

/// Returns the name that was probably meant: the first one that begins with `word`, else the most similar one, if it is
/// similar enough.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    // Every third character may be wrong; a longer word is no reason to guess wildly.
    let limit = (word.len() / 3).min(4);
    let completed = names.clone().find(|name| !word.is_empty() && name.starts_with(word));
    completed.or_else(|| {
        let (distance, name) = names.map(|name| (distance(name, word), name)).min_by_key(|(distance, _)| *distance)?;
        (distance <= limit).then_some(name)
    })
}

/// Returns the Levenshtein distance of two texts, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(word: &str) -> Option<&'static str> {
        nearest(word, ["path.empty-disables", "path.next-request", "kmod-30", "6.1", "6.12"].into_iter())
    }

    #[test]
    fn a_prefix_or_a_small_difference_suggests_a_name() {
        assert_eq!(suggested("path.nex"), Some("path.next-request"));
        assert_eq!(suggested("path.empty-disable"), Some("path.empty-disables"));
        assert_eq!(suggested("path.emtpy-disabels"), Some("path.empty-disables"));
        assert_eq!(suggested("kmod_30"), Some("kmod-30"));
        assert_eq!(suggested("6.11"), Some("6.1"));
    }

    #[test]
    fn a_word_that_resembles_no_name_suggests_nothing() {
        for word in ["", "0.99", "nonsense", "x"] {
            assert_eq!(suggested(word), None, "{word}");
        }
    }
}
