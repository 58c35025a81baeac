//! Sets up the cache, the guest programs and QEMU from the arguments. Errors are found before anything is built or
//! booted.

use super::args::{AccelArg, Common, GuestArgs, ProfileArg};
use super::error::CliError;
use super::hint;
use crate::catalogue::probes::ProbeOverride;
use crate::run::allowed_findings::AllowedFindings;
use crate::run::pair::{Boot, Host, PreparedKernel};
use anyhow::anyhow;
use harness::accel::Kvm;
use harness::{Accel, Profile, Qemu, Spawner, Templates, WallLimits};
use std::path::{Path, PathBuf};
use vm_images::{Cache, Kernel, Subject};

/// Opens the cache and locks it until the program ends, so that `kmodlab cache prune` does not remove what is in use.
pub(super) fn cache(common: &Common) -> Result<Cache, CliError> {
    let cache = open_cache(common)?;
    // The system releases the lock when the program ends, for whatever reason.
    std::mem::forget(cache.hold().map_err(CliError::inconclusive)?);
    Ok(cache)
}

pub(super) fn open_cache(common: &Common) -> Result<Cache, CliError> {
    let dir = match &common.cache {
        Some(dir) => dir.clone(),
        None => Cache::default_dir(|name| std::env::var_os(name)).ok_or_else(|| {
            CliError::usage(anyhow!("cannot determine the cache directory: neither KMODLAB_CACHE nor HOME is set"))
                .hint("set HOME, or give --cache DIR")
        })?,
    };
    Cache::open(dir).map_err(CliError::usage)
}

/// Finds the directory with the guest programs.
pub(super) fn guest_dir(common: &Common) -> Result<PathBuf, CliError> {
    let candidates = match &common.guest_dir {
        Some(dir) => vec![dir.clone()],
        None => next_to_this_program(),
    };
    let complete = |dir: &&PathBuf| ["agent", "kmod"].iter().all(|program| dir.join(program).is_file());
    candidates.iter().find(complete).cloned().ok_or_else(|| {
        let dirs: Vec<String> = candidates.iter().map(|dir| dir.display().to_string()).collect();
        let error = anyhow!("cannot find the guest programs agent and kmod in {}", dirs.join(" or "));
        CliError::usage(error).hint(hint::build_guest_programs())
    })
}

fn next_to_this_program() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let directory = program.parent().unwrap_or(Path::new("."));
    // Next to the program, next to cargo's profile directory, and where ci/install puts them.
    ["guest", "../guest", "../lib/kmodlab/guest"].iter().map(|dir| directory.join(dir)).collect()
}

pub(super) fn qemu(common: &Common) -> Result<Qemu, CliError> {
    Qemu::find(common.qemu.as_deref()).map_err(CliError::usage)
}

/// Returns how guests are booted; the accelerator is TCG until [`decide_accel`].
fn boot(args: &GuestArgs, cold: bool, probes: Vec<ProbeOverride>) -> Result<Boot, CliError> {
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
        probes,
        allowed: AllowedFindings::builtin().map_err(CliError::inconclusive)?,
    })
}

/// Returns the factor for wall-clock limits: `--timeout-factor`, else the environment.
pub(super) fn timeout_factor(args: &GuestArgs) -> Result<f64, CliError> {
    const VARIABLE: &str = "KMODLAB_TIMEOUT_FACTOR";
    match (args.timeout_factor, std::env::var(VARIABLE)) {
        (Some(factor), _) => Ok(factor),
        (None, Ok(text)) if !text.is_empty() => super::args::parse_factor(&text).map_err(|expected| {
            CliError::usage(anyhow!("invalid value '{text}' for the environment variable {VARIABLE} ({expected})"))
        }),
        (None, _) => Ok(1.0),
    }
}

/// Decides the accelerator. KVM is used only if it boots the requested guest.
pub(super) fn decide_accel(
    requested: AccelArg,
    host: &mut Host,
    kernel: Option<&Kernel>,
    subject: Option<&Subject>,
) -> Result<(), CliError> {
    if matches!(requested, AccelArg::Tcg) {
        return Ok(());
    }
    let (Some(kernel), Some(subject)) = (kernel, subject) else {
        return Ok(());
    };
    match probe_kvm(host, kernel, subject)? {
        Kvm::Works => host.boot.accel = Accel::Kvm,
        Kvm::Broken(_) if matches!(requested, AccelArg::Auto) => {}
        Kvm::Broken(reason) => {
            let error = CliError::usage(anyhow!("cannot use KVM: {reason}"));
            return Err(error.hint("--accel auto falls back to emulation (TCG)"));
        }
    }
    Ok(())
}

/// Boots this kernel and subject with KVM to find out whether it works.
pub(super) fn probe_kvm(host: &Host, kernel: &Kernel, subject: &Subject) -> Result<Kvm, CliError> {
    let side = PreparedKernel::new(kernel.clone(), host).map_err(CliError::inconclusive)?;
    let (spec, _) = side.spec(subject, &[], host).map_err(CliError::inconclusive)?;
    let area = host.cache.area("accel").map_err(CliError::inconclusive)?;
    harness::accel::probe(&host.qemu, &spec, &host.spawner, &area).map_err(CliError::inconclusive)
}

/// Sets up the host side of a run.
pub(super) fn host(
    common: &Common,
    args: &GuestArgs,
    cold: bool,
    probes: Vec<ProbeOverride>,
) -> Result<Host, CliError> {
    let cache = cache(common)?;
    let agent = guest_dir(common)?.join("agent");
    let qemu = qemu(common)?;
    let spawner = Spawner::start().map_err(CliError::inconclusive)?;
    let boot = boot(args, cold, probes)?;
    let area = cache.area("templates").map_err(CliError::inconclusive)?;
    let templates = Templates::open(area).map_err(CliError::inconclusive)?;
    Ok(Host { qemu, spawner, templates, cache, agent, boot })
}
