//! Extended regular expressions of POSIX, as C kmod reads them with regcomp(3), for the kernel release in depmod.d. Pure.
//!
//! They are translated for `regex_lite`, whose syntax differs: there a second operator makes the first one lazy, a backslash in
//! a bracket escapes, and `\d` is a digit. A byte is a character, as in the C locale. Back references are not supported.

use regex_lite::{Regex, RegexBuilder};

/// The longest expression in bytes.
const LONGEST: usize = 1024;
/// The most parentheses inside each other.
const DEEPEST: usize = 30;
/// The largest count of a repetition. glibc allows 32,767, which needs too much memory here.
const MOST: u32 = 255;

/// Compiles an expression. Returns `None` if it is invalid, too large, or has a back reference.
pub(super) fn compile(expression: &[u8]) -> Option<Regex> {
    let translated = translate(expression)?;
    // `s`: a dot matches a newline too.
    RegexBuilder::new(&translated).dot_matches_new_line(true).size_limit(1 << 20).nest_limit(4096).build().ok()
}

/// Whether an expression matches anywhere in a text.
pub(super) fn is_match(expression: &Regex, text: &[u8]) -> bool {
    expression.is_match(&latin(text))
}

/// Returns a character for each byte.
fn latin(text: &[u8]) -> String {
    text.iter().map(|&byte| char::from(byte)).collect()
}

/// The part of the expression since an opening parenthesis, or since the start.
#[derive(Default)]
struct Group {
    /// The translation up to the current atom.
    done: String,
    /// The translation of the last atom, to which an operator applies; empty if there is none.
    atom: String,
}

impl Group {
    fn next(&mut self, atom: String) {
        let atom = std::mem::replace(&mut self.atom, atom);
        self.done.push_str(&atom);
    }

    /// Ends the current atom: the next operator has nothing to repeat.
    fn flush(&mut self, text: &str) {
        self.next(String::new());
        self.done.push_str(text);
    }
}

fn translate(expression: &[u8]) -> Option<String> {
    if expression.len() > LONGEST {
        return None;
    }
    let mut groups = vec![Group::default()];
    let mut rest = expression;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let depth = groups.len();
        let group = groups.last_mut()?;
        match byte {
            b'(' if depth > DEEPEST => return None,
            b'(' => groups.push(Group::default()),
            // An unmatched parenthesis is a character.
            b')' if depth > 1 => {
                let mut inner = groups.pop()?;
                inner.flush("");
                groups.last_mut()?.next(format!("(?:{})", inner.done));
            }
            b'|' => group.flush("|"),
            // An operator that follows an anchor is an error.
            b'^' | b'$' if byte == b'^' && matches!(rest.first(), Some(b'*' | b'+' | b'?' | b'{')) => return None,
            b'^' | b'$' => group.flush(if byte == b'^' { "^" } else { "$" }),
            b'*' | b'+' | b'?' => repeat(group, char::from(byte).encode_utf8(&mut [0; 4]))?,
            b'{' => {
                let (least, most, after) = interval(rest)?;
                rest = after;
                repeat(group, &most.map_or(format!("{{{least},}}"), |most| format!("{{{least},{most}}}")))?;
            }
            b'.' => group.next(".".to_owned()),
            b'[' => {
                let (set, after) = bracket(rest)?;
                rest = after;
                group.next(set);
            }
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                rest = after;
                match escaped {
                    b'w' | b'W' | b's' | b'S' => group.next(format!("\\{}", char::from(escaped))),
                    b'b' | b'B' => group.flush(&format!("\\{}", char::from(escaped))),
                    b'<' => group.flush("\\b{start}"),
                    b'>' => group.flush("\\b{end}"),
                    b'`' => group.flush("\\A"),
                    b'\'' => group.flush("\\z"),
                    b'1'..=b'9' => return None,
                    other => group.next(literal(other)),
                }
            }
            other => group.next(literal(other)),
        }
    }
    let mut group = groups.pop()?;
    group.flush("");
    groups.is_empty().then_some(group.done)
}

fn literal(byte: u8) -> String {
    format!("\\x{{{byte:x}}}")
}

/// Applies an operator to the last atom. An operator without an atom is an error.
fn repeat(group: &mut Group, operator: &str) -> Option<()> {
    if group.atom.is_empty() {
        return None;
    }
    group.atom = format!("(?:{}){operator}", group.atom);
    Some(())
}

/// Parses the text that follows `{`: `N}`, `N,}`, `,M}` or `N,M}`.
fn interval(text: &[u8]) -> Option<(u32, Option<u32>, &[u8])> {
    let end = text.iter().position(|&b| b == b'}')?;
    let (inner, rest) = (std::str::from_utf8(&text[..end]).ok()?, &text[end + 1..]);
    let number = |text: &str| -> Option<u32> {
        if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok().filter(|number| *number <= MOST) } else { None }
    };
    let (least, most) = match inner.split_once(',') {
        None => (number(inner)?, Some(number(inner)?)),
        Some(("", "")) => (0, None),
        Some((least, "")) => (number(least)?, None),
        Some(("", most)) => (0, Some(number(most)?)),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    most.is_none_or(|most| least <= most).then_some((least, most, rest))
}

/// Parses the text that follows `[` and returns the set and the rest.
fn bracket(text: &[u8]) -> Option<(String, &[u8])> {
    let (negated, mut rest) = match text {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut members = [false; 256];
    let mut first = true;
    loop {
        let (from, after) = match rest {
            [b']', after @ ..] if !first => {
                rest = after;
                break;
            }
            [b'[', b':', after @ ..] => {
                let (name, after) = name(after, *b":]")?;
                (0..=255_u8)
                    .filter(|&byte| is_of(name, byte) == Some(true))
                    .for_each(|b| members[usize::from(b)] = true);
                is_of(name, 0)?;
                rest = after;
                first = false;
                continue;
            }
            other => element(other)?,
        };
        first = false;
        let (to, after) = match after {
            [b'-', b']', ..] => (from, after),
            [b'-', after @ ..] => element(after)?,
            _ => (from, after),
        };
        if from > to {
            return None;
        }
        (from..=to).for_each(|byte| members[usize::from(byte)] = true);
        rest = after;
    }
    let listed = (0..=255_u8).filter(|&byte| members[usize::from(byte)] != negated).map(literal).collect::<String>();
    // An empty set matches nothing.
    Some((if listed.is_empty() { "[a&&b]".to_owned() } else { format!("[{listed}]") }, rest))
}

/// Parses an element of a bracket: a byte, `[.x.]` or `[=x=]`.
fn element(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'[', kind @ (b'.' | b'='), after @ ..] => {
            let (name, after) = name(after, [*kind, b']'])?;
            match name {
                [byte] => Some((*byte, after)),
                _ => None,
            }
        }
        [byte, after @ ..] => Some((*byte, after)),
        [] => None,
    }
}

/// Splits a text at a delimiter.
fn name(text: &[u8], end: [u8; 2]) -> Option<(&[u8], &[u8])> {
    let at = text.windows(2).position(|pair| pair == end)?;
    Some((&text[..at], &text[at + 2..]))
}

/// Whether a byte belongs to a class in the C locale. Returns `None` for an unknown class.
fn is_of(class: &[u8], byte: u8) -> Option<bool> {
    Some(match class {
        b"alpha" => byte.is_ascii_alphabetic(),
        b"digit" => byte.is_ascii_digit(),
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"upper" => byte.is_ascii_uppercase(),
        b"lower" => byte.is_ascii_lowercase(),
        b"space" => matches!(byte, b' ' | b'\t'..=b'\r'),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"punct" => byte.is_ascii_punctuation(),
        b"print" => matches!(byte, b' '..=b'~'),
        b"graph" => byte.is_ascii_graphic(),
        b"cntrl" => byte.is_ascii_control(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::mem::MaybeUninit;

    /// Returns whether the C library's expression matches, or `None` if it is invalid.
    fn of_the_c_library(expression: &[u8], text: &[u8]) -> Option<bool> {
        let (expression, text) = (CString::new(expression).unwrap(), CString::new(text).unwrap());
        let mut compiled = MaybeUninit::<libc::regex_t>::uninit();
        // SAFETY: both texts end with a NUL; the expression is used and freed only if it was compiled.
        unsafe {
            if libc::regcomp(compiled.as_mut_ptr(), expression.as_ptr(), libc::REG_EXTENDED | libc::REG_NOSUB) != 0 {
                return None;
            }
            let matched = libc::regexec(compiled.as_ptr(), text.as_ptr(), 0, std::ptr::null_mut(), 0) == 0;
            libc::regfree(compiled.as_mut_ptr());
            Some(matched)
        }
    }

    fn ours(expression: &[u8], text: &[u8]) -> Option<bool> {
        compile(expression).map(|compiled| is_match(&compiled, text))
    }

    #[test]
    fn expressions_mean_what_the_c_library_makes_of_them() {
        for expression in [
            ".",
            "",
            "a|",
            "|a",
            "a||b",
            "()",
            "(a|6)",
            "^6",
            "6$",
            "a*",
            "a**",
            "a+?",
            "a?+",
            "[]a]",
            "[^]a]",
            "[a-]",
            "[\\d]",
            "\\d",
            "\\w",
            "\\.",
            "[[:digit:]]",
            "[[:nosuch:]]",
            "[[.a.]]",
            "[[=a=]]",
            "[z-a]",
            "[",
            "(",
            ")",
            "a)",
            "*x",
            "+",
            "?",
            "{",
            "a{",
            "a{1",
            "a{1}",
            "a{,2}",
            "a{2,1}",
            "a{1}{2}",
            "a{x}",
            "{1}",
            "^*",
            "(^a)",
            "a^b",
            "a$b",
            "(*a)",
            "(|*)",
            "\\",
            "\\<x",
            "x\\>",
            "\\bx",
            "\\Bx",
            "\\`6",
            "6\\'",
            "^+",
            "^{1}",
            "$*",
            "$+",
            "\\b*",
            "(^)*",
            "a{1}*",
            "x*{2}",
        ] {
            for text in ["6.1.0-9-cloud-amd64", "a", "x", "d", "", "^*", "a{x}", "*x"] {
                assert_eq!(
                    ours(expression.as_bytes(), text.as_bytes()),
                    of_the_c_library(expression.as_bytes(), text.as_bytes()),
                    "{expression} in {text}"
                );
            }
        }
    }

    #[test]
    fn random_expressions_mean_what_the_c_library_makes_of_them() {
        const PARTS: [&str; 30] = [
            "a",
            "6",
            ".",
            "*",
            "+",
            "?",
            "{1}",
            "{0,2}",
            "{,1}",
            "{",
            "}",
            "(",
            ")",
            "|",
            "^",
            "$",
            "[a",
            "]",
            "[^6]",
            "-",
            "\\w",
            "\\.",
            "\\b",
            "[[:alpha:]]",
            "[[.a.]",
            "x",
            "\\d",
            "\\<",
            ",",
            "\u{e9}",
        ];
        arbtest::arbtest(|u| {
            let parts = |u: &mut arbitrary::Unstructured<'_>, most| -> arbitrary::Result<String> {
                (0..u.int_in_range(0..=most)?).map(|_| u.choose(&PARTS).copied()).collect()
            };
            let (expression, text) = (parts(u, 8)?, parts(u, 5)?);
            let (expression, text) = (expression.as_bytes(), text.as_bytes());
            let shown = crate::name::Escaped(expression);
            assert_eq!(
                ours(expression, text),
                of_the_c_library(expression, text),
                "{shown} in {}",
                crate::name::Escaped(text)
            );
            Ok(())
        });
    }

    #[test]
    fn back_references_and_large_expressions_are_invalid() {
        assert!(compile(b"(a)\\1").is_none());
        assert!(compile(&b"a".repeat(LONGEST + 1)).is_none());
        assert!(compile(b"a{256}").is_none());
        assert!(compile(&[b"(".repeat(DEEPEST + 1), b")".repeat(DEEPEST + 1)].concat()).is_none());
    }
}
