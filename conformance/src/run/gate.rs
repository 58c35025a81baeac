//! The conditions under which a run counts as a gate: rows that must be judged, and a maximum of skipped rows. A gate
//! must not stay green because a lost option or a smaller kernel turned its rows into skips. Pure.

use crate::catalogue::entry::Entry;
use crate::run::event::{Row, SkippedKernel};
use crate::run::verdict::Verdict;

/// What a run must have judged.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// The behaviours that may not be skipped.
    pub required: Vec<&'static Entry>,
    /// The maximum number of skipped rows.
    pub max_skips: Option<usize>,
}

/// What a run has skipped so far.
#[derive(Debug, Default)]
pub struct Skips {
    rows: usize,
    unmet: Vec<String>,
}

impl Gate {
    /// Counts a row.
    pub fn count(&self, row: &Row, skips: &mut Skips) {
        if row.verdict != Verdict::Skip {
            return;
        }
        skips.rows += 1;
        if self.required.iter().any(|entry| entry.id == row.id) {
            let reason = row.reason.as_deref().unwrap_or("no reason");
            skips.unmet.push(format!(
                "{} on {} with {} is required but was skipped: {reason}",
                row.id, row.kernel.name, row.subject
            ));
        }
    }

    /// Returns the conditions that a run has not met, one line each. `left_out` are the kernels without rows.
    #[must_use]
    pub fn unmet<'a>(&self, skips: Skips, left_out: impl IntoIterator<Item = &'a SkippedKernel>) -> Vec<String> {
        let mut unmet = skips.unmet;
        unmet.sort();
        if !self.required.is_empty() {
            let missing = left_out
                .into_iter()
                .map(|kernel| format!("the required behaviours were not run on {}: {}", kernel.name, kernel.reason));
            unmet.extend(missing);
        }
        if let Some(max) = self.max_skips.filter(|max| skips.rows > *max) {
            let rows = if skips.rows == 1 { "row was" } else { "rows were" };
            unmet.push(format!("{} {rows} skipped, but at most {max} may be", skips.rows));
        }
        unmet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::select::select;
    use crate::report::sample;

    /// The conditions that are not met by a run in which this row was skipped.
    fn unmet(gate: &Gate, id: &str, left_out: &[SkippedKernel]) -> Vec<String> {
        let mut skips = Skips::default();
        gate.count(&sample::row("path.newline", Verdict::Pass, None), &mut skips);
        gate.count(&sample::row(id, Verdict::Skip, Some("needs a kernel with CONFIG_UNIX=m")), &mut skips);
        gate.unmet(skips, left_out)
    }

    #[test]
    fn a_required_row_may_not_be_skipped() {
        let gate = Gate { required: select(&["loop".to_owned()]).unwrap(), max_skips: None };
        assert_eq!(
            unmet(&gate, "loop.historic-unix", &[]),
            ["loop.historic-unix on 6.1 with ours is required but was skipped: needs a kernel with CONFIG_UNIX=m"]
        );
        assert!(unmet(&gate, "path.missing", &[]).is_empty());
        assert!(unmet(&Gate::default(), "loop.historic-unix", &[]).is_empty());
    }

    #[test]
    fn required_rows_are_missing_on_a_kernel_that_is_left_out() {
        let gate = Gate { required: select(&["loop".to_owned()]).unwrap(), max_skips: None };
        let kernel = SkippedKernel { name: "9.9".to_owned(), reason: "no suite offers it".to_owned() };
        assert_eq!(
            unmet(&gate, "path.missing", std::slice::from_ref(&kernel)),
            ["the required behaviours were not run on 9.9: no suite offers it"]
        );
        assert!(unmet(&Gate::default(), "path.missing", &[kernel]).is_empty());
    }

    #[test]
    fn more_skips_than_allowed_are_an_unmet_condition() {
        let gate = |max_skips| Gate { required: Vec::new(), max_skips };
        assert_eq!(unmet(&gate(Some(0)), "path.missing", &[]), ["1 row was skipped, but at most 0 may be"]);
        assert!(unmet(&gate(Some(1)), "path.missing", &[]).is_empty());
    }
}
