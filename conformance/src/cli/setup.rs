//! From arguments to a lab: cache, guest programs, QEMU. Everything here is wrong use if it fails, and is found
//! before anything is built or booted.

use super::args::{AccelArg, Common, GuestArgs, ProfileArg};
use super::error::CliError;
use crate::era;
use crate::pair::{Boot, Host, PreparedKernel};
use anyhow::{Context, anyhow};
use harness::accel::Kvm;
use harness::{Accel, Profile, Qemu, Spawner, Templates, WallLimits};
use std::path::{Path, PathBuf};
use vm_images::{Cache, Kernel, Subject};

/// The program that says what is missing.
const SETUP: &str = "ci/setup";

/// The cache, held until the program ends, so that `kmodlab cache prune` leaves alone what is in use.
pub(super) fn cache(common: &Common) -> Result<Cache, CliError> {
    let cache = open_cache(common)?;
    // Not given back before the end: the system does that, however the end comes.
    std::mem::forget(cache.hold().map_err(CliError::inconclusive)?);
    Ok(cache)
}

pub(super) fn open_cache(common: &Common) -> Result<Cache, CliError> {
    let dir = match &common.cache {
        Some(dir) => dir.clone(),
        None => Cache::default_dir(|name| std::env::var_os(name))
            .ok_or_else(|| CliError::usage(anyhow!("no cache directory: set HOME, or name one with --cache")))?,
    };
    Cache::open(dir).map_err(CliError::usage)
}

/// The directory with the guest's programs.
pub(super) fn guest_dir(common: &Common) -> Result<PathBuf, CliError> {
    let candidates = match &common.guest_dir {
        Some(dir) => vec![dir.clone()],
        None => beside_this_program(),
    };
    let complete = |dir: &&PathBuf| ["agent", "kmod"].iter().all(|program| dir.join(program).is_file());
    candidates.iter().find(complete).cloned().ok_or_else(|| {
        let places: Vec<String> = candidates.iter().map(|dir| dir.display().to_string()).collect();
        CliError::usage(anyhow!(
            "the guest's programs (agent, kmod) are not in {}: build them with {SETUP}, or name their directory with --guest-dir",
            places.join(" or ")
        ))
    })
}

fn beside_this_program() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let directory = program.parent().unwrap_or(Path::new("."));
    // Beside the program, beside cargo's profile directory, and where ci/install puts them.
    ["guest", "../guest", "../lib/kmodlab/guest"].iter().map(|place| directory.join(place)).collect()
}

pub(super) fn qemu(common: &Common) -> Result<Qemu, CliError> {
    Qemu::find(common.qemu.as_deref()).map_err(CliError::usage)
}

/// How the guests of `args` are booted; the accelerator is TCG until [`decide_accel`].
fn boot(args: &GuestArgs, cold: bool, era: Option<era::EraOverride>) -> Result<Boot, CliError> {
    let factor = timeout_factor(args)?;
    let WallLimits { boot, restore, shutdown } = WallLimits::default();
    let limits =
        WallLimits { boot: boot.mul_f64(factor), restore: restore.mul_f64(factor), shutdown: shutdown.mul_f64(factor) };
    Ok(Boot {
        profile: match args.profile {
            ProfileArg::Faithful => Profile::Faithful,
            ProfileArg::Fast => Profile::Fast,
        },
        accel: Accel::Tcg,
        virtual_time: !args.real_time,
        append: args.append.clone(),
        cold,
        limits,
        era,
    })
}

/// What wall-clock limits are multiplied by: `--timeout-factor`, else the environment.
pub(super) fn timeout_factor(args: &GuestArgs) -> Result<f64, CliError> {
    const VARIABLE: &str = "KMODLAB_TIMEOUT_FACTOR";
    match (args.timeout_factor, std::env::var(VARIABLE)) {
        (Some(factor), _) => Ok(factor),
        (None, Ok(text)) if !text.is_empty() => {
            super::args::factor(&text).map_err(|error| CliError::usage(anyhow!("{VARIABLE}={text}: {error}")))
        }
        (None, _) => Ok(1.0),
    }
}

/// Settles `--accel`: KVM is believed only when it has booted the very guest that is wanted.
pub(super) fn decide_accel(
    wanted: AccelArg,
    host: &mut Host,
    kernel: Option<&Kernel>,
    subject: Option<&Subject>,
) -> Result<(), CliError> {
    if matches!(wanted, AccelArg::Tcg) {
        return Ok(());
    }
    let (Some(kernel), Some(subject)) = (kernel, subject) else {
        return Ok(());
    };
    match probe_kvm(host, kernel, subject)? {
        Kvm::Works => host.boot.accel = Accel::Kvm,
        Kvm::Broken(_) if matches!(wanted, AccelArg::Auto) => {}
        Kvm::Broken(reason) => return Err(CliError::usage(anyhow!("KVM cannot be used here: {reason}"))),
    }
    Ok(())
}

/// Whether KVM boots this pair.
pub(super) fn probe_kvm(host: &Host, kernel: &Kernel, subject: &Subject) -> Result<Kvm, CliError> {
    let side = PreparedKernel::new(kernel.clone(), host).map_err(CliError::inconclusive)?;
    let (spec, _) = side.spec(subject, &[], host).map_err(CliError::inconclusive)?;
    let area = host.cache.area("accel").map_err(CliError::inconclusive)?;
    harness::accel::probe(&host.qemu, &spec, &host.spawner, &area).map_err(CliError::inconclusive)
}

/// The lab itself.
pub(super) fn host(
    common: &Common,
    args: &GuestArgs,
    cold: bool,
    era: Option<era::EraOverride>,
) -> Result<Host, CliError> {
    let cache = cache(common)?;
    let agent = guest_dir(common)?.join("agent");
    let qemu = qemu(common)?;
    let spawner = Spawner::start().map_err(CliError::inconclusive)?;
    let boot = boot(args, cold, era)?;
    let area = cache.area("templates").context("opening the cache").map_err(CliError::inconclusive)?;
    let templates = Templates::open(area).map_err(CliError::inconclusive)?;
    Ok(Host { qemu, spawner, templates, cache, agent, boot })
}
