//! `kmodlab run`.

use super::args::{BootFailure, Common, GuestArgs, SelectArgs, number_from, number_in};
use super::error::CliError;
use super::lookup::UnavailableKernel;
use super::outputs::OutputArgs;
use super::{Outcome, jobs, lookup, setup, signals};
use crate::catalogue::entry::Behaviour;
use crate::catalogue::probes::{ProbeOverride, ProbeOverrideError};
use crate::catalogue::select::select_filtered;
use crate::report::Reporter;
use crate::report::json::Report;
use crate::run::allowed_findings::AllowedFindings;
use crate::run::engine::{self, RunPolicy, RunSpec};
use crate::run::event::Event;
use crate::run::judge::Judging;
use crate::run::pair::{Host, PreparedKernel};
use crate::run::qemu::QemuMachines;
use crate::run::rows::rows;
use crate::run::shard::{Shard, ShardError, ShardOption};
use crate::run::verdict::exit;
use anyhow::Context as _;
use clap::Args as Group;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// `kmodlab run`.
#[derive(Debug, Default, Group)]
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
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = number_in(0..=1000_u32))]
    pub retries: u32,
    /// Run each row N times; it passes only if it passes each time
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "retries",
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
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = number_in(1..=86400_u64))]
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
    #[command(flatten)]
    pub outputs: OutputArgs,
}

pub(super) fn run(common: &Common, args: &RunArgs) -> Outcome {
    args.outputs.check()?;
    let Some(reporters) = carry_out(common, args, || args.outputs.reporters())? else {
        return Ok(exit::OK);
    };
    match reporters.failed {
        // A behaviour that failed wins over a report that could not be written.
        Some(error) => {
            let code = if reporters.report.counts.fail > 0 { exit::FAILED } else { exit::INCONCLUSIVE };
            Err(CliError::new(code, anyhow::Error::new(error).context("cannot write a report")))
        }
        None => Ok(reporters.report.exit_code),
    }
}

/// Runs the selected behaviours and sends the events to reporters. `None`: the commands of QEMU were printed instead.
pub(super) fn carry_out(
    common: &Common,
    args: &RunArgs,
    all: impl FnOnce() -> Vec<Box<dyn Reporter + Send>>,
) -> Result<Option<Reporters>, CliError> {
    // Invalid arguments are found before anything is fetched or booted.
    let behaviours = select_filtered(&args.select.ids, &args.select.filter).map_err(CliError::usage)?;
    let shard = shard(args, &behaviours)?;
    let catalogue = lookup::catalogue()?;
    let kernels = lookup::kernel_args(&args.guest, &catalogue)?;
    let allowed = allowed(args)?;
    let judging = Judging::builtin(&catalogue).map_err(CliError::inconclusive)?;
    if let Some(keep) = &args.keep {
        std::fs::create_dir_all(keep)
            .with_context(|| format!("cannot create {}", keep.display()))
            .map_err(CliError::usage)?;
    }
    let mut host = setup::host(common, &args.guest, args.cold, args.probe.clone())?;
    host.boot.allowed = allowed;

    let spawner = host.spawner.clone();
    let stop = signals::watch(move || spawner.kill_all())?;
    let reporters = Mutex::new(Reporters { all: all(), report: Report::empty(), failed: None });
    let tell = |event: Event| reporters.lock().unwrap_or_else(PoisonError::into_inner).tell(&event);

    let progress = |progress: vm_images::Progress| {
        tell(match progress {
            vm_images::Progress::Note(text) => Event::Note(text),
            other => Event::Preparing(other.to_string()),
        });
    };
    let options = lookup::options(common, &host.cache, &progress, &stop);
    let obtain = || {
        let subjects = lookup::subjects(common, &args.guest, &options)?;
        let kernels = lookup::kernels(kernels, &catalogue, &options)?;
        let first = kernels.iter().find_map(|kernel| kernel.as_ref().ok());
        setup::decide_accel(args.guest.accel, &mut host, first, subjects.first())?;
        Ok((subjects, kernels))
    };
    let (subjects, kernels) = signals::or_interrupted(&stop, obtain())?;
    if args.guest.print_command {
        print_commands(kernels, &subjects, &host)?;
        return Ok(None);
    }
    let spec = RunSpec {
        behaviours,
        shard,
        judging,
        policy: RunPolicy { retries: args.retries, repeat: args.repeat, fail_fast: args.fail_fast, seed: args.seed },
        jobs: args.jobs.unwrap_or_else(|| jobs::default(args.cold)),
        limit: Duration::from_secs(args.timeout).mul_f64(setup::timeout_factor(&args.guest)?),
        boot_failure_fails: args.boot_failure == BootFailure::Fail,
        keep: args.keep.clone(),
        allowed: host.boot.allowed.clone(),
    };
    let kernels = kernels.into_iter().map(|kernel| kernel.map_err(|kernel| kernel.skipped)).collect();
    engine::run(&spec, &QemuMachines::new(host, kernels, subjects), &stop, &tell);

    Ok(Some(reporters.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// Returns the findings to ignore: the built-in list and the files of the user.
fn allowed(args: &RunArgs) -> Result<AllowedFindings, CliError> {
    let mut allowed = AllowedFindings::builtin().map_err(CliError::inconclusive)?;
    for file in &args.allow_findings {
        let name = file.display().to_string();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {name}")).map_err(CliError::usage)?;
        allowed = allowed.and(AllowedFindings::parse(&name, &text).map_err(CliError::usage)?);
    }
    Ok(allowed)
}

/// Returns the shard to run: from `--shard`, else from the environment.
fn shard(args: &RunArgs, behaviours: &[&'static Behaviour]) -> Result<Option<Shard>, CliError> {
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

/// Parses a shard.
fn parse_shard(text: &str) -> Result<ShardOption, String> {
    text.parse().map_err(|error: ShardError| error.expectation())
}

/// Parses the value of a probe.
fn parse_probe(text: &str) -> Result<ProbeOverride, String> {
    text.parse().map_err(|error: ProbeOverrideError| error.to_string())
}

/// The consumers of events.
pub(super) struct Reporters {
    all: Vec<Box<dyn Reporter + Send>>,
    /// The complete report of the run.
    pub report: Report,
    failed: Option<io::Error>,
}

impl Reporters {
    fn tell(&mut self, event: &Event) {
        self.report.record(event);
        for reporter in &mut self.all {
            match reporter.event(event) {
                // A reader such as `head` may close the pipe early; the run continues.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => self.failed = Some(error),
                _ => {}
            }
        }
    }
}

/// Prints one line per guest: the command that boots it with its console on the terminal.
fn print_commands(
    kernels: Vec<Result<vm_images::Kernel, UnavailableKernel>>,
    subjects: &[vm_images::Subject],
    host: &Host,
) -> Outcome {
    let mut text = String::new();
    for kernel in kernels {
        let kernel = kernel.map_err(|kernel| kernel.error)?;
        let side = PreparedKernel::new(kernel, host).map_err(CliError::inconclusive)?;
        for subject in subjects {
            let spec = side.spec(subject, &[], host).map_err(CliError::inconclusive)?.0;
            text.push_str(&host.qemu.command_line(&spec));
            text.push('\n');
        }
    }
    super::print(&text).map(|_| exit::OK)
}
