//! `kmodlab report`: stored JSON reports in another form.

use super::Outcome;
use super::error::CliError;
use super::outputs::{as_html, as_junit, as_kcidb, can_be_written};
use crate::report::json::Report;
use crate::report::kcidb::Origin;
use crate::report::ktap::Ktap;
use crate::report::terminal::Terminal;
use crate::report::{Reporter, json, merge, stored, write_to};
use crate::verdict::exit;
use clap::{Args as Group, Subcommand};
use std::io::{self, Write as _};
use std::path::PathBuf;

/// `kmodlab report`.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// As `run` shows it
    Terminal(OneArgs),
    /// One self-contained HTML page
    Html(OneArgs),
    /// Kernel test anything protocol
    Ktap(OneArgs),
    /// JUnit XML
    Junit(OneArgs),
    /// JSON for KCIDB, schema 5.3
    Kcidb(KcidbArgs),
    /// Make one report of several, such as the shards of a run; exits as a run with all their rows
    Merge(MergeArgs),
}

/// A report, and where its other form goes.
#[derive(Debug, Group)]
pub struct OneArgs {
    /// The JSON report
    #[arg(value_name = "REPORT.json")]
    pub report: PathBuf,
    /// Write here; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

/// A report for KCIDB.
#[derive(Debug, Group)]
pub struct KcidbArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The name that KCIDB has given to who submits
    #[arg(long, value_name = "NAME")]
    origin: Origin,
}

/// Several reports, and where the merged one goes.
#[derive(Debug, Group)]
pub struct MergeArgs {
    /// The JSON reports
    #[arg(value_name = "REPORT.json", required = true)]
    pub reports: Vec<PathBuf>,
    /// Write the merged JSON report here; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: PathBuf,
}

pub(super) fn report(command: &ReportCommand) -> Outcome {
    match command {
        ReportCommand::Terminal(args) => {
            one(args, |report| replayed(&stored::tamed(report)?, |out| Box::new(Terminal::new(out, false))))
        }
        ReportCommand::Html(args) => one(args, as_html()),
        ReportCommand::Ktap(args) => {
            one(args, |report| replayed(&stored::tamed(report)?, |out| Box::new(Ktap::new(out))))
        }
        ReportCommand::Junit(args) => one(args, as_junit()),
        ReportCommand::Kcidb(args) => one(&args.one, as_kcidb(args.origin.clone())),
        ReportCommand::Merge(args) => merged(args),
    }
}

/// What does not fit together is told on standard error.
fn merged(args: &MergeArgs) -> Outcome {
    can_be_written(&args.output)?;
    let read = |path: &PathBuf| Ok((path.display().to_string(), stored::read(path)?));
    let reports: Result<Vec<_>, stored::ReadError> = args.reports.iter().map(read).collect();
    let merged = merge::merge(&reports.map_err(CliError::usage)?);
    for note in &merged.notes {
        // Nobody to tell if standard error is gone.
        let _ = writeln!(io::stderr(), "kmodlab: {note}");
    }
    json::text(&merged.report).and_then(|text| write_to(&args.output, &text)).map_err(CliError::inconclusive)?;
    Ok(merged.report.exit_code)
}

fn one(args: &OneArgs, render: impl Fn(&Report) -> io::Result<Vec<u8>>) -> Outcome {
    can_be_written(&args.output)?;
    let report = stored::read(&args.report).map_err(CliError::usage)?;
    match render(&report).and_then(|text| write_to(&args.output, &text)) {
        // `kmodlab report … | head`: whoever went away wants to see no more.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::inconclusive(error)),
        _ => Ok(exit::OK),
    }
}

/// What a writer of events makes of the events of this report.
fn replayed(
    report: &Report,
    writer: impl for<'a> Fn(&'a mut Vec<u8>) -> Box<dyn Reporter + 'a>,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    {
        let mut writer = writer(&mut out);
        report.events().iter().try_for_each(|event| writer.event(event))?;
    }
    Ok(out)
}
