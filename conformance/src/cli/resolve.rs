//! Resolves arguments into a [`Request`]: applies defaults and the environment, and rejects what is invalid, before
//! anything is fetched, built or booted.

use super::args::{AccelArg, GuestArgs, ProfileArg, SelectArgs};
use super::error::CliError;
use super::{jobs, lookup};
use crate::catalogue::entry::Entry;
use crate::catalogue::select::select_filtered;
use crate::run::allowed_findings::AllowedFindings;
use crate::run::judge::Judging;
use crate::run::request::{AcceleratorChoice, Flow, GuestOptions, Request};
use anyhow::{Context as _, anyhow};
use harness::{Profile, WallLimits};
use std::path::PathBuf;
use std::time::Duration;
use vm_images::Catalogue;

/// The variable that replaces `--timeout-factor`.
const TIMEOUT_FACTOR: &str = "KMODLAB_TIMEOUT_FACTOR";

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
pub(super) fn behaviours(args: &SelectArgs) -> Result<Vec<&'static Entry>, CliError> {
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
pub(super) fn allowed(builtin: AllowedFindings, files: &[PathBuf]) -> Result<AllowedFindings, CliError> {
    files.iter().try_fold(builtin, |allowed, file| {
        let name = file.display().to_string();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {name}")).map_err(CliError::usage)?;
        Ok(allowed.and(AllowedFindings::parse(&name, &text).map_err(CliError::usage)?))
    })
}
