//! `kmodlab list` and `kmodlab show`.

use super::args::SelectArgs;
use super::error::CliError;
use super::lookup;
use super::{Outcome, print};
use crate::catalogue::deviations::{Deviations, Names};
use crate::catalogue::entry::{About, Checked, Entry, Group, needs_text};
use crate::catalogue::reference;
use crate::catalogue::select::{select_entries, select_entries_filtered, select_filtered};
use clap::Args;
use std::fmt::Write as _;

/// `kmodlab list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Also list the behaviours that have no check, with the reason
    #[arg(long)]
    pub all: bool,
    /// List the groups, with the number of selected behaviours in each
    #[arg(long, conflicts_with = "markdown")]
    pub groups: bool,
    /// Print a page in Markdown, with sources, needs, probes and known deviations
    #[arg(long)]
    pub markdown: bool,
}

/// `kmodlab show`.
#[derive(Debug, Args)]
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
    print(&if args.groups { groups_text(&entries) } else { list_text(&entries) })
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

/// Returns one line per group, in the order of the catalogue.
fn groups_text(entries: &[&Entry]) -> String {
    let mut groups: Vec<(Group, usize)> = Vec::new();
    for entry in entries {
        match groups.iter_mut().find(|(group, _)| *group == entry.group) {
            Some((_, count)) => *count += 1,
            None => groups.push((entry.group, 1)),
        }
    }
    let width = groups.iter().map(|(group, _)| group.to_string().len()).max().unwrap_or(0);
    let digits = entries.len().to_string().len();
    let line = |(group, count): &(Group, usize)| {
        format!("{:<width$}  {count:>digits$}  {}\n", group.to_string(), group.subject())
    };
    groups.iter().map(line).collect()
}

fn show_text(entry: &Entry) -> String {
    let about = match entry.about {
        About::Kernel => "the kernel: runs once per kernel",
        About::Both => "the kernel and the subject: runs for each pair",
    };
    let needs = if entry.needs.is_empty() { "nothing".to_owned() } else { needs_text(entry.needs) };
    let probes = if entry.probes.is_empty() { "none".to_owned() } else { entry.probes.join(", ") };
    let check = match entry.check {
        Checked::By(_) => entry.group.sources(),
        Checked::Missing(reason) => format!("none: {reason}"),
    };
    format!(
        "{}\n  catalogue  {}\n  group      {}: {}\n  statement  {}\n  source     {}\n  about      {about}\n  needs      {needs}\n  \
         probes     {probes}\n  check      {check}\n",
        entry.id,
        entry.catalogue,
        entry.group,
        entry.group.subject(),
        entry.statement,
        entry.source,
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
    fn each_group_has_a_line_with_its_number_of_behaviours() {
        insta::assert_snapshot!(groups_text(&select_filtered(&[], &[]).unwrap()));
    }

    #[test]
    fn the_sources_of_each_group_exist() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for entry in select_filtered(&[], &[]).unwrap() {
            let group = entry.group;
            let directory = root.join(format!("conformance/src/catalogue/behaviours/{group}"));
            let sources = group.sources();
            assert_eq!(sources.ends_with(&format!(" and {group}/")), directory.is_dir(), "{sources}");
            assert!(directory.with_extension("rs").is_file(), "{sources}");
        }
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
