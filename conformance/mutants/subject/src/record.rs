//! The record of the last runs as Markdown: docs/records/mutants-subject.md.

use crate::run::Outcome;
use crate::table::Entry;
use std::fmt::Write as _;

/// Returns the record.
pub fn record(rows: &[(&Entry, Option<Outcome>)]) -> String {
    let caught = rows.iter().filter(|(_, outcome)| outcome.as_ref().is_some_and(Outcome::is_caught)).count();
    let run = rows.iter().filter(|(_, outcome)| outcome.is_some()).count();
    let mut text = "# Faults in our tools\n\nWritten by `ci/mutants-subject`. [The guide](../guide/mutants.md#faults-in-our-tools) describes the\ntables.\n\n".to_owned();
    let _ = write!(
        text,
        "Faults: {}. Run: {run}. Caught by every expected behaviour: {caught}.\n\n| fault | function | line | instead | kernel | fail |\n|---|---|---|---|---|---|\n",
        rows.len(),
    );
    for (entry, outcome) in rows {
        let outcome = outcome.as_ref().map_or("not run".to_owned(), Outcome::to_string);
        let _ = writeln!(text, "{}{outcome} |", cells(entry));
    }
    text
}

/// Returns the cells of a fault, without the last one.
fn cells(entry: &Entry) -> String {
    let fault = &entry.fault;
    let (pattern, replacement) = (code(&fault.pattern), code(&fault.replacement));
    let (id, file, function, kernel) = (&entry.id, &fault.file, &fault.function, &fault.kernel);
    format!("| {id} | {file}: {function} | {pattern} | {replacement} | {kernel} | ")
}

/// Returns the outcome of a fault in an earlier record, which may be that of another machine.
pub fn earlier(record: &str, entry: &Entry) -> Option<Outcome> {
    let cell = record.lines().find_map(|line| line.strip_prefix(&cells(entry))?.strip_suffix(" |"))?;
    Outcome::parse(cell)
}

/// Returns code in a cell of a table.
fn code(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", text.replace('|', "\\|")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Fault;

    #[test]
    fn the_record_lists_every_fault_with_the_behaviours_that_fail() {
        let entry = |id: &str| Entry {
            id: id.to_owned(),
            fault: Fault {
                file: "kmod/src/guard.rs".to_owned(),
                function: "chain".to_owned(),
                pattern: "a || b".to_owned(),
                replacement: String::new(),
                kernel: "6.1".to_owned(),
                caught_by: vec!["guard.recursion".to_owned()],
            },
        };
        let ran = |verdicts: &[&str]| {
            let rows = (1..).zip(verdicts).map(|(at, verdict)| (format!("guard.{at}"), (*verdict).to_owned()));
            Some(Outcome::Ran(rows.collect()))
        };
        let (a, b, c, d) = (entry("a#1"), entry("a#2"), entry("a#3"), entry("a#4"));
        let rows =
            [(&a, ran(&["fail", "fail"])), (&b, ran(&["fail", "pass"])), (&c, Some(Outcome::NotCompiled)), (&d, None)];
        let text = record(&rows);
        insta::assert_snapshot!(text);
        for (entry, outcome) in &rows {
            assert_eq!(earlier(&text, entry), *outcome);
        }
    }
}
