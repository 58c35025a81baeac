//! The output on the console, line by line: KTAP with LAVA's signals, which a KTAP parser treats as diagnostic lines. Pure.

use crate::report::ktap::{self, one_line};
use crate::run::verdict::Verdict;

/// Returns the lines before the first behaviour. The first one is empty, because firmware may leave an unterminated line,
/// and a KTAP parser treats text before the version line as a prefix of every line.
#[must_use]
pub fn begin(name: &str, count: usize) -> String {
    format!("\nKTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: {name}\n  1..{count}\n")
}

/// Returns the lines of a behaviour; `number` starts at 1.
#[must_use]
pub fn row(number: usize, id: &str, verdict: Verdict, reason: Option<&str>) -> String {
    let reason = one_line(reason.unwrap_or_default());
    let (status, directive) = ktap::result(verdict, &reason);
    let result = match verdict {
        Verdict::Pass | Verdict::Known => "pass",
        Verdict::Skip => "skip",
        Verdict::Fail => "fail",
        // LAVA's result for an inconclusive test.
        Verdict::Error => "unknown",
    };
    let diagnostic = match status {
        "not ok" => format!("  # {id}: {}: {reason}\n", verdict.as_str()),
        _ => String::new(),
    };
    format!(
        "{diagnostic}  {status} {number} {id}{directive}\n<LAVA_SIGNAL_TESTCASE TEST_CASE_ID={id} RESULT={result}>\n"
    )
}

/// Returns the lines after the last behaviour.
#[must_use]
pub fn end(name: &str, bad: usize) -> String {
    format!("{} 1 {name}\n", if bad == 0 { "ok" } else { "not ok" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_its_lines() {
        let text = [
            begin("6.1 ours", 5),
            row(1, "path.newline", Verdict::Pass, None),
            row(2, "path.terminator", Verdict::Known, Some("a known deviation")),
            row(3, "loop.wording", Verdict::Skip, Some("needs CONFIG_UNIX=m")),
            row(4, "dep.order", Verdict::Fail, Some("order: expected a,\n got b")),
            row(5, "dep.cycle", Verdict::Error, Some("no answer")),
            end("6.1 ours", 2),
        ];
        insta::assert_snapshot!(text.concat(), @r"

        KTAP version 1
        1..1
          KTAP version 1
          # Subtest: 6.1 ours
          1..5
          ok 1 path.newline
        <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=path.newline RESULT=pass>
          ok 2 path.terminator # known: a known deviation
        <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=path.terminator RESULT=pass>
          ok 3 loop.wording # SKIP needs CONFIG_UNIX=m
        <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=loop.wording RESULT=skip>
          # dep.order: fail: order: expected a, got b
          not ok 4 dep.order
        <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=dep.order RESULT=fail>
          # dep.cycle: error: no answer
          not ok 5 dep.cycle
        <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=dep.cycle RESULT=unknown>
        not ok 1 6.1 ours
        ");
    }
}
