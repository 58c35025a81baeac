//! `kmodlab list` and `kmodlab show`.

use super::Outcome;
use super::args::{ListArgs, ShowArgs};
use super::error::CliError;
use crate::behaviour::{About, Behaviour};
use crate::select::{select, select_filtered};
use crate::verdict::exit;
use std::fmt::Write as _;
use std::io::{self, Write as _};

pub(super) fn list(args: &ListArgs) -> Outcome {
    let behaviours = select_filtered(&args.select.ids, &args.select.filter).map_err(CliError::usage)?;
    print(&list_text(&behaviours))
}

pub(super) fn show(args: &ShowArgs) -> Outcome {
    let behaviours = select(&args.ids).map_err(CliError::usage)?;
    let texts: Vec<String> = behaviours.iter().map(|behaviour| show_text(behaviour)).collect();
    print(&texts.join("\n"))
}

/// Prints; a reader that went away is no failure.
pub(super) fn print(text: &str) -> Outcome {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::inconclusive(error)),
        _ => Ok(exit::OK),
    }
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
        About::Kernel => "the kernel: run once for each kernel",
        About::Both => "kernel and subject: run for each pair",
    };
    let needs: Vec<String> = behaviour.needs.iter().map(ToString::to_string).collect();
    let needs = if needs.is_empty() { "nothing special".to_owned() } else { needs.join(", ") };
    format!(
        "{}\n  catalogue  {}\n  statement  {}\n  source     {}\n  about      {about}\n  needs      {needs}\n  \
         check      conformance/src/behaviours/{}.rs\n",
        behaviour.id, behaviour.catalogue, behaviour.statement, behaviour.source, behaviour.group,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_as_it_is_listed() {
        insta::assert_snapshot!(list_text(&select(&[]).unwrap()));
    }

    #[test]
    fn one_behaviour_as_it_is_shown() {
        insta::assert_snapshot!(show_text(select(&["PATH-06".to_owned()]).unwrap()[0]));
    }
}
