//! The command's arguments and its subcommands: one file each.

mod args;
mod bisect;
mod bundle;
mod cache;
mod compare;
mod config_check;
mod doctor;
mod jobs;
mod kernel;
mod kselftest;
mod list;
mod lookup;
mod outputs;
mod report;
mod run;
mod script;
mod setup;
mod shell;
mod signals;
mod subject;

pub use args::Args;

use crate::verdict::exit;
use args::Command;
use std::ffi::OsString;
use std::io::{self, Write};

/// A command that could not be carried out, and its exit code.
#[derive(Debug)]
pub struct CliError {
    code: u8,
    error: anyhow::Error,
}

impl CliError {
    /// Wrong use, found before anything is built or booted.
    fn usage(error: impl Into<anyhow::Error>) -> CliError {
        CliError { code: exit::USAGE, error: error.into() }
    }

    /// Something that could not be judged or done.
    fn inconclusive(error: impl Into<anyhow::Error>) -> CliError {
        CliError { code: exit::INCONCLUSIVE, error: error.into() }
    }
}

/// A line on standard error.
fn status(line: &str) {
    // Nobody to tell if standard error is gone.
    let _ = writeln!(io::stderr(), "{line}");
}

/// What is being fetched or built, on standard error.
fn show_progress(progress: vm_images::Progress) {
    status(&progress.to_string());
}

type Outcome = Result<u8, CliError>;

/// The exit code for arguments that are none; `git bisect run` would take 2 for a bad commit.
#[must_use]
pub fn parse_code(error: &clap::Error, mut words: impl Iterator<Item = OsString>) -> u8 {
    match error.exit_code() {
        0 => exit::OK,
        _ if words.any(|word| word == "bisect") => bisect::ABORT,
        _ => exit::USAGE,
    }
}

/// Carries the command out and returns its exit code.
#[must_use]
pub fn run(args: &Args) -> u8 {
    let outcome = match &args.command {
        Command::Run(run) => run::run(&args.common, run),
        Command::Compare(compare) => compare::compare(&args.common, compare),
        Command::Bisect(bisect) => bisect::bisect(&args.common, bisect),
        Command::Report(command) => report::report(command),
        Command::List(list) => list::list(list),
        Command::Show(show) => list::show(show),
        Command::Kernel(kernel) => kernel::kernel(&args.common, kernel),
        Command::Subject(subject) => subject::subject(&args.common, subject),
        Command::Cache(cache) => cache::cache(&args.common, cache),
        Command::Shell(shell) => shell::shell(&args.common, shell),
        Command::Bundle(bundle) => bundle::bundle(&args.common, bundle),
        Command::Kselftest(selftests) => kselftest::kselftest(&args.common, selftests),
        Command::Doctor => doctor::doctor(&args.common),
    };
    outcome.unwrap_or_else(|failure| {
        // Nobody to tell if standard error is gone.
        let _ = writeln!(io::stderr(), "kmodlab: {:#}", failure.error);
        failure.code
    })
}
