//! Just enough of C to find functions, and the code of a line without its comments and strings.

use std::ops::Range;

/// A line of a source file.
#[derive(Debug)]
pub struct Line {
    /// Its text, without the newline.
    pub text: String,
    /// The text with comments, and the contents of strings, replaced by spaces. Byte offsets are the same.
    pub code: String,
    /// The contents of its strings.
    pub strings: Vec<Range<usize>>,
}

impl Line {
    /// Whether it contains code.
    pub fn is_code(&self) -> bool {
        !self.code.trim().is_empty()
    }
}

/// Splits a file into lines.
pub fn lines(text: &str) -> Vec<Line> {
    let mut in_comment = false;
    text.lines().map(|line| scan(line, &mut in_comment)).collect()
}

fn scan(text: &str, in_comment: &mut bool) -> Line {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut strings = Vec::new();
    let mut string: Option<usize> = None;
    let mut at = 0;
    while at < bytes.len() {
        let pair = (bytes[at], bytes.get(at + 1));
        if *in_comment {
            code[at] = b' ';
            if pair == (b'*', Some(&b'/')) {
                code[at + 1] = b' ';
                at += 1;
                *in_comment = false;
            }
        } else if let Some(start) = string {
            match bytes[at] {
                b'"' => {
                    strings.push(start..at);
                    string = None;
                }
                b'\\' => {
                    code[at] = b' ';
                    at += 1;
                    if at < bytes.len() {
                        code[at] = b' ';
                    }
                }
                _ => code[at] = b' ',
            }
        } else if bytes[at] == b'"' {
            string = Some(at + 1);
        } else if pair == (b'/', Some(&b'*')) {
            (code[at], code[at + 1]) = (b' ', b' ');
            at += 1;
            *in_comment = true;
        } else if pair == (b'/', Some(&b'/')) {
            code[at..].fill(b' ');
            break;
        }
        at += 1;
    }
    // Only whole characters of ASCII are replaced, or all bytes of a comment or string.
    Line { text: text.to_owned(), code: String::from_utf8_lossy(&code).into_owned(), strings }
}

/// Returns the lines, counted from 0, of the definition of a function, an array or a macro at the start of a line.
pub fn definition(lines: &[Line], name: &str) -> Option<Range<usize>> {
    for (at, line) in lines.iter().enumerate() {
        if line.text.starts_with("#define ") && line.text[8..].trim_start().starts_with(name) {
            let rest = &line.text[8..].trim_start()[name.len()..];
            if rest.starts_with([' ', '\t', '(']) {
                let mut end = at + 1;
                while lines[end - 1].text.ends_with('\\') && end < lines.len() {
                    end += 1;
                }
                return Some(at..end);
            }
        }
        let first = line.code.as_bytes().first();
        let is_head = first.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        if let Some(end) = body(lines, at).filter(|_| is_head && has_word(&line.code, name)) {
            return Some(at..end);
        }
    }
    None
}

/// Returns the end of a definition whose head starts at a line: the line after the first closing brace in column 0.
/// Returns `None` for a declaration.
fn body(lines: &[Line], head: usize) -> Option<usize> {
    for (at, line) in lines.iter().enumerate().skip(head) {
        if line.code.starts_with('{') || (line.code.trim_end().ends_with("= {")) {
            let close = lines[at..].iter().position(|line| line.code.starts_with('}'))?;
            return Some(at + close + 1);
        }
        if line.code.trim_end().ends_with(';') || !line.is_code() || line.text.starts_with('#') {
            return None;
        }
    }
    None
}

/// Whether a text contains a word, followed by `(` or `[`.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && matches!(after, Some('(' | '['))
    })
}

/// Whether a character is part of a name.
pub fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_the_contents_of_strings_are_not_code() {
        let lines = lines("a(\"x\\\"/*\"); /* one\n two */ b // three\n");
        assert_eq!(lines[0].code, "a(\"     \");       ");
        assert_eq!(lines[0].strings, std::iter::once(3..8).collect::<Vec<_>>());
        assert_eq!(lines[1].code, "        b         ");
        assert!(lines[1].is_code());
    }

    #[test]
    fn a_definition_ends_at_its_brace_in_column_0() {
        let text = "#define LIMIT 5\nint f(int a);\n\nint f(int a,\n\tint b)\n{\n\tg();\n}\nint x[] = {\n\t1,\n};\nint g(void)\n{\n}\n";
        let lines = lines(text);
        assert_eq!(definition(&lines, "LIMIT"), Some(0..1));
        assert_eq!(definition(&lines, "f"), Some(3..8));
        assert_eq!(definition(&lines, "x"), Some(8..11));
        assert_eq!(definition(&lines, "g"), Some(11..14));
        assert_eq!(definition(&lines, "h"), None);
    }
}
