//! `kmodlab run`.

use super::args::{BootFailure, Common, GuestArgs, SelectArgs, number_from, number_in};
use super::error::CliError;
use super::judging::JudgingArgs;
use super::outputs::OutputArgs;
use super::session::{Finished, Session};
use super::{Outcome, lookup, resolve};
use crate::catalogue::entry::Entry;
use crate::catalogue::probes::{ProbeOverride, ProbeOverrideError};
use crate::catalogue::select::select;
use crate::report::Reporter;
use crate::report::document::Report;
use crate::run::gate::Gate;
use crate::run::judge::Judging;
use crate::run::request::{Flow, GuestOptions, Request, Selection};
use crate::run::rows::rows;
use crate::run::shard::{Shard, ShardError, ShardOption};
use crate::run::verdict::exit;
use anyhow::{Context as _, anyhow};
use clap::Args as Group;
use std::path::PathBuf;
use vm_images::Catalogue;

/// The defaults of the options.
const FLOW: Flow = Flow::new(1);

/// `kmodlab run`.
#[derive(Debug, Group)]
pub struct RunArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Run only the K-th of N equal parts of the rows; `all` runs all rows even if the environment requests a shard
    /// (docs/reference/reports.md)
    #[arg(long, value_name = "K/N", visible_alias = "partition", value_parser = parse_shard)]
    pub shard: Option<ShardOption>,
    /// Retry a failed or inconclusive row up to N times; a row that then passes is reported as flaky
    #[arg(long, value_name = "N", default_value_t = FLOW.retries, value_parser = number_in(0..=1000_u32))]
    pub retries: u32,
    /// Run each row N times; it passes only if it passes each time
    #[arg(long, value_name = "N", default_value_t = FLOW.repeat, conflicts_with = "retries",
        value_parser = number_in(1..=100_000_u32))]
    pub repeat: u32,
    /// Start no further rows after one has failed or is inconclusive
    #[arg(long)]
    pub fail_fast: bool,
    /// Shuffle the order of the rows; the same seed gives the same order
    #[arg(long, value_name = "SEED", value_parser = number_from(0_u64))]
    pub seed: Option<u64>,
    /// Run N guests in parallel [default: one per core, or fewer if memory is short]
    #[arg(long, value_name = "N", value_parser = number_from(1_usize))]
    pub jobs: Option<usize>,
    /// Limit the wall-clock time of each row
    #[arg(long, value_name = "SECONDS", default_value_t = FLOW.limit.as_secs(), value_parser = number_in(1..=86400_u64))]
    pub timeout: u64,
    /// Boot a new guest for each row instead of cloning a booted one
    #[arg(long)]
    pub cold: bool,
    /// Select the verdict for a kernel that does not boot
    #[arg(long, value_enum, default_value_t, value_name = "VERDICT")]
    pub boot_failure: BootFailure,
    /// Save the console of each guest in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Ignore the console findings listed in this file with their reasons (docs/reference/reports.md); repeatable
    #[arg(long, value_name = "FILE")]
    pub allow_findings: Vec<PathBuf>,
    /// Set the value of a probe, which decides which form of a statement applies, e.g. cutoff=semaphore; repeatable
    /// (docs/reference/behaviours.md) [default: decided by the kernel image]
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_probe)]
    pub probe: Vec<ProbeOverride>,
    /// Exit with 125 if a behaviour with this id, catalogue id or group is skipped or its kernel is not available;
    /// repeatable
    #[arg(long, value_name = "ID")]
    pub require: Vec<String>,
    /// Exit with 125 if more than N rows are skipped
    #[arg(long, value_name = "N", value_parser = number_from(0_usize))]
    pub max_skips: Option<usize>,
    #[command(flatten)]
    pub judging: JudgingArgs,
    #[command(flatten)]
    pub outputs: OutputArgs,
}

pub(super) fn run(common: &Common, args: &RunArgs) -> Outcome {
    args.outputs.check()?;
    let catalogue = lookup::catalogue()?;
    let request = request(args, &catalogue)?;
    if let Some(keep) = &request.keep {
        std::fs::create_dir_all(keep)
            .with_context(|| format!("cannot create {}", keep.display()))
            .map_err(CliError::usage)?;
    }
    let print_command = args.guest.print_command;
    carry_out(common, &request, &catalogue, print_command, args.outputs.reporters(), |report| {
        args.judging.write(report)
    })
}

/// Resolves the arguments of `kmodlab run`.
pub(super) fn request(args: &RunArgs, catalogue: &Catalogue) -> Result<Request, CliError> {
    let behaviours = resolve::behaviours(&args.select)?;
    let shard = shard(args, &behaviours)?;
    let gate = gate(args, &behaviours)?;
    let mut request = resolve::request(&args.guest.kernel, &args.guest, catalogue)?;
    request.judging = Judging {
        allowed: resolve::allowed(request.judging.allowed, &args.allow_findings)?,
        boot_failure_fails: args.boot_failure == BootFailure::Fail,
        ..request.judging
    };
    args.judging.resolve(&mut request, catalogue)?;
    let RunArgs { retries, repeat, fail_fast, seed, cold, .. } = *args;
    Ok(Request {
        guest: GuestOptions { cold, probes: args.probe.clone(), ..request.guest },
        selection: Selection { behaviours, shard },
        flow: Flow { retries, repeat, fail_fast, seed, ..resolve::flow(args.jobs, args.timeout, cold, &args.guest)? },
        gate,
        keep: args.keep.clone(),
        ..request
    })
}

/// Resolves what the run must judge. A required behaviour that is not selected would never be judged.
fn gate(args: &RunArgs, behaviours: &[&'static Entry]) -> Result<Gate, CliError> {
    let required = if args.require.is_empty() { Vec::new() } else { select(&args.require).map_err(CliError::usage)? };
    let selected = |entry: &Entry| behaviours.iter().any(|behaviour| behaviour.id == entry.id);
    match required.iter().find(|entry| !selected(entry)) {
        Some(entry) => Err(CliError::usage(anyhow!("the required behaviour {} is not selected", entry.id))),
        None => Ok(Gate { required, max_skips: args.max_skips }),
    }
}

/// Returns the shard to run: from `--shard`, else from the environment.
fn shard(args: &RunArgs, behaviours: &[&'static Entry]) -> Result<Option<Shard>, CliError> {
    let shard = match &args.shard {
        Some(option) => option.0.clone(),
        None => Shard::from_environment(|name| std::env::var(name).ok()).map_err(CliError::usage)?,
    };
    if let Some(shard) = &shard {
        let count = rows(args.guest.kernel.len(), args.guest.subject.len(), behaviours, None).len();
        shard.check_not_empty(count).map_err(CliError::usage)?;
    }
    Ok(shard)
}

/// Runs the rows of a request and returns the exit code, or prints the commands of QEMU instead.
pub(super) fn carry_out(
    common: &Common,
    request: &Request,
    catalogue: &Catalogue,
    print_command: bool,
    reporters: Vec<Box<dyn Reporter + Send>>,
    at_the_end: impl FnOnce(&Report) -> Result<(), CliError>,
) -> Outcome {
    let session = Session::open(common, request, catalogue, reporters)?;
    if print_command {
        return super::print(&session.commands()?);
    }
    let Finished { outcome, report, failed } = session.run()?;
    let code = |error: CliError| if outcome.counts.fail > 0 { error.with_code(exit::FAILED) } else { error };
    at_the_end(&report).map_err(code)?;
    match failed {
        // A behaviour that failed wins over a report that could not be written.
        Some(error) => {
            let code = if outcome.counts.fail > 0 { exit::FAILED } else { exit::INCONCLUSIVE };
            Err(CliError::new(code, anyhow::Error::new(error).context("cannot write a report")))
        }
        None => Ok(outcome.exit_code),
    }
}

/// Parses a shard.
fn parse_shard(text: &str) -> Result<ShardOption, String> {
    text.parse().map_err(|error: ShardError| error.expectation())
}

/// Parses the value of a probe.
fn parse_probe(text: &str) -> Result<ProbeOverride, String> {
    text.parse().map_err(|error: ProbeOverrideError| error.to_string())
}
