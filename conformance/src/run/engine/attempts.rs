//! Rows with several attempts. All attempts stay visible in the row.

use crate::run::event::{Attempt, Row};
use crate::run::verdict::Verdict;

/// Returns whether a row with this verdict is retried: it failed or could not be judged.
#[must_use]
pub fn is_unsuccessful(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Fail | Verdict::Error)
}

/// Merges an attempt and its retries into one row, which has the verdict of the last attempt.
#[must_use]
pub fn merge_retries(attempts: Vec<Row>) -> Option<Row> {
    let last = attempts.len().checked_sub(1)?;
    merge(attempts, last)
}

/// Merges repetitions into one row, which has the verdict of the worst repetition. The reason names their number.
#[must_use]
pub fn merge_repetitions(attempts: Vec<Row>) -> Option<Row> {
    let severity = |verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Known => 1,
        Verdict::Skip => 2,
        Verdict::Error => 3,
        Verdict::Fail => 4,
    };
    let worst = attempts.iter().map(|row| severity(row.verdict)).max()?;
    let first = attempts.iter().position(|row| severity(row.verdict) == worst)?;
    let all = attempts.len();
    let count = attempts.iter().filter(|row| severity(row.verdict) == worst).count();
    let mut row = merge(attempts, first)?;
    if row.flaky {
        row.reason = row.reason.map(|reason| format!("{count} of {all} times: {reason}"));
    }
    Some(row)
}

/// Merges attempts into the row of the `chosen` one.
fn merge(attempts: Vec<Row>, chosen: usize) -> Option<Row> {
    if attempts.len() < 2 {
        return attempts.into_iter().next();
    }
    let mut row = attempts.get(chosen)?.clone();
    row.flaky = attempts.iter().any(|attempt| attempt.verdict != row.verdict);
    row.wall_ms = attempts.iter().map(|attempt| attempt.wall_ms).sum();
    row.attempts = attempts.into_iter().map(attempt).collect();
    Some(row)
}

fn attempt(row: Row) -> Attempt {
    // Only an unsuccessful attempt needs its own evidence: that of the others is in the row.
    let unsuccessful = is_unsuccessful(row.verdict);
    Attempt {
        verdict: row.verdict,
        reason: row.reason,
        facts: if unsuccessful { row.facts } else { Vec::new() },
        guest_ms: row.guest_ms,
        wall_ms: row.wall_ms,
        console: if unsuccessful { row.console } else { Vec::new() },
        findings: if unsuccessful { row.findings } else { Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn rows(verdicts: &[Verdict]) -> Vec<Row> {
        let row = |verdict: &Verdict| {
            let reason = if *verdict == Verdict::Pass { None } else { Some(format!("it was {}", verdict.as_str())) };
            sample::row("path.one", *verdict, reason.as_deref())
        };
        verdicts.iter().map(row).collect()
    }

    fn summary(row: Option<Row>) -> (Verdict, bool, Option<String>, Vec<Verdict>) {
        let row = row.unwrap();
        (row.verdict, row.flaky, row.reason, row.attempts.iter().map(|attempt| attempt.verdict).collect())
    }

    #[test]
    fn a_retry_that_passes_is_a_flaky_pass_with_the_failed_attempt() {
        use Verdict::{Error, Fail, Pass};
        let row = merge_retries(rows(&[Fail, Error, Pass]));
        let attempts = &row.as_ref().unwrap().attempts;
        assert!(!attempts[0].console.is_empty() && !attempts[0].facts.is_empty() && attempts[2].facts.is_empty());
        assert_eq!(summary(row), (Pass, true, None, vec![Fail, Error, Pass]));
    }

    #[test]
    fn a_row_that_fails_each_time_fails_and_is_not_flaky() {
        use Verdict::{Fail, Pass};
        assert_eq!(
            summary(merge_retries(rows(&[Fail, Fail]))),
            (Fail, false, Some("it was fail".into()), vec![Fail, Fail])
        );
        assert_eq!(summary(merge_retries(rows(&[Pass]))), (Pass, false, None, vec![]));
        assert!(merge_retries(Vec::new()).is_none() && merge_repetitions(Vec::new()).is_none());
    }

    #[test]
    fn the_worst_repetition_counts_and_the_reason_says_how_often_it_occurred() {
        use Verdict::{Error, Fail, Pass};
        let (verdict, flaky, reason, _) = summary(merge_repetitions(rows(&[Pass, Fail, Error, Fail])));
        assert_eq!((verdict, flaky, reason.as_deref()), (Fail, true, Some("2 of 4 times: it was fail")));
        assert_eq!(summary(merge_repetitions(rows(&[Pass, Pass]))).0, Pass);
        assert!(!summary(merge_repetitions(rows(&[Fail, Fail]))).1);
    }
}
