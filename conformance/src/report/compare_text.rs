//! A comparison as text for the terminal and as Markdown for a pull request.

use super::compare::{Change, Comparison, FactChange, Side};
use crate::text;
use std::fmt::Write as _;

/// The maximum number of rows listed as not compared.
const NOT_COMPARED_LISTED: usize = 20;

/// The maximum length of a value on the terminal. Of a longer one, only the part around the first difference is shown.
const VALUE_LENGTH: usize = 240;

/// How much of a longer value is shown before the first difference.
const CONTEXT: usize = 60;

/// The number of changes from which they are counted by group, because they do not fit on a screen.
const MANY: usize = 10;

/// Returns the text for the terminal.
#[must_use]
pub fn terminal(comparison: &Comparison) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(out, "base  {}\nhead  {}", side(&comparison.base), side(&comparison.head));
    for change in &comparison.changes {
        let allowed = if change.allowed { " (allowed)" } else { "" };
        let _ = writeln!(
            out,
            "\nchanged  {}{}{allowed}: {}",
            plain(&change.id),
            place(change, comparison),
            verdicts(change)
        );
        let _ = writeln!(out, "  statement  {}", plain(&change.statement));
        for fact in &change.facts {
            let [base, head] = excerpts(values(fact));
            let _ = writeln!(out, "  fact       {}\n    base     {base}\n    head     {head}", plain(&fact.name));
        }
        for (side, reason) in [("base", &change.reasons.0), ("head", &change.reasons.1)] {
            if let Some(reason) = reason.as_ref().filter(|_| change.facts.is_empty()) {
                let _ = writeln!(out, "  {side}       {}", lines(reason));
            }
        }
    }
    for (number, row) in comparison.unjudged.iter().take(NOT_COMPARED_LISTED).enumerate() {
        let gap = if number == 0 { "\n" } else { "" };
        let place = [&row.id, &row.kernel, &row.subject].map(|part| plain(part)).join(" ");
        let _ = writeln!(out, "{gap}not compared  {}: {}", place.trim(), lines(&row.reason));
    }
    if comparison.unjudged.len() > NOT_COMPARED_LISTED {
        let _ = writeln!(out, "not compared  {} more", comparison.unjudged.len() - NOT_COMPARED_LISTED);
    }
    if comparison.changes.len() >= MANY {
        let _ = writeln!(out, "\nchanged rows by group: {}", by_group(comparison));
    }
    let _ = writeln!(out, "\n{}", summary(comparison));
    out
}

/// Returns the number of changed rows of each group, as `path 12, loop 3`.
fn by_group(comparison: &Comparison) -> String {
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for change in &comparison.changes {
        let group = change.id.split('.').next().unwrap_or_default();
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, count)) => *count += 1,
            None => groups.push((group, 1)),
        }
    }
    groups.iter().map(|(group, count)| format!("{} {count}", plain(group))).collect::<Vec<_>>().join(", ")
}

/// Returns Markdown: a table of the changed rows, each with a collapsed table of its facts.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "### kmodlab: {}\n", summary(comparison));
    let _ = writeln!(out, "Base: {}; head: {}.\n", code(&side(&comparison.base)), code(&side(&comparison.head)));
    if !comparison.changes.is_empty() {
        let _ = writeln!(out, "| behaviour | verdict | what changed |\n|---|---|---|");
        for change in &comparison.changes {
            let facts: Vec<String> = change.facts.iter().map(|fact| code(&fact.name)).collect();
            let facts = if facts.is_empty() { "the verdict".to_owned() } else { facts.join(", ") };
            let allowed = if change.allowed { " (allowed)" } else { "" };
            let name = code(&format!("{}{}", change.id, place(change, comparison)));
            let _ = writeln!(out, "| {name}{allowed} | {} | {facts} |", verdicts(change));
        }
        for change in &comparison.changes {
            let name = html(&format!("{}{}", change.id, place(change, comparison)));
            let _ = writeln!(out, "\n<details><summary>{name}</summary>\n\n{}\n", html(&change.statement));
            if !change.facts.is_empty() {
                let _ = writeln!(out, "| fact | base | head |\n|---|---|---|");
            }
            for fact in &change.facts {
                let [base, head] = values(fact);
                let _ = writeln!(out, "| {} | {} | {} |", code(&fact.name), code(&base), code(&head));
            }
            for (side, reason) in [("base", &change.reasons.0), ("head", &change.reasons.1)] {
                if let Some(reason) = reason.as_ref().filter(|_| change.facts.is_empty()) {
                    let _ = writeln!(out, "\nReason in the {side}: {}", code(reason));
                }
            }
            let _ = writeln!(out, "\n</details>");
        }
    }
    if !comparison.unjudged.is_empty() {
        let _ = writeln!(out, "\nNot compared:\n");
        for row in comparison.unjudged.iter().take(NOT_COMPARED_LISTED) {
            let place = [row.id.as_str(), &row.kernel, &row.subject].join(" ");
            let _ = writeln!(out, "- {}: {}", code(place.trim()), code(&row.reason));
        }
        if comparison.unjudged.len() > NOT_COMPARED_LISTED {
            let _ = writeln!(out, "- and {} more", comparison.unjudged.len() - NOT_COMPARED_LISTED);
        }
    }
    out
}

fn summary(comparison: &Comparison) -> String {
    let Comparison { compared, .. } = comparison;
    let rows = if *compared == 1 { "row" } else { "rows" };
    let allowed = comparison.changes.len() - comparison.counted();
    let mut parts = vec![match comparison.counted() {
        0 => format!("no changes in {compared} {rows}"),
        changed => format!("{changed} of {compared} {rows} changed"),
    }];
    if allowed > 0 {
        let changes = if allowed == 1 { "change" } else { "changes" };
        parts.push(format!("{allowed} allowed {changes}"));
    }
    if !comparison.unjudged.is_empty() {
        parts.push(format!("{} not compared", comparison.unjudged.len()));
    }
    parts.join(", ")
}

fn side(side: &Side) -> String {
    let kernels: Vec<String> =
        side.kernels.iter().map(|(name, release)| format!("{} ({})", plain(name), plain(release))).collect();
    let subjects: Vec<String> = side.subjects.iter().map(|subject| plain(subject)).collect();
    format!("{} with {}", kernels.join(", "), subjects.join(", "))
}

/// Returns the kernel and subject of a change, if the comparison has several.
fn place(change: &Change, comparison: &Comparison) -> String {
    let mut text = String::new();
    if comparison.base.kernels.len() > 1 || comparison.head.kernels.len() > 1 {
        let _ = write!(text, " on {}", plain(&change.kernels.0));
    }
    if comparison.base.subjects.len() > 1 || comparison.head.subjects.len() > 1 {
        let _ = write!(text, " with {}", plain(&change.subjects.0));
    }
    text
}

fn verdicts(change: &Change) -> String {
    let (base, head) = change.verdicts;
    if base == head { base.as_str().to_owned() } else { format!("{} → {}", base.as_str(), head.as_str()) }
}

/// Returns the observed values of base and head, each with the known deviation that lists it.
fn values(fact: &FactChange) -> [String; 2] {
    [(&fact.base, &fact.base_deviation), (&fact.head, &fact.head_deviation)].map(|(value, deviation)| {
        let value = value.as_deref().unwrap_or("(not observed)");
        match deviation {
            Some(deviation) => format!("{value} [known: {}]", plain(&deviation.to_string())),
            None => value.to_owned(),
        }
    })
}

/// Shortens values that are too long for the terminal to the part around their first difference.
fn excerpts(values: [String; 2]) -> [String; 2] {
    if values.iter().all(|value| value.chars().count() <= VALUE_LENGTH) {
        return values;
    }
    let [base, head] = &values;
    let same = base.chars().zip(head.chars()).take_while(|(base, head)| base == head).count();
    let skipped = same.saturating_sub(CONTEXT);
    values.map(|value| {
        let shown: String = value.chars().skip(skipped).take(VALUE_LENGTH).collect();
        let start = if skipped > 0 { "... " } else { "" };
        let end = if value.chars().count() > skipped + VALUE_LENGTH { " ..." } else { "" };
        format!("{start}{shown}{end}")
    })
}

/// Escapes text that is not in the text form of reports, because a stored report can come from anywhere.
fn plain(text: &str) -> String {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) { text.to_owned() } else { text::escape(text.as_bytes()) }
}

fn lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("; ")
}

/// Returns a code span for a table cell: its fence is longer than any in the text, and bars are escaped.
fn code(text: &str) -> String {
    let text = lines(text);
    let fence = "`".repeat(text.split(|c| c != '`').map(str::len).max().unwrap_or_default() + 1);
    let text = text.replace('|', "\\|");
    // A code span must not be empty, and must not begin or end with a backquote.
    if text.is_empty() || text.starts_with('`') || text.ends_with('`') || text.starts_with(' ') {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}

/// Escapes text between HTML tags in Markdown, so that it is not markup in either language.
fn html(text: &str) -> String {
    let mut out = String::new();
    for c in plain(text).chars() {
        if c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | ',' | '-' | ':' | ';' | '/') {
            out.push(c);
        } else {
            let _ = write!(out, "&#{};", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare::compare;
    use crate::report::document::Report;
    use crate::report::sample;
    use crate::run::event::Event;
    use crate::run::verdict::Verdict;
    use std::collections::BTreeSet;

    fn comparison(foreign: &str) -> Comparison {
        let mut reports = [Report::empty(), Report::empty()];
        for (side, report) in reports.iter_mut().enumerate() {
            for mut event in sample::events() {
                if let Event::Judged(row) = &mut event {
                    row.subject.push_str(foreign);
                    if side == 1 && row.id == "path.one" {
                        row.facts[0].got = format!("EPERM{foreign}");
                        row.verdict = Verdict::Fail;
                    }
                }
                report.record(&event);
            }
        }
        compare(&reports[0], &reports[1], &BTreeSet::new())
    }

    #[test]
    fn the_terminal_shows_only_changes() {
        insta::assert_snapshot!(terminal(&comparison("")));
    }

    #[test]
    fn long_values_are_shortened_to_their_first_difference() {
        let text = |values: [&str; 2]| excerpts(values.map(str::to_owned));
        let same = "a".repeat(VALUE_LENGTH - 1);
        assert_eq!(text([&format!("{same}b"), &format!("{same}c")]), [format!("{same}b"), format!("{same}c")]);
        let (long, tail) = ("a".repeat(300), "d".repeat(300));
        let [base, head] = text([&format!("{long}b"), &format!("{long}c{tail}")]);
        assert_eq!(base, format!("... {}b", "a".repeat(CONTEXT)));
        assert_eq!(head, format!("... {}c{} ...", "a".repeat(CONTEXT), "d".repeat(VALUE_LENGTH - CONTEXT - 1)));
        assert_eq!(text(["x", &tail])[0], "x");
    }

    #[test]
    fn many_changes_are_counted_by_group() {
        let mut comparison = comparison("");
        let change = comparison.changes[0].clone();
        let ids = (0..MANY).map(|number| format!("{}.{number}", if number < 7 { "loop" } else { "path" }));
        comparison.changes = ids.map(|id| Change { id, ..change.clone() }).collect();
        let text = terminal(&comparison);
        assert!(text.contains("\nchanged rows by group: loop 7, path 3\n\n10 of 3 rows changed"), "{text}");
        comparison.changes.pop();
        assert!(!terminal(&comparison).contains("by group"));
    }

    #[test]
    fn markdown_is_a_table_with_collapsed_facts() {
        insta::assert_snapshot!(markdown(&comparison("")));
    }

    #[test]
    fn foreign_text_does_not_become_markup() {
        let text = markdown(&comparison("`` | </details> <img> @team \u{202e}\n# x"));
        assert!(!text.contains("\u{202e}") && !text.contains("\n# x"), "{text}");
        for line in text.lines().filter(|line| line.contains("EPERM")) {
            assert!(line.contains("```") && line.contains("\\|"), "{line}");
        }
        assert_eq!(html("</x> `a` *b* @c"), "&#60;/x&#62; &#96;a&#96; &#42;b&#42; &#64;c");
    }
}
