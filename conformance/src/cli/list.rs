//! `kmodlab list` and `kmodlab show`.

use super::args::SelectArgs;
use super::error::CliError;
use super::{Outcome, print};
use crate::catalogue::entry::{About, Behaviour, needs_text};
use crate::catalogue::select::{select, select_filtered};
use clap::Args as Group;
use std::fmt::Write as _;

/// `kmodlab list`.
#[derive(Debug, Group)]
pub struct ListArgs {
    #[command(flatten)]
    pub select: SelectArgs,
}

/// `kmodlab show`.
#[derive(Debug, Group)]
pub struct ShowArgs {
    /// Show behaviours with this id (path.empty-disables), catalogue id (PATH-06) or group (path)
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

pub(super) fn list(args: &ListArgs) -> Outcome {
    let behaviours = select_filtered(&args.select.ids, &args.select.filter).map_err(CliError::usage)?;
    print(&list_text(&behaviours))
}

pub(super) fn show(args: &ShowArgs) -> Outcome {
    let behaviours = select(&args.ids).map_err(CliError::usage)?;
    let texts: Vec<String> = behaviours.iter().map(|behaviour| show_text(behaviour)).collect();
    print(&texts.join("\n"))
}

fn list_text(behaviours: &[&Behaviour]) -> String {
    let mut text = String::new();
    for behaviour in behaviours {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<26} {:<8} {}", behaviour.id, behaviour.catalogue, behaviour.statement);
    }
    text
}

fn show_text(behaviour: &Behaviour) -> String {
    let about = match behaviour.about {
        About::Kernel => "the kernel: runs once per kernel",
        About::Both => "the kernel and the subject: runs for each pair",
    };
    let needs = if behaviour.needs.is_empty() { "nothing".to_owned() } else { needs_text(behaviour.needs) };
    format!(
        "{}\n  catalogue  {}\n  statement  {}\n  source     {}\n  about      {about}\n  needs      {needs}\n  \
         check      conformance/src/catalogue/behaviours/{}.rs\n",
        behaviour.id, behaviour.catalogue, behaviour.statement, behaviour.source, behaviour.group,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_a_line_for_each_behaviour() {
        insta::assert_snapshot!(list_text(&select(&[]).unwrap()));
    }

    #[test]
    fn a_behaviour_is_shown_with_its_source() {
        insta::assert_snapshot!(show_text(select(&["PATH-06".to_owned()]).unwrap()[0]));
    }
}
