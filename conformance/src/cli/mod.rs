//! The command line: one file for each subcommand, with its arguments.

mod args;
mod bisect;
mod bundle;
mod cache;
mod compare;
mod config_check;
mod deviations;
mod doctor;
mod error;
mod help;
mod hint;
mod jobs;
mod judging;
mod kernel;
mod kselftest;
mod list;
mod lookup;
mod outputs;
mod report;
#[cfg(test)]
mod requests;
mod resolve;
mod run;
mod script;
mod session;
mod setup;
mod shell;
mod signals;
mod subject;

use crate::run::verdict::exit;
use args::Common;
use bisect::BisectArgs;
use bundle::BundleArgs;
use cache::CacheCommand;
use clap::{Parser, Subcommand};
use compare::CompareArgs;
use deviations::DeviationsArgs;
use error::CliError;
use help::{DOCTOR_CODES, EXIT_CODES, FILTERS, ONE_KERNEL, ONE_SUBJECT, TERMS};
use kernel::KernelCommand;
use kselftest::KselftestArgs;
use list::{ListArgs, ShowArgs};
use report::ReportCommand;
use run::RunArgs;
use shell::ShellArgs;
use std::ffi::OsString;
use std::io::{self, Write as _};
use subject::SubjectCommand;

/// Test Linux module auto-loading: boot kernels in QEMU and check named behaviours.
#[derive(Debug, Parser)]
#[command(name = "kmodlab", version, max_term_width = 100, after_help = format!("{TERMS}\n\n{EXIT_CODES}"))]
pub struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Check behaviours and report the verdicts
    #[command(after_help = format!("{TERMS}\n\n{FILTERS}\n\n{EXIT_CODES}"))]
    Run(Box<RunArgs>),
    /// Show what changed between two kernels or two reports
    #[command(after_help = compare::AFTER_HELP, mut_arg("kernel", |arg| arg.hide(true)))]
    Compare(Box<CompareArgs>),
    /// Build a kernel tree and check behaviours on it, for `git bisect run`
    #[command(after_help = bisect::AFTER_HELP, mut_arg("kernel", |arg| arg.hide(true)),
        mut_arg("modules", |arg| arg.hide(true)), mut_arg("print_command", |arg| arg.hide(true)))]
    Bisect(Box<BisectArgs>),
    /// Convert or merge JSON reports
    #[command(subcommand)]
    Report(ReportCommand),
    /// List behaviours
    #[command(after_help = FILTERS)]
    List(ListArgs),
    /// Show the statement, source and needs of behaviours
    Show(ShowArgs),
    /// List the known deviations of kernels and subjects
    Deviations(DeviationsArgs),
    /// List, fetch, build or inspect kernels
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// List or fetch the module tools in the catalogue
    #[command(subcommand)]
    Subject(SubjectCommand),
    /// List, verify or prune the cache
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Open a shell in a guest set up like those that behaviours run in
    #[command(mut_arg("kernel", |arg| arg.help(ONE_KERNEL)), mut_arg("subject", |arg| arg.help(ONE_SUBJECT)))]
    Shell(ShellArgs),
    /// Write a kernel and an initramfs that run the checks when booted on a machine, without kmodlab
    #[command(after_help = FILTERS)]
    Bundle(BundleArgs),
    /// Run the kernel's own selftests of its module loader, each test in its own guest, and print KTAP
    #[command(after_help = kselftest::AFTER_HELP, mut_arg("kernel", |arg| arg.help(ONE_KERNEL)),
        mut_arg("subject", |arg| arg.help(ONE_SUBJECT)))]
    Kselftest(KselftestArgs),
    /// Check that this machine can run guests, and report what is missing
    #[command(after_help = DOCTOR_CODES)]
    Doctor,
}

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
        Command::Deviations(args) => deviations::deviations(args),
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
