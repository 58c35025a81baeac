//! The reports that `kmodlab run` writes: options, checks of the options, and reporters.

use super::error::CliError;
use crate::report::format::{self, Format, InRuns, Parameter, Style};
use crate::report::formats::{self, FORMATS};
use crate::report::{ReportFile, Reporter};
use anyhow::anyhow;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// The reports of a run.
#[derive(Clone)]
pub struct OutputArgs {
    /// The report on standard output.
    stdout: &'static dyn Format,
    /// Whether the terminal report leaves out the rows that are as expected.
    quiet: bool,
    files: Vec<ToFile>,
}

/// A report that goes to a file.
#[derive(Clone)]
struct ToFile {
    format: &'static dyn Format,
    path: PathBuf,
    parameter: Option<String>,
}

impl ToFile {
    fn is_stdout(&self) -> bool {
        self.path == Path::new("-")
    }
}

impl Default for OutputArgs {
    fn default() -> Self {
        OutputArgs { stdout: formats::DEFAULT, quiet: false, files: Vec::new() }
    }
}

impl std::fmt::Debug for OutputArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = self.files.iter().map(|file| (file.format.name(), &file.path));
        f.debug_struct("OutputArgs")
            .field("stdout", &self.stdout.name())
            .field("quiet", &self.quiet)
            .field("files", &files.collect::<Vec<_>>())
            .finish()
    }
}

/// Returns an option for a parameter of a format.
pub(super) fn parameter_arg(parameter: &'static Parameter, option: &'static str) -> Arg {
    let check = parameter.check;
    let parse = move |text: &str| check(text).map(|()| text.to_owned());
    Arg::new(option).long(option).value_name(parameter.value_name).help(parameter.help).value_parser(parse)
}

impl clap::Args for OutputArgs {
    fn augment_args(command: Command) -> Command {
        let values = FORMATS.iter().filter_map(|format| match format.in_runs() {
            InRuns::Stdout(help) => Some(PossibleValue::new(format.name()).help(help)),
            InRuns::File { .. } => None,
        });
        let stdout = Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .help("Select the report on standard output; with ktap, the terminal report goes to standard error")
            .value_parser(PossibleValuesParser::new(values))
            .default_value(formats::DEFAULT.name());
        let quiet = Arg::new("quiet")
            .long("quiet")
            .short('q')
            .action(ArgAction::SetTrue)
            .help("Leave rows that passed, are known deviations or were skipped out of the terminal report");
        let mut command = command.next_help_heading("Reports").arg(stdout).arg(quiet);
        for format in FORMATS {
            let InRuns::File { help, .. } = format.in_runs() else { continue };
            let parser = value_parser!(PathBuf);
            let file = Arg::new(format.name()).long(format.name()).value_name("FILE").help(help).value_parser(parser);
            command = match format.parameter() {
                Some(parameter) => {
                    command.arg(file.requires(parameter.run_option)).arg(parameter_arg(parameter, parameter.run_option))
                }
                None => command.arg(file),
            };
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for OutputArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut outputs = OutputArgs::default();
        outputs.update_from_arg_matches(matches)?;
        Ok(outputs)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let name = matches.get_one::<String>("format");
        let selected = name.and_then(|name| FORMATS.iter().find(|format| format.name() == name));
        self.stdout = selected.copied().unwrap_or(formats::DEFAULT);
        self.quiet = matches.get_flag("quiet");
        let file = |format: &&'static dyn Format| {
            let InRuns::File { .. } = format.in_runs() else { return None };
            let path = matches.get_one::<PathBuf>(format.name())?.clone();
            let value = |parameter: &Parameter| matches.get_one::<String>(parameter.run_option).cloned();
            Some(ToFile { format: *format, path, parameter: format.parameter().and_then(value) })
        };
        self.files = FORMATS.iter().filter_map(file).collect();
        Ok(())
    }
}

impl OutputArgs {
    /// Rejects options that cannot work, before anything is fetched or booted.
    pub(super) fn check(&self) -> Result<(), CliError> {
        for file in &self.files {
            let option = format!("--{}", file.format.name());
            let stdout = matches!(file.format.in_runs(), InRuns::File { stdout: true, .. });
            if file.is_stdout() && !stdout {
                let error = anyhow!("{option} cannot write to standard output");
                let name = file.format.name();
                return Err(CliError::usage(error)
                    .hint(format!("give a file, or use `kmodlab report {name}` on a JSON report")));
            }
            if file.is_stdout() && self.stdout.name() != formats::DEFAULT.name() {
                let (name, format) = (self.stdout.name(), file.format.name());
                let error = anyhow!("--format {name} and {option} - both write to standard output");
                let what = format.to_uppercase();
                return Err(CliError::usage(error).hint(format!("write the {what} report to a file: {option} FILE")));
            }
        }
        self.files.iter().try_for_each(|file| can_be_written(&file.path))
    }

    /// Returns the reporters, the one for the terminal first.
    pub(super) fn reporters(&self) -> Vec<Box<dyn Reporter + Send>> {
        let mut all: Vec<Box<dyn Reporter + Send>> = Vec::new();
        let other = self.stdout.name() != formats::DEFAULT.name();
        let style = |interactive| Style { interactive, quiet: self.quiet };
        if other || self.files.iter().any(ToFile::is_stdout) {
            all.push(format::reporter(formats::DEFAULT, Box::new(io::stderr()), style(io::stderr().is_terminal())));
        } else {
            let interactive = io::stdout().is_terminal() && io::stderr().is_terminal();
            all.push(format::reporter(formats::DEFAULT, Box::new(io::stdout()), style(interactive)));
        }
        if other {
            all.push(format::reporter(self.stdout, Box::new(io::stdout()), Style::default()));
        }
        for file in &self.files {
            all.push(Box::new(ReportFile::new(file.path.clone(), file.format, file.parameter.clone())));
        }
        all
    }
}

/// Rejects a path to which no report can be written.
pub(super) fn can_be_written(path: &Path) -> Result<(), CliError> {
    if path == Path::new("-") {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A report is written to a temporary file in the directory and renamed: the directory decides.
    let reason = if path.is_dir() {
        io::Error::from_raw_os_error(libc::EISDIR)
    } else if directory.exists() && !directory.is_dir() {
        io::Error::from_raw_os_error(libc::ENOTDIR)
    } else {
        match rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
            Ok(()) => return Ok(()),
            Err(errno) => errno.into(),
        }
    };
    Err(CliError::usage(anyhow::Error::new(reason).context(format!("cannot write {}", path.display()))))
}
