//! Applies a fault to a Rust file. The files are formatted by rustfmt, which makes it easy to find the end of a function.

use crate::table::Fault;
use std::ops::Range;

/// Why a fault does not fit a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The function is missing.
    #[error("{file} has no definition of {function}")]
    NoFunction {
        /// The file.
        file: String,
        /// The function.
        function: String,
    },
    /// The pattern does not occur exactly once.
    #[error("the pattern `{pattern}` occurs {count} times in {function}")]
    Ambiguous {
        /// The function.
        function: String,
        /// The pattern.
        pattern: String,
        /// How often it occurs.
        count: usize,
    },
}

/// Returns the text of the file with the fault.
///
/// # Errors
/// [`EditError`] if the place cannot be found, or is not the only one.
pub fn apply(text: &str, fault: &Fault) -> Result<String, EditError> {
    // The tests of a file are at its end.
    let code = text.find("#[cfg(test)]\nmod tests").map_or(text, |tests| &text[..tests]);
    let definitions = definitions(code, &fault.function);
    if definitions.is_empty() {
        return Err(EditError::NoFunction { file: fault.file.clone(), function: fault.function.clone() });
    }
    let occurrences =
        |range: Range<usize>| code[range.clone()].match_indices(&fault.pattern).map(move |(at, _)| range.start + at);
    let places: Vec<usize> = definitions.into_iter().flat_map(occurrences).collect();
    let [at] = places[..] else {
        let (function, pattern) = (fault.function.clone(), fault.pattern.clone());
        return Err(EditError::Ambiguous { function, pattern, count: places.len() });
    };
    Ok([&text[..at], &fault.replacement, &text[at + fault.pattern.len()..]].concat())
}

/// Returns the definitions of functions, constants and statics with this name.
fn definitions(text: &str, name: &str) -> Vec<Range<usize>> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let offset = |line: usize| lines[..line].iter().map(|line| line.len()).sum::<usize>();
    let end = |head: usize| {
        let indent = &lines[head][..lines[head].len() - lines[head].trim_start().len()];
        let is_end = |line: &&str| {
            let line = line.trim_end();
            line.strip_prefix(indent).is_some_and(|line| matches!(line, "}" | "};" | "]" | "];"))
        };
        let one_line = matches!(lines[head].trim_end().as_bytes().last(), Some(b'}' | b';'));
        let last = if one_line { Some(0) } else { lines[head..].iter().position(is_end) };
        last.map_or(lines.len(), |last| head + last + 1)
    };
    let heads = (0..lines.len()).filter(|&line| is_head(lines[line], name));
    heads.map(|head| offset(head)..offset(end(head))).collect()
}

/// Whether a line begins the definition of a name.
fn is_head(line: &str, name: &str) -> bool {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let after = |keyword| rest.strip_prefix(keyword)?.strip_prefix(name);
    ["fn ", "const fn ", "const ", "static "]
        .into_iter()
        .filter_map(after)
        .any(|rest| rest.starts_with(['(', '<', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
const LIMIT: usize = 3;

pub(crate) fn f(a: bool) -> u8 {
    if a {
        return 1;
    }
    2
}

impl X {
    fn f(&self) -> u8 { self.0 + 1 }

    pub fn g<T>(
        t: T,
    ) -> u8 {
        3
    }
}

#[cfg(test)]
mod tests {
    fn g() -> u8 {
        3
    }
}
";

    fn edit(function: &str, pattern: &str) -> Result<String, String> {
        let fault = Fault {
            file: "x.rs".to_owned(),
            function: function.to_owned(),
            pattern: pattern.to_owned(),
            replacement: "7".to_owned(),
            kernel: "6.1".to_owned(),
            caught_by: vec![],
        };
        apply(TEXT, &fault).map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_occurrence_in_all_definitions_is_replaced() {
        assert_eq!(edit("LIMIT", "3"), Ok(TEXT.replacen('3', "7", 1)));
        assert_eq!(edit("f", "return 1"), Ok(TEXT.replacen("return 1", "7", 1)));
        assert_eq!(edit("f", "+ 1"), Ok(TEXT.replacen("+ 1", "7", 1)));
        assert_eq!(edit("g", "3"), Ok(TEXT.replacen("        3", "        7", 1)));
    }

    #[test]
    fn a_place_that_is_not_the_only_one_is_an_error() {
        assert_eq!(edit("f", "1"), Err("the pattern `1` occurs 2 times in f".to_owned()));
        assert_eq!(edit("g", "9"), Err("the pattern `9` occurs 0 times in g".to_owned()));
        assert_eq!(edit("h", "1"), Err("x.rs has no definition of h".to_owned()));
    }
}
