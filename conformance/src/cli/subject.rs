//! `kmodlab subject`: lists and fetches module tools.

use super::args::Common;
use super::error::CliError;
use super::help::FETCH_CODES;
use super::{Outcome, lookup, setup, show_progress, signals};
use crate::run::verdict::exit;
use clap::Subcommand;
use std::fmt::Write as _;
use vm_images::subject::{self, Unpacked};
use vm_images::{Catalogue, SubjectError};

/// `kmodlab subject`.
#[derive(Debug, Subcommand)]
pub enum SubjectCommand {
    /// List the module tools in the catalogue
    List,
    /// Fetch module tools into the cache and print their directories, without installing them
    #[command(after_help = FETCH_CODES)]
    Fetch {
        /// Fetch the module tools with this name in the catalogue [default: all]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Look for newer versions of tools that are in the cache
        #[arg(long)]
        refresh: bool,
    },
}

pub(super) fn subject(common: &Common, command: &SubjectCommand) -> Outcome {
    let catalogue = lookup::catalogue()?;
    match command {
        SubjectCommand::List => super::print(&listing(&catalogue)),
        SubjectCommand::Fetch { names, refresh } => {
            let all = || catalogue.subjects().iter().map(|entry| entry.name.clone()).collect();
            let names = if names.is_empty() { all() } else { names.clone() };
            fetch(common, &catalogue, &names, *refresh)
        }
    }
}

fn listing(catalogue: &Catalogue) -> String {
    let line = |entry: &vm_images::catalogue::SubjectEntry| {
        format!("{:<20} {} from {}\n", entry.name, entry.package, entry.suites.join(" or "))
    };
    catalogue.subjects().iter().map(line).collect()
}

fn fetch(common: &Common, catalogue: &Catalogue, names: &[String], refresh: bool) -> Outcome {
    names.iter().try_for_each(|name| catalogue.subject(name).map(|_| ()).map_err(CliError::usage))?;
    let cache = setup::cache(common)?;
    let stop = signals::watch(|| {})?;
    let mut options = lookup::options(common, &cache, &show_progress, &stop);
    options.refresh = refresh;
    let mut code = exit::OK;
    for name in names {
        match subject::unpacked(name, &options) {
            Ok(unpacked) => super::print(&found(name, &unpacked))?,
            Err(error @ SubjectError::Unavailable { .. }) => {
                CliError::inconclusive(error).print(common.offline);
                code = exit::INCONCLUSIVE;
                code
            }
            Err(error) => return signals::or_interrupted(&stop, Err(CliError::inconclusive(error))),
        };
    }
    Ok(code)
}

fn found(name: &str, unpacked: &Unpacked) -> String {
    let package = &unpacked.package;
    let mut text = format!(
        "{name:<20} {} {} ({})\n  {}\n",
        package.package,
        package.version,
        package.suite,
        unpacked.root.display()
    );
    for note in &unpacked.notes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  note: {note}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_images::PackageVersion;

    #[test]
    fn the_list_has_a_line_for_each_subject() {
        insta::assert_snapshot!(listing(&Catalogue::builtin().unwrap()), @r"
        kmod-28              kmod from bullseye-security or bullseye
        kmod-30              kmod from bookworm-security or bookworm
        kmod-34              kmod from trixie-security or trixie
        busybox              busybox-static from bookworm-security or bookworm
        toybox               toybox from bookworm-security or bookworm
        ");
    }

    #[test]
    fn a_fetched_subject_is_shown_with_its_directory() {
        let package = PackageVersion {
            suite: "trixie".into(),
            package: "kmod".into(),
            version: "34.2-2".into(),
            files: Vec::new(),
        };
        let unpacked =
            Unpacked { package, root: "/cache/root".into(), notes: vec!["newer than the locked one".into()] };
        insta::assert_snapshot!(found("kmod-34", &unpacked), @r"
        kmod-34              kmod 34.2-2 (trixie)
          /cache/root
          note: newer than the locked one
        ");
    }
}
