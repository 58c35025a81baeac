//! What patterns match according to the C library.

use crate::sys;

const CLASSES: [&[u8]; 12] = [
    b"alnum", b"alpha", b"blank", b"cntrl", b"digit", b"graph", b"lower", b"print", b"punct", b"space", b"upper",
    b"xdigit",
];

/// Whether the pattern matches the whole name, for the laws about whatever contains patterns.
///
/// The C library decides where [`is_portable`] and the texts contain no NUL. The rest compares the code with itself.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    by_libc(pattern, name).unwrap_or_else(|| kmod::name::fnmatch(pattern, name))
}

/// Whether fnmatch(3) matches, if its result counts.
pub(crate) fn by_libc(pattern: &[u8], name: &[u8]) -> Option<bool> {
    if is_portable(pattern) { sys::fnmatch(pattern, name) } else { None }
}

/// Whether C libraries agree on a pattern: all brackets are closed, all classes known and not the end of a range, and there is no
/// backslash at its end.
pub(crate) fn is_portable(pattern: &[u8]) -> bool {
    let mut rest = pattern;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'\\' if after.is_empty() => return false,
            b'\\' => &after[1..],
            b'[' => match after_bracket(after) {
                Some(after) => after,
                None => return false,
            },
            _ => after,
        };
    }
    true
}

/// What follows a portable bracket expression, whose `[` is left out.
fn after_bracket(bracket: &[u8]) -> Option<&[u8]> {
    let mut rest = bracket.strip_prefix(b"!").or_else(|| bracket.strip_prefix(b"^")).unwrap_or(bracket);
    rest = rest.strip_prefix(b"]").unwrap_or(rest);
    loop {
        rest = match rest {
            [] | [b'\\'] | [b'[', b'.' | b'=', ..] | [b'-', b'[', b':', ..] => return None,
            [b']', after @ ..] => return Some(after),
            [b'\\', _, after @ ..] => after,
            [b'[', b':', after @ ..] => {
                let class = CLASSES.iter().find_map(|class| after.strip_prefix(*class)?.strip_prefix(b":]"));
                class?
            }
            [_, after @ ..] => after,
        };
    }
}

/// A name that the pattern matches, where that is easy to say.
pub(crate) fn name_for(pattern: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    let mut rest = pattern;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'*' => name.extend(b"ab"),
            b'?' => name.push(b'_'),
            b'[' => match after_bracket(after) {
                Some(end) => {
                    let bracket = &pattern[pattern.len() - after.len() - 1..pattern.len() - end.len()];
                    name.extend((1..=127).find(|byte| sys::fnmatch(bracket, &[*byte]) == Some(true)));
                    rest = end;
                }
                None => name.push(b'['),
            },
            _ => name.push(*byte),
        }
    }
    name
}
