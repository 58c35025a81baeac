//! Resolves arguments into a [`Request`]: applies defaults and the environment, and rejects what is invalid, before
//! anything is fetched, built or booted.

use super::args::{AccelArg, BootFailure, GuestArgs, ProfileArg, SelectArgs};
use super::error::CliError;
use super::run::RunArgs;
use super::{jobs, lookup};
use crate::catalogue::entry::Behaviour;
use crate::catalogue::select::{select, select_filtered};
use crate::run::allowed_findings::AllowedFindings;
use crate::run::gate::Gate;
use crate::run::judge::Judging;
use crate::run::request::{AcceleratorChoice, Flow, GuestOptions, Request, Selection};
use crate::run::rows::rows;
use crate::run::shard::Shard;
use anyhow::{Context as _, anyhow};
use harness::{Profile, WallLimits};
use std::path::PathBuf;
use std::time::Duration;
use vm_images::Catalogue;

/// The variable that replaces `--timeout-factor`.
const TIMEOUT_FACTOR: &str = "KMODLAB_TIMEOUT_FACTOR";

/// Resolves the arguments of `kmodlab run`.
pub(super) fn run(args: &RunArgs, catalogue: &Catalogue) -> Result<Request, CliError> {
    let behaviours = behaviours(&args.select)?;
    let shard = shard(args, &behaviours)?;
    let gate = gate(args, &behaviours)?;
    let mut request = request(&args.guest.kernel, &args.guest, catalogue)?;
    request.judging = Judging {
        allowed: allowed(request.judging.allowed, &args.allow_findings)?,
        boot_failure_fails: args.boot_failure == BootFailure::Fail,
        ..request.judging
    };
    args.judging.resolve(&mut request, catalogue)?;
    let RunArgs { retries, repeat, fail_fast, seed, cold, .. } = *args;
    Ok(Request {
        guest: GuestOptions { cold, probes: args.probe.clone(), ..request.guest },
        selection: Selection { behaviours, shard },
        flow: Flow { retries, repeat, fail_fast, seed, ..flow(args.jobs, args.timeout, cold, &args.guest)? },
        gate,
        keep: args.keep.clone(),
        ..request
    })
}

/// Resolves the options of a guest for these kernels. Everything else has its default.
pub(super) fn request(kernels: &[String], args: &GuestArgs, catalogue: &Catalogue) -> Result<Request, CliError> {
    let kernels = lookup::kernel_sources(kernels, args.modules.as_deref(), catalogue)?;
    let subjects = lookup::subject_sources(&args.subject, &args.subject_lib);
    let judging = Judging::builtin(catalogue).map_err(CliError::inconclusive)?;
    Ok(Request { guest: guest(args)?, ..Request::new(kernels, subjects, judging, jobs::default(false)) })
}

/// Resolves how guests are booted.
fn guest(args: &GuestArgs) -> Result<GuestOptions, CliError> {
    let factor = timeout_factor(args)?;
    let WallLimits { boot, restore, shutdown } = WallLimits::default();
    let limits =
        WallLimits { boot: boot.mul_f64(factor), restore: restore.mul_f64(factor), shutdown: shutdown.mul_f64(factor) };
    Ok(GuestOptions {
        profile: match args.profile {
            ProfileArg::Faithful => Profile::Faithful,
            ProfileArg::Fast => Profile::Fast,
        },
        accelerator: match args.accel {
            AccelArg::Tcg => AcceleratorChoice::Tcg,
            AccelArg::Kvm => AcceleratorChoice::Kvm,
            AccelArg::Auto => AcceleratorChoice::Auto,
        },
        virtual_time: !args.real_time,
        append: args.append.clone(),
        limits,
        ..GuestOptions::default()
    })
}

/// Resolves the selected behaviours.
pub(super) fn behaviours(args: &SelectArgs) -> Result<Vec<&'static Behaviour>, CliError> {
    select_filtered(&args.ids, &args.filter).map_err(CliError::usage)
}

/// Resolves the number of parallel guests and the limit of a row in seconds.
pub(super) fn flow(jobs: Option<usize>, timeout: u64, cold: bool, args: &GuestArgs) -> Result<Flow, CliError> {
    let limit = Duration::from_secs(timeout).mul_f64(timeout_factor(args)?);
    Ok(Flow { limit, ..Flow::new(jobs.unwrap_or_else(|| jobs::default(cold))) })
}

/// Returns the factor for wall-clock limits: `--timeout-factor`, else the environment.
pub(super) fn timeout_factor(args: &GuestArgs) -> Result<f64, CliError> {
    match (args.timeout_factor, std::env::var(TIMEOUT_FACTOR)) {
        (Some(factor), _) => Ok(factor),
        (None, Ok(text)) if !text.is_empty() => super::args::parse_factor(&text).map_err(|expected| {
            let error = anyhow!("invalid value '{text}' for the environment variable {TIMEOUT_FACTOR} ({expected})");
            CliError::usage(error)
        }),
        (None, _) => Ok(1.0),
    }
}

/// Adds the lists in these files to the findings that do not count.
fn allowed(builtin: AllowedFindings, files: &[PathBuf]) -> Result<AllowedFindings, CliError> {
    files.iter().try_fold(builtin, |allowed, file| {
        let name = file.display().to_string();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {name}")).map_err(CliError::usage)?;
        Ok(allowed.and(AllowedFindings::parse(&name, &text).map_err(CliError::usage)?))
    })
}

/// Resolves what the run must judge. A required behaviour that is not selected would never be judged.
fn gate(args: &RunArgs, behaviours: &[&'static Behaviour]) -> Result<Gate, CliError> {
    let required = if args.require.is_empty() { Vec::new() } else { select(&args.require).map_err(CliError::usage)? };
    let selected = |entry: &Behaviour| behaviours.iter().any(|behaviour| behaviour.id == entry.id);
    match required.iter().find(|entry| !selected(entry)) {
        Some(entry) => Err(CliError::usage(anyhow!("the required behaviour {} is not selected", entry.id))),
        None => Ok(Gate { required, max_skips: args.max_skips }),
    }
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

#[cfg(test)]
mod tests {
    use super::super::{bisect::BisectArgs, compare::CompareArgs};
    use super::*;
    use crate::run::request::{KernelSource, SubjectSource};
    use clap::{Args as Group, Parser};

    /// Parses the arguments of a command.
    fn parsed<T: Group>(words: &[&str]) -> T {
        #[derive(Parser)]
        struct Line<T: Group> {
            #[command(flatten)]
            args: T,
        }
        Line::<T>::try_parse_from([&["command"], words].concat()).unwrap_or_else(|error| panic!("{error}")).args
    }

    fn resolved(words: &[&str]) -> Request {
        let words = [&["--shard", "all", "--timeout-factor", "1"], words].concat();
        run(&parsed(&words), &Catalogue::builtin().unwrap()).unwrap_or_else(|error| panic!("{}", error.message()))
    }

    #[test]
    fn a_run_without_options_has_the_defaults_of_a_request() {
        let request = resolved(&[]);
        assert_eq!(request.flow, Flow::new(jobs::default(false)));
        assert_eq!(request.flow.limit, Duration::from_secs(120));
        assert_eq!(format!("{:?}", request.guest), format!("{:?}", GuestOptions::default()));
        assert_eq!(request.selection.behaviours.len(), Selection::default().behaviours.len());
        assert!(request.selection.shard.is_none() && request.keep.is_none() && !request.judging.boot_failure_fails);
        assert!(matches!(&request.kernels[..], [KernelSource::Named(name)] if name == "default"));
        assert_eq!(request.subjects, [SubjectSource::Ours]);
    }

    #[test]
    fn every_command_that_runs_rows_has_the_same_defaults() {
        let Flow { retries, limit, .. } = Flow::new(1);
        let bisect: BisectArgs = parsed(&[]);
        assert_eq!((bisect.retries, Duration::from_secs(bisect.timeout)), (retries, limit));
        let compare: CompareArgs = parsed(&["--base", "6.1", "--head", "6.1", "--timeout-factor", "1"]);
        let request = super::super::compare::request(&compare, ["6.1", "6.1"], &Catalogue::builtin().unwrap()).unwrap();
        assert_eq!(request.flow, Flow::new(jobs::default(false)));
    }

    #[test]
    fn options_reach_the_request() {
        let request = resolved(&["path", "--cold", "--retries", "2", "--seed", "7", "--jobs", "3", "--timeout", "9"]);
        let limit = Duration::from_secs(9);
        assert_eq!(request.flow, Flow { retries: 2, seed: Some(7), limit, ..Flow::new(3) });
        assert!(request.guest.cold);
        assert!(request.selection.behaviours.iter().all(|behaviour| behaviour.id.starts_with("path.")));
        let request =
            resolved(&["--boot-failure", "fail", "--repeat", "4", "--fail-fast", "--real-time", "--append", "x"]);
        assert!(request.judging.boot_failure_fails && request.flow.fail_fast && !request.guest.virtual_time);
        assert_eq!((request.flow.repeat, request.guest.append), (4, vec!["x".to_owned()]));
    }

    #[test]
    fn the_timeout_factor_multiplies_every_wall_clock_limit() {
        let args: RunArgs = parsed(&["--shard", "all", "--timeout-factor", "2"]);
        let request = run(&args, &Catalogue::builtin().unwrap()).unwrap();
        let WallLimits { boot, restore, shutdown } = WallLimits::default();
        assert_eq!(request.guest.limits, WallLimits { boot: boot * 2, restore: restore * 2, shutdown: shutdown * 2 });
        assert_eq!(request.flow.limit, Flow::new(1).limit * 2);
    }
}
