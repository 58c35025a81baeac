//! What is told on the console, a line at a time: KTAP, and LAVA's signals among it, which are diagnostic lines to a KTAP
//! parser. Pure: text in, text out.

use crate::report::ktap::{self, one_line};
use crate::verdict::Verdict;

/// The lines before the first behaviour. Firmware leaves a line without end, and what stands before the version is a prefix of
/// every line to a KTAP parser: hence an empty one first.
#[must_use]
pub fn begin(name: &str, count: usize) -> String {
    format!("\nKTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: {name}\n  1..{count}\n")
}

/// The lines of one behaviour, the `number`-th from 1.
#[must_use]
pub fn row(number: usize, id: &str, verdict: Verdict, reason: Option<&str>) -> String {
    let reason = one_line(reason.unwrap_or_default());
    let (word, directive) = ktap::result(verdict, &reason);
    let result = match verdict {
        Verdict::Pass | Verdict::Known => "pass",
        Verdict::Skip => "skip",
        Verdict::Fail => "fail",
        // LAVA's own word for a test that could not be judged.
        Verdict::Error => "unknown",
    };
    let diagnostic = match word {
        "not ok" => format!("  # {id}: {}: {reason}\n", verdict.as_str()),
        _ => String::new(),
    };
    format!("{diagnostic}  {word} {number} {id}{directive}\n<LAVA_SIGNAL_TESTCASE TEST_CASE_ID={id} RESULT={result}>\n")
}

/// The lines behind the last behaviour.
#[must_use]
pub fn end(name: &str, bad: usize) -> String {
    format!("{} 1 {name}\n", if bad == 0 { "ok" } else { "not ok" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_its_lines() {
        let text = [
            begin("6.1 ours", 5),
            row(1, "path.newline", Verdict::Pass, None),
            row(2, "path.terminator", Verdict::Known, Some("a listed deviation")),
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
          ok 2 path.terminator # known: a listed deviation
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
