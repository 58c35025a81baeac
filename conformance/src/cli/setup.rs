//! Sets up the cache, the guest programs and QEMU from the arguments. Errors are found before anything is built or
//! booted.

use super::args::Common;
use super::error::CliError;
use super::hint;
use crate::run::allowed_findings::AllowedFindings;
use crate::run::pair::{Boot, Host, PreparedKernel};
use crate::run::request::{AcceleratorChoice, GuestOptions};
use anyhow::anyhow;
use harness::accel::Kvm;
use harness::{Accel, Qemu, Spawner, Templates};
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

/// What guests need of this machine.
pub(super) struct Tools {
    /// The QEMU program.
    pub qemu: Qemu,
    /// The thread that starts QEMU processes.
    pub spawner: Spawner,
    /// The cache of kernels and images.
    pub cache: Cache,
    templates: Templates,
    agent: PathBuf,
}

impl Tools {
    /// Opens the cache and finds the guest programs and QEMU.
    pub(super) fn open(common: &Common) -> Result<Tools, CliError> {
        let cache = cache(common)?;
        let agent = guest_dir(common)?.join("agent");
        let qemu = qemu(common)?;
        let spawner = Spawner::start().map_err(CliError::inconclusive)?;
        let area = cache.area("templates").map_err(CliError::inconclusive)?;
        let templates = Templates::open(area).map_err(CliError::inconclusive)?;
        Ok(Tools { qemu, spawner, cache, templates, agent })
    }

    /// Returns the host of these guests. For the choice of the accelerator, KVM may have to boot the first kernel with the
    /// first subject; without them the accelerator is TCG.
    pub(super) fn host(
        &self,
        guest: &GuestOptions,
        allowed: &AllowedFindings,
        kernel: Option<&Kernel>,
        subject: Option<&Subject>,
    ) -> Result<Host, CliError> {
        let emulated = self.with(Boot { guest: guest.clone(), accel: Accel::Tcg, allowed: allowed.clone() });
        let (Some(kernel), Some(subject)) = (kernel, subject) else { return Ok(emulated) };
        if guest.accelerator == AcceleratorChoice::Tcg {
            return Ok(emulated);
        }
        match probe_kvm(&emulated, kernel, subject)? {
            Kvm::Works => Ok(self.with(Boot { accel: Accel::Kvm, ..emulated.boot })),
            Kvm::Broken(_) if guest.accelerator == AcceleratorChoice::Auto => Ok(emulated),
            Kvm::Broken(reason) => {
                let error = CliError::usage(anyhow!("cannot use KVM: {reason}"));
                Err(error.hint("--accel auto falls back to emulation (TCG)"))
            }
        }
    }

    fn with(&self, boot: Boot) -> Host {
        let Tools { qemu, spawner, cache, templates, agent } = self;
        Host {
            qemu: qemu.clone(),
            spawner: spawner.clone(),
            templates: templates.clone(),
            cache: cache.clone(),
            agent: agent.clone(),
            boot,
        }
    }
}

/// Boots this kernel and subject with KVM to find out whether it works.
pub(super) fn probe_kvm(host: &Host, kernel: &Kernel, subject: &Subject) -> Result<Kvm, CliError> {
    let side = PreparedKernel::new(kernel.clone(), host).map_err(CliError::inconclusive)?;
    let (spec, _) = side.spec(subject, &[], host).map_err(CliError::inconclusive)?;
    let area = host.cache.area("accel").map_err(CliError::inconclusive)?;
    harness::accel::probe(&host.qemu, &spec, &host.spawner, &area).map_err(CliError::inconclusive)
}
