//! The record of a run as Markdown: docs/records/mutants-kernel.md.

use crate::run::{Outcome, all};
use crate::table::{Entry, Origin};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A fault with what happened to it.
pub type Row<'a> = (&'a Entry, Outcome);

/// What is left to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Faults without a result.
    pub not_run: usize,
    /// Faults that no expected behaviour caught, and that are neither struck nor explained.
    pub unexplained: Vec<String>,
}

/// Returns the record, and what is left to do.
pub fn record(rows: &[Row<'_>]) -> (String, Open) {
    let mut open = Open::default();
    let mut text = "# Faults in the kernel\n\n".to_owned();
    text.push_str(
        "Written by `ci/mutants-kernel`. [The guide](../guide/mutants.md) describes the rule by\n\
         which faults are drawn, and the columns.\n\n",
    );
    text.push_str(
        "| | drawn | struck | caught by an expected behaviour | by another | not booted | inconclusive | missed | not run |\n",
    );
    text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for (origin, kernel) in
        [(Origin::Drawn, "6.1"), (Origin::Drawn, "7.3"), (Origin::Planted, "6.1"), (Origin::Planted, "7.3")]
    {
        let part: Vec<&Row<'_>> =
            rows.iter().filter(|(entry, _)| entry.origin == origin && entry.fault.kernel == kernel).collect();
        let name = match origin {
            Origin::Drawn => "drawn by the rule",
            Origin::Planted => "planted",
        };
        if part.is_empty() {
            continue;
        }
        let count = |is: &dyn Fn(&Outcome) -> bool| {
            part.iter().filter(|(entry, outcome)| entry.fault.struck.is_none() && is(outcome)).count()
        };
        let _ = writeln!(
            text,
            "| {name}, linux-source-{kernel} | {} | {} | {} | {} | {} | {} | {} | {} |",
            part.len(),
            part.iter().filter(|(entry, _)| entry.fault.struck.is_some()).count(),
            count(&Outcome::is_expected),
            count(&|outcome| matches!(outcome, Outcome::Caught { .. }) && !outcome.is_expected()),
            count(&|outcome| *outcome == Outcome::NoBoot),
            count(&|outcome| matches!(outcome, Outcome::Inconclusive(_))),
            count(&|outcome| matches!(outcome, Outcome::Missed | Outcome::SameImage | Outcome::NotCompiled)),
            count(&|outcome| *outcome == Outcome::NotRun),
        );
    }
    for (origin, heading) in [(Origin::Drawn, "Drawn faults"), (Origin::Planted, "Planted faults")] {
        let _ = write!(
            text,
            "\n## {heading}\n\n| fault | function | line | instead | caught by |\n|---|---|---|---|---|\n"
        );
        for (entry, outcome) in rows.iter().filter(|(entry, _)| entry.origin == origin) {
            let fault = &entry.fault;
            let _ = writeln!(
                text,
                "| {} | {}: {} | {} | {} | {} |",
                entry.id,
                fault.file,
                fault.function,
                code(&fault.pattern),
                code(&fault.replacement),
                caught_by(entry, outcome, &mut open),
            );
        }
    }
    let caught: BTreeSet<&String> = rows.iter().flat_map(|(_, outcome)| catchers(outcome)).collect();
    let unproved: Vec<String> = all().into_iter().filter(|id| !caught.contains(id)).collect();
    let _ = write!(
        text,
        "\n## Unproved behaviours\n\n{} of {} behaviours caught no fault.\n\n",
        unproved.len(),
        all().len(),
    );
    unproved.iter().for_each(|id| text.push_str(&format!("- {id}\n")));
    (text, open)
}

fn catchers(outcome: &Outcome) -> Vec<&String> {
    match outcome {
        Outcome::Caught { expected, others } => expected.iter().chain(others).collect(),
        _ => Vec::new(),
    }
}

/// Returns the cell that says what happened to a fault.
fn caught_by(entry: &Entry, outcome: &Outcome, open: &mut Open) -> String {
    let fault = &entry.fault;
    if let Some(argument) = &fault.struck {
        return format!("struck: {argument}");
    }
    let text = match outcome {
        Outcome::NotRun => {
            open.not_run += 1;
            return "not run".to_owned();
        }
        Outcome::NoBoot => return "boot".to_owned(),
        Outcome::Caught { expected, .. } if !expected.is_empty() => return expected.join(", "),
        Outcome::Caught { others, .. } => format!("not expected: {}", others.join(", ")),
        Outcome::Inconclusive(ids) => format!("inconclusive: {}", ids.join(", ")),
        Outcome::Missed => "missed".to_owned(),
        Outcome::SameImage => "missed: the image is the same".to_owned(),
        Outcome::NotCompiled => "does not compile".to_owned(),
    };
    match &fault.missed {
        Some(reason) => format!("{text}: {reason}"),
        None => {
            open.unexplained.push(entry.id.clone());
            text
        }
    }
}

/// Returns code in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", text.trim().replace('|', "\\|").replace('\t', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Fault;

    #[test]
    fn the_record_lists_every_fault_and_what_is_left_to_do() {
        let entry = |id: &str, origin, struck: Option<&str>, missed: Option<&str>| Entry {
            id: id.to_owned(),
            origin,
            fault: Fault {
                kernel: "6.1".to_owned(),
                file: "kernel/kmod.c".to_owned(),
                function: "f".to_owned(),
                after: None,
                pattern: "a || b".to_owned(),
                replacement: "a && b".to_owned(),
                caught_by: vec!["path.length".to_owned()],
                struck: struck.map(str::to_owned),
                missed: missed.map(str::to_owned),
            },
        };
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        let expected = Outcome::Caught { expected: ids(&["path.length"]), others: vec![] };
        let other = Outcome::Caught { expected: vec![], others: ids(&["dep.order"]) };
        let entries = [
            entry("x#1", Origin::Drawn, None, None),
            entry("x#2", Origin::Drawn, None, None),
            entry("x#3", Origin::Drawn, Some("no caller passes a null pointer"), None),
            entry("x#4", Origin::Drawn, None, None),
            entry("x#5", Origin::Drawn, None, Some("no behaviour waits for a minute")),
            entry("y#1", Origin::Planted, None, None),
            entry("y#2", Origin::Planted, None, None),
        ];
        let outcomes =
            [expected, other, Outcome::Missed, Outcome::Missed, Outcome::Missed, Outcome::NoBoot, Outcome::NotRun];
        let rows: Vec<Row<'_>> = entries.iter().zip(outcomes).collect();
        let (text, open) = record(&rows);
        let text = text.split("\n## Unproved").next().unwrap_or_default();
        insta::assert_snapshot!(format!("{text}\n{open:?}"));
    }
}
