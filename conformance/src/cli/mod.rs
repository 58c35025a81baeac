//! The command line: arguments and subcommands, one file each.

mod args;
mod bisect;
mod bundle;
mod cache;
mod compare;
mod config_check;
mod doctor;
mod error;
mod help;
mod hint;
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

use crate::run::verdict::exit;
use args::Command;
use error::CliError;
use std::ffi::OsString;
use std::io::{self, Write as _};

/// The exit code of a command, or why it could not be carried out.
type Outcome = Result<u8, CliError>;

/// Prints on standard output.
fn print(text: &str) -> Outcome {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader such as `head` may close the pipe early.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::inconclusive(anyhow::Error::new(error).context("cannot write to standard output")))
        }
        _ => Ok(exit::OK),
    }
}

/// Prints a line about the progress of a command on standard error.
fn status(line: &str) {
    // Without a standard error there is no reader.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints what is being fetched or built on standard error.
fn show_progress(progress: vm_images::Progress) {
    status(&progress.to_string());
}

/// Returns the exit code for arguments that clap rejected. `git bisect run` would take 2 for a bad commit.
#[must_use]
pub fn parse_code(error: &clap::Error, mut arguments: impl Iterator<Item = OsString>) -> u8 {
    match error.exit_code() {
        0 => exit::OK,
        _ if arguments.any(|argument| argument == "bisect") => bisect::ABORT,
        _ => exit::USAGE,
    }
}

/// Runs the command and returns its exit code. An error is printed on standard error.
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
    outcome.unwrap_or_else(|error| {
        error.print(args.common.offline);
        error.code
    })
}
