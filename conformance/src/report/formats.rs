//! The list of report formats. The options of `kmodlab run` and the commands of `kmodlab report` follow from it.

use super::format::Format;
use super::{html, json, junit, kcidb, ktap, terminal};

/// All formats, in the order of the help.
pub const FORMATS: &[&dyn Format] =
    &[&terminal::TERMINAL, &ktap::KTAP, &json::JSON, &junit::JUNIT, &html::HTML, &kcidb::KCIDB];

/// The format on standard output unless the user selects another.
pub const DEFAULT: &dyn Format = &terminal::TERMINAL;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::format::InRuns;
    use std::collections::BTreeSet;

    #[test]
    fn formats_have_different_names_and_a_parameter_only_with_a_file() {
        let mut names = BTreeSet::new();
        for format in FORMATS {
            assert!(names.insert(format.name()), "duplicate name {}", format.name());
            // `--format NAME` has no room for a parameter.
            assert!(format.parameter().is_none() || matches!(format.in_runs(), InRuns::File { .. }));
        }
    }
}
