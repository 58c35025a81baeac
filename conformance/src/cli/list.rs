//! `kmodlab list` and `kmodlab show`.

use super::args::SelectArgs;
use super::error::CliError;
use super::lookup;
use super::{Outcome, print};
use crate::catalogue::deviations::{Deviations, Names};
use crate::catalogue::entry::{About, Checked, Entry, needs_text};
use crate::catalogue::reference;
use crate::catalogue::select::{select_entries, select_entries_filtered, select_filtered};
use clap::Args as Group;
use std::fmt::Write as _;

/// `kmodlab list`.
#[derive(Debug, Group)]
pub struct ListArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Also list the behaviours that have no check, with the reason
    #[arg(long)]
    pub all: bool,
    /// Print a page in Markdown, with sources, needs, probes and known deviations
    #[arg(long)]
    pub markdown: bool,
}

/// `kmodlab show`.
#[derive(Debug, Group)]
pub struct ShowArgs {
    /// Show behaviours with this id (path.empty-disables), catalogue id (PATH-06) or group (path)
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

pub(super) fn list(args: &ListArgs) -> Outcome {
    let select = if args.all { select_entries_filtered } else { select_filtered };
    let entries = select(&args.select.ids, &args.select.filter).map_err(CliError::usage)?;
    if args.markdown {
        let deviations = Deviations::builtin(&Names::new(&lookup::catalogue()?)).map_err(CliError::inconclusive)?;
        return print(&reference::markdown(&entries, deviations.entries()));
    }
    print(&list_text(&entries))
}

pub(super) fn show(args: &ShowArgs) -> Outcome {
    let entries = select_entries(&args.ids).map_err(CliError::usage)?;
    let texts: Vec<String> = entries.iter().map(|entry| show_text(entry)).collect();
    print(&texts.join("\n"))
}

fn list_text(entries: &[&Entry]) -> String {
    let width = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for entry in entries {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<width$} {:<8} {}", entry.id, entry.catalogue, entry.statement);
        if let Checked::Missing(reason) = entry.check {
            let _ = writeln!(text, "{:<width$} {:<8} (no check: {reason})", "", "");
        }
    }
    text
}

fn show_text(entry: &Entry) -> String {
    let about = match entry.about {
        About::Kernel => "the kernel: runs once per kernel",
        About::Both => "the kernel and the subject: runs for each pair",
    };
    let needs = if entry.needs.is_empty() { "nothing".to_owned() } else { needs_text(entry.needs) };
    let probes = if entry.probes.is_empty() { "none".to_owned() } else { entry.probes.join(", ") };
    let check = match entry.check {
        Checked::By(_) => format!("conformance/src/catalogue/behaviours/{}.rs", entry.group),
        Checked::Missing(reason) => format!("none: {reason}"),
    };
    format!(
        "{}\n  catalogue  {}\n  statement  {}\n  source     {}\n  about      {about}\n  needs      {needs}\n  \
         probes     {probes}\n  check      {check}\n",
        entry.id, entry.catalogue, entry.statement, entry.source,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_a_line_for_each_behaviour() {
        insta::assert_snapshot!(list_text(&select_entries_filtered(&[], &[]).unwrap()));
    }

    #[test]
    fn a_behaviour_is_shown_with_its_source() {
        insta::assert_snapshot!(show_text(select_entries(&["PATH-06".to_owned()]).unwrap()[0]));
    }

    #[test]
    fn a_behaviour_without_a_check_is_shown_with_the_reason() {
        insta::assert_snapshot!(show_text(select_entries(&["LOOP-18".to_owned()]).unwrap()[0]));
    }
}
