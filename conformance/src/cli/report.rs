//! `kmodlab report`: converts and merges JSON reports.

use super::Outcome;
use super::error::CliError;
use super::outputs::{can_be_written, parameter_arg};
use crate::report::format::Format;
use crate::report::formats::FORMATS;
use crate::report::{json, merge, stored, write_to};
use crate::run::verdict::exit;
use clap::error::ErrorKind;
use clap::{ArgMatches, Args as Group, Command, FromArgMatches, Subcommand};
use std::io;
use std::path::PathBuf;

/// `kmodlab report`: a command for each format to which a report can be converted, and `merge`.
#[derive(Debug)]
pub enum ReportCommand {
    /// Convert a report.
    Convert(Conversion),
    /// Merge reports.
    Merge(MergeArgs),
}

/// A report to convert.
pub struct Conversion {
    format: &'static dyn Format,
    parameter: Option<String>,
    args: OneArgs,
}

impl std::fmt::Debug for Conversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversion").field("format", &self.format.name()).field("args", &self.args).finish()
    }
}

/// The files of a conversion.
#[derive(Debug, Group)]
pub struct OneArgs {
    /// Read this JSON report
    #[arg(value_name = "REPORT.json")]
    pub report: PathBuf,
    /// Write to this file; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
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

impl Subcommand for ReportCommand {
    fn augment_subcommands(command: Command) -> Command {
        let conversions = FORMATS.iter().filter_map(|format| {
            let command = OneArgs::augment_args(Command::new(format.name())).about(format.conversion()?);
            let parameter = format.parameter().map(|one| parameter_arg(one, one.option).required(true));
            Some(command.args(parameter))
        });
        let merge =
            "Merge reports, e.g. those of the shards of a run; the exit code is as if all rows had been run together";
        command
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommands(conversions)
            .subcommand(MergeArgs::augment_args(Command::new("merge")).about(merge))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        name == "merge" || FORMATS.iter().any(|format| format.name() == name && format.conversion().is_some())
    }
}

impl FromArgMatches for ReportCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Some((name, matches)) = matches.subcommand() else {
            return Err(clap::Error::raw(ErrorKind::MissingSubcommand, "no subcommand"));
        };
        let Some(format) = FORMATS.iter().find(|format| format.name() == name) else {
            return Ok(ReportCommand::Merge(MergeArgs::from_arg_matches(matches)?));
        };
        let value = format.parameter().and_then(|parameter| matches.get_one::<String>(parameter.option).cloned());
        let args = OneArgs::from_arg_matches(matches)?;
        Ok(ReportCommand::Convert(Conversion { format: *format, parameter: value, args }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) fn report(command: &ReportCommand) -> Outcome {
    match command {
        ReportCommand::Convert(conversion) => convert(conversion),
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

fn convert(Conversion { format, parameter, args }: &Conversion) -> Outcome {
    can_be_written(&args.output)?;
    let report = stored::read(&args.report).map_err(CliError::usage)?;
    match format.render(&report, parameter.as_deref()).and_then(|text| write_to(&args.output, &text)) {
        // A reader such as `head` may close the pipe early.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::inconclusive(error)),
        _ => Ok(exit::OK),
    }
}
