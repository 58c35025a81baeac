//! `kmodlab compare`: what changed from one kernel to another, or from one stored report to another.

use super::args::{Common, GuestArgs, RunArgs, SelectArgs};
use super::error::CliError;
use super::outputs::can_be_written;
use super::{Outcome, run};
use crate::event::Event;
use crate::report::compare::{Comparison, compare as compare_reports};
use crate::report::json::Report;
use crate::report::{Reporter, compare_text, stored, write_to};
use crate::select::select;
use anyhow::anyhow;
use clap::Args as Group;
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub(super) const AFTER_HELP: &str = "\
Examples:
  kmodlab compare --base 6.1 --head 6.12 loop
  kmodlab compare before.json after.json --markdown changes.md

Told is what was observed, and verdicts. What was expected is not compared: that follows a kernel's era.

Exit codes:
  0    nothing changed
  1    something changed
  2    wrong use, found before anything is built or booted
  125  nothing changed, but something could not be compared";

/// `kmodlab compare`.
#[derive(Debug, Group)]
pub struct CompareArgs {
    /// Two JSON reports, the base first; with --base and --head: ids, catalogue ids or groups, as for `run`
    #[arg(value_name = "REPORT.json|ID")]
    pub words: Vec<String>,
    /// Run with this kernel first, and compare with it; anything that `run --kernel` takes
    #[arg(long, value_name = "KERNEL", requires = "head")]
    pub base: Option<String>,
    /// Run with this kernel too
    #[arg(long, value_name = "KERNEL", requires = "base")]
    pub head: Option<String>,
    /// Of these only what an expression lets through, as for `run`; repeatable
    #[arg(long, short = 'E', value_name = "EXPRESSION", requires = "base")]
    pub filter: Vec<String>,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Guests at a time [default: one for each core, if there is memory for them]
    #[arg(long, value_name = "N", requires = "base")]
    pub jobs: Option<usize>,
    /// Try a row again, up to so many times, that fails or cannot be judged
    #[arg(long, value_name = "N", requires = "base", value_parser = clap::value_parser!(u32).range(..=1000))]
    pub retries: Option<u32>,
    /// Wall-clock limit of one behaviour, in seconds [default: 120]
    #[arg(long, value_name = "SECONDS", requires = "base", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: Option<u64>,
    /// Tell a change of these ids, catalogue ids or groups, but do not count it; repeatable
    #[arg(long, value_name = "ID")]
    pub allow_change: Vec<String>,
    /// Write what changed as JSON here; `-` is standard output, which then gets nothing else
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write what changed as Markdown here, for a pull request; `-` is standard output, which then gets nothing else
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

pub(super) fn compare(common: &Common, args: &CompareArgs) -> Outcome {
    [&args.json, &args.markdown].into_iter().flatten().try_for_each(|path| can_be_written(path))?;
    let on_stdout = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
    if on_stdout(&args.json) && on_stdout(&args.markdown) {
        return Err(CliError::usage(anyhow!("standard output gets one of them: --json - or --markdown -, not both")));
    }
    let allowed: BTreeSet<String> = if args.allow_change.is_empty() {
        BTreeSet::new()
    } else {
        select(&args.allow_change).map_err(CliError::usage)?.iter().map(|behaviour| behaviour.id.to_owned()).collect()
    };
    let Some((base, head)) = reports(common, args)? else {
        return Ok(crate::verdict::exit::OK);
    };
    let comparison = compare_reports(&base, &head, &allowed);
    match write(args, &comparison, !on_stdout(&args.json) && !on_stdout(&args.markdown)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::inconclusive(error)),
        _ => Ok(comparison.exit_code),
    }
}

fn write(args: &CompareArgs, comparison: &Comparison, terminal: bool) -> io::Result<()> {
    if let Some(path) = &args.json {
        let mut text = serde_json::to_vec_pretty(comparison)?;
        text.push(b'\n');
        write_to(path, &text)?;
    }
    if let Some(path) = &args.markdown {
        write_to(path, compare_text::markdown(comparison).as_bytes())?;
    }
    if terminal {
        io::stdout().lock().write_all(compare_text::terminal(comparison).as_bytes())?;
    }
    Ok(())
}

/// Base and head: read, or run.
fn reports(common: &Common, args: &CompareArgs) -> Result<Option<(Report, Report)>, CliError> {
    let (Some(base), Some(head)) = (&args.base, &args.head) else {
        let [base, head] = &args.words[..] else {
            return Err(CliError::usage(anyhow!(
                "name two kernels with --base and --head, or two JSON reports, the base first"
            )));
        };
        let read = |path: &str| stored::read(Path::new(path)).map_err(CliError::usage);
        return Ok(Some((read(base)?, read(head)?)));
    };
    if args.guest.kernel != ["default"] {
        return Err(CliError::usage(anyhow!("the kernels are named with --base and --head, not with --kernel")));
    }
    let run_args = RunArgs {
        select: SelectArgs { ids: args.words.clone(), filter: args.filter.clone() },
        guest: GuestArgs { kernel: vec![base.clone(), head.clone()], ..args.guest.clone() },
        // Both kernels' rows belong together: what the environment says about shards is not for them.
        shard: "all".parse().ok(),
        retries: args.retries.unwrap_or(0),
        repeat: 1,
        jobs: args.jobs,
        timeout: args.timeout.unwrap_or(120),
        ..RunArgs::default()
    };
    let Some(show_progress) = run::carry_out(common, &run_args, || vec![Box::new(Progress)])? else {
        return Ok(None);
    };
    Ok(Some((of_kernel(&show_progress.report, 0), of_kernel(&show_progress.report, 1))))
}

/// The part of a run of two kernels that one of them has.
fn of_kernel(report: &Report, number: usize) -> Report {
    let mut part = Report::empty();
    for event in report.events() {
        if !matches!(&event, Event::Judged(row) if row.position.0 != number) {
            part.take(&event);
        }
    }
    // One that was left out has no rows, so that it is told for the side that misses them.
    if !part.results.is_empty() {
        part.skipped_kernels.clear();
    }
    part
}

/// What is being done, on standard error.
struct Progress;

impl Reporter for Progress {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let mut out = io::stderr().lock();
        match event {
            Event::Preparing(what) => writeln!(out, "   ..  {what}"),
            Event::Note(text) => writeln!(out, " note  {text}"),
            Event::KernelSkipped(kernel) => writeln!(out, " skip  kernel {}: {}", kernel.name, kernel.reason),
            Event::Judged(row) => {
                // A kernel that was given by its path is told by its release, as in the terminal report.
                let kernel = if row.kernel.name.contains('/') { &row.kernel.release } else { &row.kernel.name };
                writeln!(out, "{:>5}  {:<26} {kernel}", row.verdict.as_str(), row.id)
            }
            _ => Ok(()),
        }
    }
}
