//! Shell patterns with the semantics of fnmatch(3) without flags in the C locale: `*`, `?`, `[a-z]`, `[!a]`, `[[:digit:]]`,
//! `\x`. A pattern is compiled once; matching takes at most the length of the pattern times the length of the name, whatever
//! the pattern.
//!
//! A `[` without a closing `]` matches itself. A backslash at the end matches nothing.

/// One step of a compiled pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    Any,
    Star,
    /// An index into [`Pattern::sets`].
    Set(usize),
    /// Matches nothing: a trailing backslash, an unknown character class.
    Never,
}

/// The bytes that a bracket expression matches, one bit each.
type Set = [u64; 4];

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    tokens: Vec<Token>,
    sets: Vec<Set>,
}

impl Pattern {
    /// Compiles a pattern. Every byte string is a valid pattern.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let mut compiled = Self { tokens: Vec::with_capacity(pattern.len()), sets: Vec::new() };
        let mut at = 0;
        // Set once a bracket has no closing `]`: later brackets cannot have one either, and compilation stays linear.
        let mut unclosed = false;
        while let Some(&byte) = pattern.get(at) {
            at += 1;
            let token = match byte {
                b'*' if compiled.tokens.last() == Some(&Token::Star) => continue,
                b'*' => Token::Star,
                b'?' => Token::Any,
                b'\\' => match pattern.get(at) {
                    Some(&escaped) => {
                        at += 1;
                        Token::Byte(escaped)
                    }
                    None => Token::Never,
                },
                b'[' if !unclosed => match bracket(pattern, at) {
                    Bracket::Set(set, end) => {
                        at = end;
                        compiled.sets.push(set);
                        Token::Set(compiled.sets.len() - 1)
                    }
                    Bracket::Never(end) => {
                        at = end;
                        Token::Never
                    }
                    Bracket::Unclosed => {
                        unclosed = true;
                        Token::Byte(b'[')
                    }
                },
                _ => Token::Byte(byte),
            };
            compiled.tokens.push(token);
        }
        compiled
    }

    /// Whether the pattern matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut t, mut n) = (0, 0);
        // Where to resume after a mismatch: after the last star, one byte further. Earlier stars need no retry, since the
        // last one can match whatever they would.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let fits = match (self.tokens.get(t), name.get(n)) {
                (Some(Token::Star), _) => {
                    t += 1;
                    retry = Some((t, n));
                    continue;
                }
                (None, None) => return true,
                (Some(token), Some(&byte)) => self.accepts(*token, byte),
                (Some(_), None) | (None, Some(_)) => false,
            };
            if fits {
                t += 1;
                n += 1;
                continue;
            }
            match retry {
                Some((token, from)) if from < name.len() => {
                    retry = Some((token, from + 1));
                    t = token;
                    n = from + 1;
                }
                _ => return false,
            }
        }
    }

    fn accepts(&self, token: Token, byte: u8) -> bool {
        match token {
            Token::Byte(wanted) => wanted == byte,
            Token::Any => true,
            Token::Set(index) => self.sets.get(index).is_some_and(|set| has(set, byte)),
            Token::Star | Token::Never => false,
        }
    }
}

/// Whether `pattern` matches the whole of `name`, like fnmatch(3) without flags.
#[must_use]
pub fn fnmatch(pattern: &[u8], name: &[u8]) -> bool {
    Pattern::new(pattern).matches(name)
}

enum Bracket {
    /// The set, and the offset after the bracket expression.
    Set(Set, usize),
    /// Closed, but matches nothing: it contains an unknown class. With the offset after it.
    Never(usize),
    Unclosed,
}

/// Parses a bracket expression; `at` is the offset after its `[`.
fn bracket(pattern: &[u8], mut at: usize) -> Bracket {
    let mut set: Set = [0; 4];
    let mut never = false;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    loop {
        let Some(&byte) = pattern.get(at) else { return Bracket::Unclosed };
        if byte == b']' && at > first {
            at += 1;
            break;
        }
        if byte == b'[' && pattern.get(at + 1) == Some(&b':') {
            if let Some(length) = class_name(&pattern[at + 2..]) {
                match class(&pattern[at + 2..at + 2 + length]) {
                    Some(member) => (0..=127).filter(member).for_each(|b| add(&mut set, b)),
                    None => never = true,
                }
                at += 2 + length + 2;
                continue;
            }
        }
        let Some((low, next)) = element(pattern, at) else { return Bracket::Unclosed };
        at = next;
        if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|&b| b != b']') {
            let Some((high, next)) = element(pattern, at + 1) else { return Bracket::Unclosed };
            at = next;
            (low..=high).for_each(|b| add(&mut set, b));
        } else {
            add(&mut set, low);
        }
    }
    if never {
        return Bracket::Never(at);
    }
    Bracket::Set(if negated { set.map(|word| !word) } else { set }, at)
}

/// Parses one byte of a bracket expression: plain, escaped, or as `[=x=]` or `[.x.]`. Returns it with the offset after it.
fn element(pattern: &[u8], at: usize) -> Option<(u8, usize)> {
    match pattern.get(at..)? {
        [b'\\', byte, ..] => Some((*byte, at + 2)),
        [b'\\'] => None,
        [b'[', mark @ (b'=' | b'.'), byte, end, b']', ..] if mark == end => Some((*byte, at + 5)),
        [byte, ..] => Some((*byte, at + 1)),
        [] => None,
    }
}

/// Returns the length of a class name that is followed by `:]`.
fn class_name(rest: &[u8]) -> Option<usize> {
    let length = rest.iter().position(|b| !b.is_ascii_lowercase())?;
    rest[length..].starts_with(b":]").then_some(length)
}

fn class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |b| matches!(b, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |b| matches!(b, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

fn add(set: &mut Set, byte: u8) {
    set[usize::from(byte >> 6)] |= 1 << (byte & 63);
}

fn has(set: &Set, byte: u8) -> bool {
    set[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    /// The result of the C library.
    fn libc_fnmatch(pattern: &[u8], name: &[u8]) -> bool {
        let (pattern, name) = (CString::new(pattern).unwrap(), CString::new(name).unwrap());
        // SAFETY: both are NUL-terminated strings that outlive the call, which only reads them.
        unsafe { libc::fnmatch(pattern.as_ptr(), name.as_ptr(), 0) == 0 }
    }

    #[test]
    fn patterns_match_like_fnmatch() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"", b"", true),
            (b"*", b"", true),
            (b"*", b"a/b.c", true),
            (b"?", b"", false),
            (b"pci:v00008086d*sv*", b"pci:v00008086d00001234sv0", true),
            (b"a*b*c", b"aXbYbZc", true),
            (b"a*b*c", b"aXbYbZ", false),
            (b"[a-c]", b"b", true),
            (b"[!a-c]", b"b", false),
            (b"[^a-c]", b"d", true),
            (b"[]x]", b"]", true),
            (b"[a-]", b"-", true),
            (b"[z-a]", b"m", false),
            (b"[[:digit:]_]x", b"7x", true),
            (b"[[:nosuch:]]", b"n", false),
            (b"[\\]]", b"]", true),
            (b"[[.-.]]", b"-", true),
            (b"\\*", b"*", true),
            (b"\\*", b"a", false),
            (b"a\\", b"a", false),
            (b"[ab", b"[ab", true),
        ];
        for &(pattern, name, expected) in cases {
            assert_eq!(fnmatch(pattern, name), expected, "{pattern:?} on {name:?}");
            assert_eq!(libc_fnmatch(pattern, name), expected, "libc: {pattern:?} on {name:?}");
        }
    }

    #[test]
    fn random_patterns_without_open_brackets_match_like_fnmatch() {
        const ALPHABET: &[u8] = b"ab-*?[]!\\^a:.";
        arbtest::arbtest(|u| {
            let pattern: Vec<u8> =
                (0..u.int_in_range(0..=9)?).map(|_| u.choose(ALPHABET).copied()).collect::<Result<_, _>>()?;
            let name: Vec<u8> =
                (0..u.int_in_range(0..=6)?).map(|_| u.choose(b"ab-]").copied()).collect::<Result<_, _>>()?;
            // C libraries disagree with each other on open brackets and incomplete classes.
            let odd = Pattern::new(&pattern).tokens.iter().any(|t| matches!(t, Token::Never | Token::Byte(b'[')))
                || pattern.windows(2).any(|w| matches!(w, b"[:" | b"[." | b"[="));
            if !odd {
                assert_eq!(fnmatch(&pattern, &name), libc_fnmatch(&pattern, &name), "{pattern:?} on {name:?}");
            }
            Ok(())
        });
    }

    #[test]
    fn any_bytes_are_a_valid_pattern() {
        arbtest::arbtest(|u| {
            let (pattern, name): (Vec<u8>, Vec<u8>) = u.arbitrary()?;
            let _ = fnmatch(&pattern, &name);
            Ok(())
        });
    }

    #[test]
    fn an_escaped_literal_matches_only_itself() {
        arbtest::arbtest(|u| {
            let (name, other): (Vec<u8>, Vec<u8>) = u.arbitrary()?;
            let literal: Vec<u8> = name.iter().flat_map(|&b| [b'\\', b]).collect();
            assert!(fnmatch(&literal, &name));
            assert_eq!(fnmatch(&literal, &other), name == other);
            Ok(())
        });
    }

    #[test]
    fn hostile_patterns_match_in_bounded_time() {
        let start = std::time::Instant::now();
        assert!(!fnmatch(&b"*a".repeat(2000), &[b'a'; 1999]));
        assert!(!fnmatch(&[b'['; 4095], &[b'['; 4094]));
        assert!(!fnmatch(&[&b"*"[..], &[b'['; 4000], b"x"].concat(), &[b'['; 4095]));
        assert!(start.elapsed().as_secs() < 5, "took {:?}", start.elapsed());
    }
}
