//! The machines of a run with QEMU.

use crate::catalogue::entry::Need;
use crate::check::lab::Pair;
use crate::run::event::{KernelName, SkippedKernel};
use crate::run::machines::{KernelInfo, KernelMachines, Machine, MachineError, MachineInfo, Machines, PairMachines};
use crate::run::needs::{Offer, is_met};
use crate::run::pair::{Host, PairError, PreparedKernel, ReadyPair};
use crate::text::error_chain;
use harness::{Accel, BootError, Finding};
use std::error::Error;
use std::sync::Arc;
use vm_images::{Kernel, Subject};

/// Kernels and subjects that run in QEMU.
pub struct QemuMachines {
    shared: Arc<Shared>,
    kernels: Vec<Result<Kernel, SkippedKernel>>,
}

struct Shared {
    host: Host,
    subjects: Vec<Subject>,
}

impl QemuMachines {
    /// Returns the machines of a run of these kernels, or of the reasons for which they are left out, with these subjects.
    #[must_use]
    pub fn new(host: Host, kernels: Vec<Result<Kernel, SkippedKernel>>, subjects: Vec<Subject>) -> QemuMachines {
        QemuMachines { shared: Arc::new(Shared { host, subjects }), kernels }
    }
}

impl Machines for QemuMachines {
    fn info(&self) -> MachineInfo {
        let Host { qemu, boot, .. } = &self.shared.host;
        MachineInfo {
            qemu: qemu.version.to_string(),
            accelerator: boot.accel,
            profile: boot.guest.profile,
            virtual_time: boot.guest.virtual_time && boot.accel == Accel::Tcg,
        }
    }

    fn kernels(&self) -> Vec<Result<KernelInfo, SkippedKernel>> {
        let info = |kernel: &Kernel| KernelInfo {
            name: KernelName { name: kernel.name.clone(), release: kernel.release.to_string() },
            notes: kernel.notes.clone(),
        };
        self.kernels.iter().map(|kernel| kernel.as_ref().map(info).map_err(Clone::clone)).collect()
    }

    fn subjects(&self) -> Vec<String> {
        self.shared.subjects.iter().map(|subject| subject.name().to_owned()).collect()
    }

    fn prepare(&self, kernel: usize) -> Result<Box<dyn KernelMachines>, MachineError> {
        let Some(Ok(kernel)) = self.kernels.get(kernel) else {
            return Err(of_host(&"the run does not have this kernel"));
        };
        let kernel = PreparedKernel::new(kernel.clone(), &self.shared.host).map_err(|error| of_pair(&error))?;
        Ok(Box::new(QemuKernel { kernel, shared: Arc::clone(&self.shared) }))
    }
}

struct QemuKernel {
    kernel: PreparedKernel,
    shared: Arc<Shared>,
}

impl KernelMachines for QemuKernel {
    fn pair(&self, subject: usize) -> Result<Arc<dyn PairMachines>, MachineError> {
        let Some(subject) = self.shared.subjects.get(subject) else {
            return Err(of_host(&"the run does not have this subject"));
        };
        let mut ready = self.kernel.pair(subject, &self.shared.host).map_err(|error| of_pair(&error))?;
        if subject.traits().is_none() {
            ready.probe_traits(&self.shared.host).map_err(|error| of_pair(&error))?;
        }
        Ok(Arc::new(QemuPair { ready, shared: Arc::clone(&self.shared) }))
    }
}

struct QemuPair {
    ready: ReadyPair,
    shared: Arc<Shared>,
}

impl PairMachines for QemuPair {
    fn pair(&self) -> &Pair {
        &self.ready.pair
    }

    fn notes(&self) -> &[String] {
        &self.ready.notes
    }

    fn meets(&self, need: &Need) -> bool {
        let pair = &self.ready.pair;
        let subject = Offer { commands: &pair.commands, traits: Some(&pair.traits) };
        is_met(need, subject, self.ready.modules.as_ref(), &self.ready.facts)
    }

    fn boot_findings(&self) -> &[Finding] {
        self.ready.boot_findings()
    }

    fn guest(&self) -> Result<Box<dyn Machine>, MachineError> {
        match self.ready.guest(&self.shared.host) {
            Ok(vm) => Ok(Box::new(vm)),
            // A clone that does not start says nothing about the kernel, which has booted.
            Err(error) => Err(MachineError {
                boot_failed: self.ready.boots_each_guest() && is_guest_failure(&error),
                ..of_host(&error_chain(&error))
            }),
        }
    }

    fn boot_again(&self) -> Result<Arc<dyn PairMachines>, MachineError> {
        let ready = self.ready.boot_again(&self.shared.host).map_err(|error| of_host(&error_chain(&error)))?;
        Ok(Arc::new(QemuPair { ready, shared: Arc::clone(&self.shared) }))
    }
}

fn of_host(reason: &impl ToString) -> MachineError {
    MachineError { reason: reason.to_string(), boot_failed: false }
}

fn of_pair(error: &PairError) -> MachineError {
    let boot_failed = matches!(error, PairError::Boot(error) if is_guest_failure(error));
    MachineError { reason: error_chain(error as &dyn Error), boot_failed }
}

/// Returns whether the guest, and not the host, caused a boot to fail: the kernel did not come up in time, or it reset the
/// machine or powered it off. A QEMU that rejected its arguments or was killed says nothing about the kernel.
fn is_guest_failure(error: &BootError) -> bool {
    match error {
        BootError::Timeout { .. } => true,
        BootError::Dead(death) => death.ending.reason.as_deref().is_some_and(|reason| reason.starts_with("guest-")),
        BootError::Harness(_) | BootError::Version { .. } | BootError::Protocol(_) => false,
    }
}
