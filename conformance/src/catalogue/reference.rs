//! The reference page of the behaviours, docs/reference/behaviours.md. Pure.

use crate::catalogue::deviations::Deviation;
use crate::catalogue::entry::{About, Checked, Entry, needs_text};
use crate::catalogue::probes::{Decision, PROBES, Probe};
use std::fmt::Write as _;

/// The width at which text is wrapped, in characters.
const WIDTH: usize = 100;

const INTRODUCTION: &str = "\
# Behaviours

This page is generated: `kmodlab list --all --markdown > docs/reference/behaviours.md` writes it,
and a test checks it. The facts on which the statements are based are in
[kernel.md](../facts/kernel.md) and [tools.md](../facts/tools.md).

A behaviour about the kernel runs once per kernel, one about kernel and tools once per pair. It is
skipped if one of its needs is not met. A deviation is a known mismatch between the statement and a
kernel or the module tools.

## Probes

A probe is a property of a kernel that decides which form of a statement applies, or what is
observed. The decisions are tried in order; `--probe NAME=VALUE` overrides them. \"Since\" names the
commit or the releases between which the property changed.

";

/// Returns the page about these entries and their deviations.
#[must_use]
pub fn markdown(entries: &[&Entry], deviations: &[Deviation]) -> String {
    let mut text = INTRODUCTION.to_owned();
    PROBES.iter().for_each(|probe| text.push_str(&probe_section(probe)));
    let mut group = None;
    for entry in entries {
        if group != Some(entry.group) {
            group = Some(entry.group);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "## Group {}\n", entry.group);
        }
        text.push_str(&entry_section(entry, deviations));
    }
    format!("{}\n", text.trim_end())
}

fn probe_section(probe: &Probe) -> String {
    let mut text = format!("### Probe {}\n\n{}", probe.name, wrapped("", probe.meaning));
    text.push('\n');
    for (decision, value) in probe.decisions {
        text.push_str(&wrapped("- ", &format!("`{value}`: {}", decision_text(*decision))));
    }
    text.push_str(&wrapped("- ", &format!("since: {}", probe.since)));
    text.push('\n');
    text
}

fn decision_text(decision: Decision) -> String {
    match decision {
        Decision::Image(needle) => format!("the image contains `{needle}`"),
        Decision::NotInImage(needle) => format!("the image does not contain `{needle}`"),
        Decision::Config(line) => format!("the configuration has `CONFIG_{line}`"),
        Decision::Since(0, 0) => "every other release".to_owned(),
        Decision::Since(major, minor) => format!("release {major}.{minor} or later"),
        Decision::Lab => "set by the lab".to_owned(),
    }
}

fn entry_section(entry: &Entry, deviations: &[Deviation]) -> String {
    let about = match entry.about {
        About::Kernel => "the kernel",
        About::Both => "kernel and tools",
    };
    let catalogue = format!("[{}](../facts/kernel.md#{})", entry.catalogue, entry.catalogue.to_lowercase());
    let mut text = format!("### {}\n\n{}\n", entry.id, wrapped("", &escaped(entry.statement)));
    let mut item = |content: &str| text.push_str(&wrapped("- ", content));
    item(&format!("{catalogue}, about {about}"));
    item(&format!("source: {}", linked(entry.source)));
    if !entry.needs.is_empty() {
        item(&format!("needs: {}", escaped(&needs_text(entry.needs))));
    }
    if !entry.probes.is_empty() {
        let links: Vec<String> = entry.probes.iter().map(|name| format!("[{name}](#probe-{name})")).collect();
        item(&format!("probes: {}", links.join(", ")));
    }
    if let Checked::Missing(reason) = entry.check {
        item(&format!("no check: {}", escaped(reason)));
    }
    for known in known(entry, deviations) {
        item(&known);
    }
    text.push('\n');
    text
}

/// Returns the deviations from a statement, each reason once per subject and kernels.
fn known(entry: &Entry, deviations: &[Deviation]) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for deviation in deviations.iter().filter(|deviation| deviation.behaviour == entry.id) {
        let subject = if deviation.subject == "*" { "every subject" } else { &deviation.subject };
        let kernels: Vec<String> = deviation.kernels.iter().map(|range| format!("`{range}`")).collect();
        let on = if kernels.is_empty() { String::new() } else { format!(" on {}", kernels.join(" or ")) };
        let reference = linked(&deviation.reference);
        let reason = escaped(&deviation.reason);
        let text = format!("deviation of {}{on}: {reason} ({reference})", escaped(subject));
        if !known.contains(&text) {
            known.push(text);
        }
    }
    known
}

/// Escapes the characters that begin markup in running text.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '*' | '<' | '[' | '|' | '`' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

/// Escapes a source and links the documents in it.
fn linked(source: &str) -> String {
    let link = |word: &str| match word.strip_prefix("docs/") {
        Some(rest) => {
            let (target, after) = rest.split_at(rest.trim_end_matches([',', ';', '.', ':', ')']).len());
            let name = target.rsplit('/').next().unwrap_or(target);
            format!("[{name}](../{target}){after}")
        }
        None => escaped(word),
    };
    source.split(' ').map(link).collect::<Vec<_>>().join(" ")
}

/// Wraps a text. The first line has the prefix, the following ones are indented by its length.
fn wrapped(prefix: &str, text: &str) -> String {
    let indent = " ".repeat(prefix.len());
    let (mut result, mut line) = (String::new(), prefix.to_owned());
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            result.extend([line.as_str(), "\n"]);
            line.clone_from(&indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    result.extend([line.as_str(), "\n"]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::deviations::{Deviations, Names, Origin};
    use crate::catalogue::select::select_entries;
    use vm_images::Catalogue;

    #[test]
    fn an_entry_is_shown_with_what_it_depends_on_and_its_deviations() {
        let table = r#"
            [[deviation]]
            behaviour = "loop.wording"
            fact = "a"
            kernels = [">=5.10, <6.4", "cutoff=wait-queue"]
            instead = "x"
            reason = "one *reason*"
            reference = "docs/facts/kernel.md#limit-newline"
            [[deviation]]
            behaviour = "loop.wording"
            fact = "b"
            kernels = [">=5.10, <6.4", "cutoff=wait-queue"]
            instead = "y"
            reason = "one *reason*"
            reference = "docs/facts/kernel.md#limit-newline"
        "#;
        let names = Names::new(&Catalogue::builtin().unwrap());
        let deviations = Deviations::parse("own.toml", table, Origin::Shipped, &names).unwrap();
        let names = ["loop.wording", "load.compressed", "loop.small-memory"].map(str::to_owned);
        let page = markdown(&select_entries(&names).unwrap(), deviations.entries());
        insta::assert_snapshot!(page.strip_prefix(INTRODUCTION).unwrap());
    }

    #[test]
    fn text_is_wrapped_between_words() {
        let text = vec!["word"; 30].join(" ");
        let lines: Vec<String> = wrapped("- ", &text).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("- word") && lines[1].starts_with("  word"));
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
    }
}
