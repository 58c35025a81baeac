//! `kmodlab compare`: shows what changed between two kernels or two stored reports.

use super::args::{Common, GuestArgs, number_from, number_in};
use super::error::CliError;
use super::kernel::TreeArgs;
use super::outputs::can_be_written;
use super::session::{Finished, Session};
use super::{Outcome, lookup, resolve};
use crate::catalogue::select::{select, select_filtered};
use crate::report::compare::{Comparison, compare as compare_reports};
use crate::report::document::Report;
use crate::report::terminal::progress_bar;
use crate::report::{Reporter, compare_text, stored, write_to};
use crate::run::event::Event;
use crate::run::request::{Flow, KernelSource, Request, RevisionSource, Selection};
use crate::run::verdict::Verdict;
use anyhow::anyhow;
use clap::Args as Group;
use indicatif::ProgressBar;
use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use vm_images::{Catalogue, Repository};

pub(super) const AFTER_HELP: &str = "\
Examples:
  kmodlab compare --base 6.1 --head 6.12 loop
  kmodlab compare --tree ~/linux --base v6.12 --head topic
  kmodlab compare before.json after.json --markdown changes.md

The verdicts and the observed facts are compared. What was expected is not compared, because it
depends on the probes of the kernel.

Exit codes:
  0    nothing changed
  1    something changed
  2    invalid arguments or no behaviour selected; nothing was built or booted
  125  nothing changed, but something could not be compared";

/// `kmodlab compare`.
#[derive(Debug, Group)]
pub struct CompareArgs {
    /// Compare two JSON reports, the base first; with --base and --head, select behaviours by id, catalogue id or group
    #[arg(value_name = "REPORT.json|ID")]
    pub words: Vec<String>,
    /// Compare with this kernel, specified as for `run --kernel`; with --tree, with this revision
    #[arg(long, value_name = "KERNEL", requires = "head")]
    pub base: Option<String>,
    /// Compare this kernel, specified as for `run --kernel`; with --tree, this revision
    #[arg(long, value_name = "KERNEL", requires = "base")]
    pub head: Option<String>,
    /// Build --base and --head, which are revisions of this git repository, without writing to it; a revision with the same
    /// contents is not built again
    #[arg(long, value_name = "DIR", requires = "base")]
    pub tree: Option<PathBuf>,
    #[command(flatten)]
    pub tree_args: TreeArgs,
    /// Select only behaviours that match a filter expression (see `kmodlab run --help`); repeatable
    #[arg(long, short = 'E', value_name = "EXPRESSION")]
    pub filter: Vec<String>,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Run N guests in parallel [default: one per core, or fewer if memory is short]
    #[arg(long, value_name = "N", value_parser = number_from(1_usize))]
    pub jobs: Option<usize>,
    /// Retry a failed or inconclusive row up to N times
    #[arg(long, value_name = "N", value_parser = number_in(0..=1000_u32))]
    pub retries: Option<u32>,
    /// Limit the wall-clock time of each row
    #[arg(long, value_name = "SECONDS", help = timeout_help(), value_parser = number_in(1..=86400_u64))]
    pub timeout: Option<u64>,
    /// Report changes in behaviours with this id, catalogue id or group without counting them; repeatable
    #[arg(long, value_name = "ID")]
    pub allow_change: Vec<String>,
    /// Write the changes as JSON; `-` writes them to standard output instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the changes as Markdown, e.g. for a pull request; `-` writes them to standard output instead of the text
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// The defaults of the options.
const FLOW: Flow = Flow::new(1);

/// The help of `--timeout`. clap would not print its default, because two stored reports are compared without one.
fn timeout_help() -> String {
    format!("Limit the wall-clock time of each row [default: {}]", FLOW.limit.as_secs())
}

pub(super) fn compare(common: &Common, args: &CompareArgs) -> Outcome {
    [&args.json, &args.markdown].into_iter().flatten().try_for_each(|path| can_be_written(path))?;
    let on_stdout = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
    if on_stdout(&args.json) && on_stdout(&args.markdown) {
        return Err(CliError::usage(anyhow!("--json - and --markdown - both write to standard output"))
            .hint("write one of them to a file"));
    }
    let allowed: BTreeSet<String> = if args.allow_change.is_empty() {
        BTreeSet::new()
    } else {
        select(&args.allow_change).map_err(CliError::usage)?.iter().map(|behaviour| behaviour.id.to_owned()).collect()
    };
    let Some((base, head)) = reports(common, args)? else {
        return Ok(crate::run::verdict::exit::OK);
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

/// Returns the reports of base and head: stored ones, or those of two runs.
fn reports(common: &Common, args: &CompareArgs) -> Result<Option<(Report, Report)>, CliError> {
    let (Some(base), Some(head)) = (&args.base, &args.head) else {
        let of_a_run = [
            ("--filter", !args.filter.is_empty()),
            ("--jobs", args.jobs.is_some()),
            ("--retries", args.retries.is_some()),
            ("--timeout", args.timeout.is_some()),
        ];
        if let Some((option, _)) = of_a_run.iter().find(|(_, given)| *given) {
            return Err(CliError::usage(anyhow!("{option} applies only when two kernels are compared"))
                .hint("--base KERNEL and --head KERNEL compare two kernels"));
        }
        let [base, head] = &args.words[..] else {
            let error = anyhow!("expected two JSON reports, got {}", args.words.len());
            return Err(CliError::usage(error).hint("--base KERNEL and --head KERNEL compare two kernels"));
        };
        let read = |path: &str| stored::read(Path::new(path)).map_err(CliError::usage);
        return Ok(Some((read(base)?, read(head)?)));
    };
    if args.guest.kernel != ["default"] {
        return Err(CliError::usage(anyhow!("compare does not accept --kernel"))
            .hint("give the kernels with --base and --head"));
    }
    let catalogue = lookup::catalogue()?;
    let request = request(args, [base, head], &catalogue)?;
    let progress = Progress { err: io::stderr(), bar: io::stderr().is_terminal().then(progress_bar) };
    let session = Session::open(common, &request, &catalogue, vec![Box::new(progress)])?;
    if args.guest.print_command {
        super::print(&session.commands()?)?;
        return Ok(None);
    }
    let Finished { report, .. } = session.run()?;
    Ok(Some((of_kernel(&report, 0), of_kernel(&report, 1))))
}

/// Resolves the arguments for two kernels.
pub(super) fn request(args: &CompareArgs, kernels: [&str; 2], catalogue: &Catalogue) -> Result<Request, CliError> {
    let behaviours = select_filtered(&args.words, &args.filter).map_err(CliError::usage)?;
    let flow = resolve::flow(args.jobs, args.timeout.unwrap_or(FLOW.limit.as_secs()), false, &args.guest)?;
    let resolved = match &args.tree {
        Some(tree) => {
            let kernels = revisions(tree, kernels, &args.tree_args)?;
            Request { kernels, ..resolve::request(&[], &args.guest, catalogue)? }
        }
        None => resolve::request(&kernels.map(str::to_owned), &args.guest, catalogue)?,
    };
    Ok(Request {
        // The rows of both kernels belong together, so a shard in the environment does not apply.
        selection: Selection { behaviours, shard: None },
        flow: Flow { retries: args.retries.unwrap_or(FLOW.retries), ..flow },
        ..resolved
    })
}

/// Looks up revisions of a git repository. Nothing is built.
fn revisions(tree: &Path, names: [&str; 2], args: &TreeArgs) -> Result<Vec<KernelSource>, CliError> {
    // No signal is handled yet: the first one ends the program.
    let stop = AtomicBool::new(false);
    let repository = Repository::open(tree, &stop).map_err(CliError::usage)?;
    let source = |name| {
        let revision = repository.resolve(name, &stop).map_err(CliError::usage)?;
        let (repository, fragments, make_args) = (repository.clone(), args.fragments(), args.make_arg.clone());
        Ok(KernelSource::Revision(Box::new(RevisionSource { repository, revision, fragments, make_args })))
    };
    names.into_iter().map(source).collect()
}

/// Returns the part of a report of two kernels that belongs to one of them.
fn of_kernel(report: &Report, number: usize) -> Report {
    let mut part = Report::empty();
    for event in report.events() {
        if !matches!(&event, Event::Judged(row) if row.position.0 != number) {
            part.record(&event);
        }
    }
    // A skipped kernel has no rows. It is reported only for the side without rows.
    if !part.results.is_empty() {
        part.skipped_kernels.clear();
    }
    part
}

/// Prints the progress of the run on standard error. A row that failed or is inconclusive on one side is named at once; what
/// changed follows on standard output.
struct Progress<W> {
    err: W,
    bar: Option<ProgressBar>,
}

impl<W: io::Write> Progress<W> {
    fn line(&mut self, text: &str) -> io::Result<()> {
        let err = &mut self.err;
        match &self.bar {
            Some(bar) => bar.suspend(|| writeln!(err, "{text}")),
            None => writeln!(err, "{text}"),
        }
    }
}

impl<W: io::Write> Reporter for Progress<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Preparing(what) => self.line(&format!("   ..  {what}")),
            Event::Note(text) => self.line(&format!(" note  {text}")),
            Event::KernelSkipped(kernel) => self.line(&format!(" skip  kernel {}: {}", kernel.name, kernel.reason)),
            Event::PairReady { kernel, rows, .. } => {
                if let Some(bar) = &self.bar {
                    bar.inc_length(*rows as u64);
                }
                let rows = if *rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
                self.line(&format!("   ..  {rows} on {}", kernel.name))
            }
            Event::Judged(row) => {
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
                if !matches!(row.verdict, Verdict::Fail | Verdict::Error) {
                    return Ok(());
                }
                // A kernel given by its path is shown by its release, as in the terminal report.
                let kernel = if row.kernel.name.contains('/') { &row.kernel.release } else { &row.kernel.name };
                self.line(&format!("{:>5}  {:<26} {kernel}", row.verdict.as_str(), row.id))
            }
            Event::Ended(_) => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                Ok(())
            }
            Event::Started(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn only_failed_and_inconclusive_rows_are_printed_during_a_comparison() {
        let mut progress = Progress { err: Vec::new(), bar: None };
        sample::events().iter().for_each(|event| progress.event(event).unwrap());
        insta::assert_snapshot!(String::from_utf8(progress.err).unwrap());
    }
}
