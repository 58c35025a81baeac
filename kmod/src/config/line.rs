//! One line of modprobe.d. Pure.
//!
//! [`super::lines`] joins continued lines and drops backslashes first. `#` starts a comment in the first column
//! only. Fields are separated by spaces and tabs; a value is everything after the one separator that follows the name.

use super::{Alias, Command, ModuleOptions, Softdep, Weakdep};
use crate::name::normalise_alias;

/// A parsed line.
pub(super) enum Line {
    Alias(Alias),
    Options(ModuleOptions),
    Blacklist(Vec<u8>),
    Install(Command),
    Remove(Command),
    Softdep(Softdep),
    Weakdep(Weakdep),
}

/// Why a line is ignored, with its first word.
pub(super) enum BadLine {
    Unknown(Vec<u8>),
    Deprecated(Vec<u8>),
}

/// Parses a line. Returns `None` for an empty line or a comment.
pub(super) fn parse(line: &[u8]) -> Result<Option<Line>, BadLine> {
    if line.first() == Some(&b'#') {
        return Ok(None);
    }
    let (word, rest) = next_word(line);
    if word.is_empty() {
        return Ok(None);
    }
    // A NUL cannot be passed to the kernel or a command: ignore the line rather than use half of it.
    let parsed = if line.contains(&0) { None } else { directive(word, rest) };
    match (parsed, word) {
        (Some(line), _) => Ok(Some(line)),
        (None, b"include" | b"config") => Err(BadLine::Deprecated(word.to_vec())),
        (None, _) => Err(BadLine::Unknown(word.to_vec())),
    }
}

fn directive(word: &[u8], rest: &[u8]) -> Option<Line> {
    let (name, value) = next_word(rest);
    if name.is_empty() {
        return None;
    }
    let pattern = normalise_alias(name).ok()?;
    Some(match word {
        b"alias" => Line::Alias(Alias { pattern, target: normalise_alias(non_empty(next_word(value).0)?).ok()? }),
        b"options" => {
            let text = has_words(value)?.iter().map(|&b| if b == b'\t' { b' ' } else { b }).collect();
            Line::Options(ModuleOptions { name: pattern, text })
        }
        b"blacklist" => Line::Blacklist(pattern),
        b"install" => Line::Install(Command { pattern, command: has_words(value)?.to_vec() }),
        b"remove" => Line::Remove(Command { pattern, command: has_words(value)?.to_vec() }),
        b"softdep" => Line::Softdep(softdep(pattern, has_words(value)?)),
        b"weakdep" => Line::Weakdep(Weakdep { pattern, names: words(has_words(value)?).map(<[u8]>::to_vec).collect() }),
        _ => return None,
    })
}

fn softdep(pattern: Vec<u8>, text: &[u8]) -> Softdep {
    let mut softdep = Softdep { pattern, pre: Vec::new(), post: Vec::new() };
    // Words before the first `pre:` or `post:` are ignored.
    let mut ignored = Vec::new();
    let mut list = &mut ignored;
    for word in words(text) {
        match word {
            b"pre:" => list = &mut softdep.pre,
            b"post:" => list = &mut softdep.post,
            name => list.push(name.to_vec()),
        }
    }
    softdep
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Returns the first word, and the text after the one separator that follows it.
fn next_word(text: &[u8]) -> (&[u8], &[u8]) {
    let start = text.iter().position(|&b| !is_blank(b)).unwrap_or(text.len());
    let text = text.get(start..).unwrap_or_default();
    let end = text.iter().position(|&b| is_blank(b)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.get(1..).unwrap_or_default())
}

/// Returns the names in a softdep or weakdep: separated by any white space, such as the carriage return of a DOS text.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| matches!(b, b' ' | b'\t'..=b'\r')).filter(|word| !word.is_empty())
}

fn has_words(text: &[u8]) -> Option<&[u8]> {
    text.iter().any(|&b| !is_blank(b)).then_some(text)
}

fn non_empty(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_white_space() {
        let Ok(Some(Line::Options(options))) = parse(b"options foo   a=1\tb=\"x  y\" ") else { panic!("not options") };
        assert_eq!(options.text, b"  a=1 b=\"x  y\" ");
        let Ok(Some(Line::Install(command))) = parse(b"install\tfoo-x\techo\t1") else { panic!("not install") };
        assert_eq!((command.pattern.as_slice(), command.command.as_slice()), (&b"foo_x"[..], &b"echo\t1"[..]));
    }

    #[test]
    fn pre_and_post_are_recognised_as_whole_words_only() {
        let Ok(Some(Line::Softdep(softdep))) = parse(b"softdep foo x pre:a pre: q post: r pre: s") else { panic!() };
        assert_eq!((softdep.pre, softdep.post), (vec![b"q".to_vec(), b"s".to_vec()], vec![b"r".to_vec()]));
    }

    #[test]
    fn a_carriage_return_is_not_part_of_the_name_of_a_soft_dependency() {
        let Ok(Some(Line::Softdep(softdep))) = parse(b"softdep foo pre: a\x0bb\r post:\x0cc\r") else { panic!() };
        assert_eq!((softdep.pre, softdep.post), (vec![b"a".to_vec(), b"b".to_vec()], vec![b"c".to_vec()]));
        let Ok(Some(Line::Weakdep(weakdep))) = parse(b"weakdep foo a b\r") else { panic!() };
        assert_eq!(weakdep.names, [b"a", b"b"]);
    }

    #[test]
    fn lines_with_missing_or_invalid_fields_are_bad() {
        for line in [
            &b"alias a"[..],
            b"options a",
            b"options a  ",
            b"install a",
            b"softdep a",
            b"weakdep a",
            b"blacklist",
            b"unknown a b",
            b"alias a]b c",
            b"options a b\0c",
        ] {
            assert!(matches!(parse(line), Err(BadLine::Unknown(_))), "{}", crate::name::Escaped(line));
        }
    }

    #[test]
    fn empty_lines_and_comments_are_ignored() {
        assert!(matches!(parse(b""), Ok(None)));
        assert!(matches!(parse(b" \t"), Ok(None)));
        assert!(matches!(parse(b"#alias"), Ok(None)));
    }
}
