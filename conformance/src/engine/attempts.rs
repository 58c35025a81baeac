//! A row that was tried more than once: what is said of all attempts together. None of them is hidden.

use crate::event::{Attempt, Row};
use crate::verdict::Verdict;

/// Whether another attempt could come out better.
#[must_use]
pub fn is_bad(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Fail | Verdict::Error)
}

/// The row of an attempt and its retries: the last one's. One that was bad before stays in `attempts`.
#[must_use]
pub fn retried(attempts: Vec<Row>) -> Option<Row> {
    let last = attempts.len().checked_sub(1)?;
    together(attempts, last)
}

/// The row of repetitions: the worst one's, the first of these; its reason says how many were so.
#[must_use]
pub fn repeated(attempts: Vec<Row>) -> Option<Row> {
    let badness = |verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Known => 1,
        Verdict::Skip => 2,
        Verdict::Error => 3,
        Verdict::Fail => 4,
    };
    let worst = attempts.iter().map(|row| badness(row.verdict)).max()?;
    let at = attempts.iter().position(|row| badness(row.verdict) == worst)?;
    let all = attempts.len();
    let alike = attempts.iter().filter(|row| badness(row.verdict) == worst).count();
    let mut row = together(attempts, at)?;
    if row.flaky {
        row.reason = row.reason.map(|reason| format!("{alike} of {all} times: {reason}"));
    }
    Some(row)
}

fn together(attempts: Vec<Row>, chosen: usize) -> Option<Row> {
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
    // What a good attempt saw is what every good attempt sees, and stands in the row.
    let bad = is_bad(row.verdict);
    Attempt {
        verdict: row.verdict,
        reason: row.reason,
        facts: if bad { row.facts } else { Vec::new() },
        guest_ms: row.guest_ms,
        wall_ms: row.wall_ms,
        console: if bad { row.console } else { Vec::new() },
        findings: if bad { row.findings } else { Vec::new() },
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

    fn said(row: Option<Row>) -> (Verdict, bool, Option<String>, Vec<Verdict>) {
        let row = row.unwrap();
        (row.verdict, row.flaky, row.reason, row.attempts.iter().map(|attempt| attempt.verdict).collect())
    }

    #[test]
    fn a_retry_that_passes_is_a_flaky_pass_that_shows_the_failure() {
        use Verdict::{Error, Fail, Pass};
        let row = retried(rows(&[Fail, Error, Pass]));
        let attempts = &row.as_ref().unwrap().attempts;
        assert!(!attempts[0].console.is_empty() && !attempts[0].facts.is_empty() && attempts[2].facts.is_empty());
        assert_eq!(said(row), (Pass, true, None, vec![Fail, Error, Pass]));
    }

    #[test]
    fn one_that_fails_each_time_fails_and_is_not_flaky() {
        use Verdict::{Fail, Pass};
        assert_eq!(said(retried(rows(&[Fail, Fail]))), (Fail, false, Some("it was fail".into()), vec![Fail, Fail]));
        assert_eq!(said(retried(rows(&[Pass]))), (Pass, false, None, vec![]));
        assert!(retried(Vec::new()).is_none() && repeated(Vec::new()).is_none());
    }

    #[test]
    fn of_repetitions_the_worst_counts_and_its_reason_says_how_often() {
        use Verdict::{Error, Fail, Pass};
        let (verdict, flaky, reason, _) = said(repeated(rows(&[Pass, Fail, Error, Fail])));
        assert_eq!((verdict, flaky, reason.as_deref()), (Fail, true, Some("2 of 4 times: it was fail")));
        assert_eq!(said(repeated(rows(&[Pass, Pass]))).0, Pass);
        assert!(!said(repeated(rows(&[Fail, Fail]))).1);
    }
}
