//! The body of the fuzz target `filter`.

use crate::catalogue::behaviours;
use crate::catalogue::filter::Filter;

/// The input is a filter expression.
///
/// # Panics
/// Panics if an expression, printed, parses differently, or an error has an invalid column.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let all = behaviours::all();
    match Filter::parse(text) {
        Err(error) => {
            let column = error.column();
            assert!((1..=text.chars().count() + 1).contains(&column), "column {column}");
            assert!(error.to_string().contains(&format!("column {column}: ")));
        }
        Ok(filter) => {
            let written = filter.to_string();
            let again = Filter::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(again.to_string(), written);
            let negated = Filter::parse(&format!("all() - ({text})"));
            for behaviour in &all {
                let wanted = filter.matches(behaviour);
                assert_eq!(again.matches(behaviour), wanted, "{written} on {}", behaviour.id);
                // One more parenthesis may exceed the limit.
                if let Ok(negated) = &negated {
                    assert_ne!(negated.matches(behaviour), wanted, "all() - ({text}) on {}", behaviour.id);
                }
            }
        }
    }
}
