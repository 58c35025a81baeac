//! `kmodlab deviations`: prints the known deviations.

use super::error::CliError;
use super::judging::unknown_subject;
use super::{Outcome, lookup, print};
use crate::catalogue::deviations::kernels::version_of;
use crate::catalogue::deviations::{Deviation, Deviations, Names};
use crate::catalogue::glob;
use clap::Args as Group;
use std::fmt::Write as _;

/// `kmodlab deviations`.
#[derive(Debug, Group)]
pub struct DeviationsArgs {
    /// Show only the deviations that apply to this subject
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// Show only the deviations that can apply to a kernel of this release, e.g. 6.12 or 6.1.0-50-amd64
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    pub kernel: Option<String>,
}

pub(super) fn deviations(args: &DeviationsArgs) -> Outcome {
    let catalogue = lookup::catalogue()?;
    let names = Names::new(&catalogue);
    if let Some(subject) = args.subject.as_ref().filter(|subject| !names.subjects.contains(subject)) {
        return Err(unknown_subject(subject, &catalogue));
    }
    let table = Deviations::builtin(&names).map_err(CliError::inconclusive)?;
    let shown = table.entries().iter().filter(|entry| {
        args.subject.as_ref().is_none_or(|subject| glob::matches(&entry.subject, subject))
            && args.kernel.as_ref().is_none_or(|release| entry.may_be_of_release(release))
    });
    print(&text(shown))
}

/// Returns the deviations, grouped by behaviour.
fn text<'a>(deviations: impl Iterator<Item = &'a Deviation>) -> String {
    let mut sorted: Vec<&Deviation> = deviations.collect();
    // Stable, so that the entries of a behaviour stay in the order of the table.
    sorted.sort_by_key(|entry| entry.behaviour.as_str());
    let mut text = String::new();
    let mut behaviour = "";
    for entry in sorted {
        // Writing to a String cannot fail.
        if entry.behaviour != behaviour {
            behaviour = &entry.behaviour;
            let _ = writeln!(text, "{}{behaviour}", if text.is_empty() { "" } else { "\n" });
        }
        let kernels: Vec<String> = entry.kernels.iter().map(ToString::to_string).collect();
        let kernels = if kernels.is_empty() { String::new() } else { format!(" on {}", kernels.join(" or ")) };
        let subject = if entry.subject == "*" { "every subject" } else { &entry.subject };
        let _ = writeln!(text, "  {subject}{kernels}: {}: {}", entry.fact, entry.instead.join(" or "));
        let _ = writeln!(text, "    {} ({})", entry.reason, entry.reference);
    }
    text
}

/// Parses a release.
fn parse_release(text: &str) -> Result<String, String> {
    if version_of(text).is_empty() { Err("expected a release, e.g. 6.12".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::deviations::Origin;
    use vm_images::Catalogue;

    const TABLE: &str = r#"
[[deviation]]
behaviour = "unload.holders"
fact = "modprobe -r"
subject = "kmod-*"
instead = ["exit 0", "exit 1"]
reason = "one"
reference = "kmod issue 1"

[[deviation]]
behaviour = "path.newline"
fact = "result"
kernels = [">=6.4, cutoff=semaphore", "<5.10"]
instead = "EINVAL"
reason = "two"
reference = "kernel commit 2"

[[deviation]]
behaviour = "unload.holders"
fact = "modules"
subject = "busybox"
instead = "[]"
reason = "three"
reference = "docs"
"#;

    #[test]
    fn deviations_are_printed_by_behaviour() {
        let names = Names::new(&Catalogue::builtin().unwrap());
        let table = Deviations::parse("t", TABLE, Origin::Shipped, &names).unwrap();
        insta::assert_snapshot!(text(table.entries().iter()));
    }
}
