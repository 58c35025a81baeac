//! Applies a fault to the text of a file.

use crate::source::{definition, lines};
use crate::table::Fault;

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
    /// The text in `after` is missing.
    #[error("{function} does not contain `{after}`")]
    NoAfter {
        /// The function.
        function: String,
        /// The text.
        after: String,
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
/// With `after`, the first occurrence of the pattern after that text is replaced.
///
/// # Errors
/// [`EditError`] if the place cannot be found, or is not the only one.
pub fn apply(text: &str, fault: &Fault) -> Result<String, EditError> {
    let all = lines(text);
    let function = || fault.function.clone();
    let range = definition(&all, &fault.function)
        .ok_or_else(|| EditError::NoFunction { file: fault.file.clone(), function: function() })?;
    let offset = |line: usize| all[..line].iter().map(|line| line.text.len() + 1).sum::<usize>();
    let (start, end) = (offset(range.start), offset(range.end).min(text.len()));
    let region = &text[start..end];
    let place = match &fault.after {
        None => {
            let count = region.matches(&fault.pattern).count();
            let ambiguous = EditError::Ambiguous { function: function(), pattern: fault.pattern.clone(), count };
            region.find(&fault.pattern).filter(|_| count == 1).ok_or(ambiguous)?
        }
        Some(after) => {
            let missing = EditError::NoAfter { function: function(), after: after.clone() };
            let from = region.find(after).ok_or(missing)? + after.len();
            let absent = EditError::Ambiguous { function: function(), pattern: fault.pattern.clone(), count: 0 };
            from + region[from..].find(&fault.pattern).ok_or(absent)?
        }
    };
    let at = start + place;
    Ok([&text[..at], &fault.replacement, &text[at + fault.pattern.len()..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "int f(void)\n{\n\treturn 1;\n}\nint g(void)\n{\n\tif (a)\n\t\treturn 1;\n\tif (b)\n\t\treturn 1;\n}\n";

    fn fault(function: &str, after: Option<&str>) -> Fault {
        Fault {
            kernel: "6.1".to_owned(),
            file: "x.c".to_owned(),
            function: function.to_owned(),
            after: after.map(str::to_owned),
            pattern: "return 1".to_owned(),
            replacement: "return 2".to_owned(),
            caught_by: vec![],
            struck: None,
            missed: None,
        }
    }

    #[test]
    fn the_only_occurrence_in_the_function_is_replaced() {
        assert_eq!(apply(TEXT, &fault("f", None)), Ok(TEXT.replacen("return 1", "return 2", 1)));
    }

    #[test]
    fn an_occurrence_is_found_after_a_text() {
        let edited = apply(TEXT, &fault("g", Some("if (b)"))).unwrap();
        assert!(edited.ends_with("if (a)\n\t\treturn 1;\n\tif (b)\n\t\treturn 2;\n}\n"), "{edited}");
    }

    #[test]
    fn a_place_that_is_not_the_only_one_is_an_error() {
        let message = |fault: Fault| apply(TEXT, &fault).unwrap_err().to_string();
        assert_eq!(message(fault("g", None)), "the pattern `return 1` occurs 2 times in g");
        assert_eq!(message(fault("g", Some("if (c)"))), "g does not contain `if (c)`");
        assert_eq!(message(fault("h", None)), "x.c has no definition of h");
    }
}
