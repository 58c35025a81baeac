//! `kmodlab report`: converts and merges JSON reports.

use super::Outcome;
use super::error::CliError;
use super::outputs::{as_html, as_junit, as_kcidb, can_be_written};
use crate::report::json::Report;
use crate::report::kcidb::Origin;
use crate::report::ktap::Ktap;
use crate::report::terminal::Terminal;
use crate::report::{Reporter, json, merge, stored, write_to};
use crate::run::verdict::exit;
use clap::{Args as Group, Subcommand};
use std::io;
use std::path::PathBuf;

/// `kmodlab report`.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Convert a report to the text that `run` prints
    Terminal(OneArgs),
    /// Convert a report to a self-contained HTML page
    Html(OneArgs),
    /// Convert a report to KTAP, the kernel's Test Anything Protocol
    Ktap(OneArgs),
    /// Convert a report to JUnit XML
    Junit(OneArgs),
    /// Convert a report to JSON for KCIDB (schema 5.3)
    Kcidb(KcidbArgs),
    /// Merge reports, e.g. those of the shards of a run; the exit code is as if all rows had been run together
    Merge(MergeArgs),
}

/// A report to convert.
#[derive(Debug, Group)]
pub struct OneArgs {
    /// Read this JSON report
    #[arg(value_name = "REPORT.json")]
    pub report: PathBuf,
    /// Write to this file; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

/// A report to convert for KCIDB.
#[derive(Debug, Group)]
pub struct KcidbArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Set the origin that KCIDB assigned to you
    #[arg(long, value_name = "NAME")]
    origin: Origin,
}

/// Reports to merge.
#[derive(Debug, Group)]
pub struct MergeArgs {
    /// Read these JSON reports
    #[arg(value_name = "REPORT.json", required = true)]
    pub reports: Vec<PathBuf>,
    /// Write the merged JSON report to this file; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: PathBuf,
}

pub(super) fn report(command: &ReportCommand) -> Outcome {
    match command {
        ReportCommand::Terminal(args) => {
            one(args, |report| replayed(&stored::printable(report)?, |out| Box::new(Terminal::new(out, false))))
        }
        ReportCommand::Html(args) => one(args, as_html()),
        ReportCommand::Ktap(args) => {
            one(args, |report| replayed(&stored::printable(report)?, |out| Box::new(Ktap::new(out))))
        }
        ReportCommand::Junit(args) => one(args, as_junit()),
        ReportCommand::Kcidb(args) => one(&args.one, as_kcidb(args.origin.clone())),
        ReportCommand::Merge(args) => merged(args),
    }
}

/// Merges reports; inconsistencies are printed on standard error.
fn merged(args: &MergeArgs) -> Outcome {
    can_be_written(&args.output)?;
    let read = |path: &PathBuf| Ok((path.display().to_string(), stored::read(path)?));
    let reports: Result<Vec<_>, stored::ReadError> = args.reports.iter().map(read).collect();
    let merged = merge::merge(&reports.map_err(CliError::usage)?);
    for note in &merged.notes {
        super::status(&format!("note: {note}"));
    }
    json::text(&merged.report).and_then(|text| write_to(&args.output, &text)).map_err(CliError::inconclusive)?;
    Ok(merged.report.exit_code)
}

fn one(args: &OneArgs, render: impl Fn(&Report) -> io::Result<Vec<u8>>) -> Outcome {
    can_be_written(&args.output)?;
    let report = stored::read(&args.report).map_err(CliError::usage)?;
    match render(&report).and_then(|text| write_to(&args.output, &text)) {
        // A reader such as `head` may close the pipe early.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::inconclusive(error)),
        _ => Ok(exit::OK),
    }
}

/// Returns what a reporter prints for the events of a stored report.
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
