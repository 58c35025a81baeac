//! Debian version numbers and their order (Debian Policy, section 5.6.12). Pure.

use std::cmp::Ordering;

/// Compares two versions like dpkg: epoch, then upstream version, then revision; `~` sorts before the end.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a_upstream, a_revision) = split(a);
    let (b_epoch, b_upstream, b_revision) = split(b);
    a_epoch
        .cmp(&b_epoch)
        .then_with(|| compare_part(a_upstream.as_bytes(), b_upstream.as_bytes()))
        .then_with(|| compare_part(a_revision.as_bytes(), b_revision.as_bytes()))
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Compares alternating runs of non-digits, by [`weight`], and digits, as numbers.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let word = |text: &[u8]| text.iter().take_while(|byte| !byte.is_ascii_digit()).count();
        let (a_word, a_rest) = a.split_at(word(a));
        let (b_word, b_rest) = b.split_at(word(b));
        for at in 0..a_word.len().max(b_word.len()) {
            let order = weight(a_word.get(at)).cmp(&weight(b_word.get(at)));
            if order.is_ne() {
                return order;
            }
        }
        let number = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (a_number, a_rest) = a_rest.split_at(number(a_rest));
        let (b_number, b_rest) = b_rest.split_at(number(b_rest));
        let order = compare_number(a_number, b_number);
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    Ordering::Equal
}

fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

fn compare_number(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |digits: &[u8]| digits.iter().position(|&digit| digit != b'0').unwrap_or(digits.len());
    let (a, b) = (&a[strip(a)..], &b[strip(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_like_in_dpkg() {
        let ascending = [
            "0.9",
            "5.10.218-1",
            "5.10.223-1",
            "5.10.223-1+b1",
            "6.1.176-1~deb11u1",
            "6.1.176-1",
            "6.1.192-2",
            "6.12.107-1",
            "7.2.6-1~bpo13+1",
            "7.2.11-1~bpo13+1",
            "30+20221128-1",
            "34.2-2",
            "34.2-2+b2",
            "1:1.35.0-4+deb12u1+b1",
        ];
        for (at, a) in ascending.iter().enumerate() {
            for (bt, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&bt), "{a} and {b}");
            }
        }
    }

    #[test]
    fn leading_zeros_and_a_zero_epoch_do_not_matter() {
        assert_eq!(compare("1.02", "1.2"), Ordering::Equal);
        assert_eq!(compare("0:1", "1"), Ordering::Equal);
        assert_eq!(compare("1.0~", "1.0"), Ordering::Less);
        assert_eq!(compare("1.0a", "1.0+"), Ordering::Less);
    }
}
