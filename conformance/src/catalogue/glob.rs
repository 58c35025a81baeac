//! Patterns in which `*` matches any text. No other character is special: values of facts contain brackets.

/// Returns whether `pattern` matches the whole of `text`.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').map_or((None, rest), |(middle, last)| (Some(middle), last));
    // The leftmost match of each part leaves most text for the parts after it.
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, text) in
            [("*", ""), ("kmod-*", "kmod-34"), ("*-34", "kmod-34"), ("a*b*c", "a1bb2c"), ("a*a", "aa"), ("**", "x")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("kmod-*", "ours"), ("a*a", "a"), ("a*b*c", "ac"), ("", "a"), ("*b*b*", "b")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn every_other_character_matches_only_itself() {
        assert!(matches("[a, b]?", "[a, b]?"));
        assert!(!matches("[ab]", "a"));
        assert!(!matches("?", "a"));
    }
}
