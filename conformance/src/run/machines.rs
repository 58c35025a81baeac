//! What the engine needs of machines: kernels to prepare, subjects to pair them with, and guests. `run::qemu` implements
//! it with QEMU; the tests of the engine implement it with a script.
//!
//! ```text
//!   Machines          the kernels and subjects of a run
//!     KernelMachines    one kernel: its image has been read and its modules are known
//!       PairMachines      the kernel with one subject, ready to run
//!         Machine           one guest
//! ```

use crate::catalogue::entry::Need;
use crate::check::lab::{Guest, Pair};
use crate::run::event::{KernelName, SkippedKernel};
use harness::{Accel, Profile};
use harness::{Ending, Finding};
use std::sync::Arc;

/// The kernels and subjects of a run. The engine addresses them by their numbers.
pub trait Machines: Sync {
    /// Returns what reports say about the machines.
    fn info(&self) -> MachineInfo;

    /// Returns the kernels, or the reason for which a kernel is left out.
    fn kernels(&self) -> Vec<Result<KernelInfo, SkippedKernel>>;

    /// Returns the names of the subjects.
    fn subjects(&self) -> Vec<String>;

    /// Prepares a kernel.
    ///
    /// # Errors
    /// [`MachineError`] if the kernel cannot be run with any subject.
    fn prepare(&self, kernel: usize) -> Result<Box<dyn KernelMachines>, MachineError>;
}

/// A prepared kernel.
pub trait KernelMachines {
    /// Prepares the kernel with a subject.
    ///
    /// # Errors
    /// [`MachineError`] if the pair cannot be run.
    fn pair(&self, subject: usize) -> Result<Arc<dyn PairMachines>, MachineError>;
}

/// A kernel with a subject, ready to run.
pub trait PairMachines: Send + Sync {
    /// Returns the part that checks can see.
    fn pair(&self) -> &Pair;

    /// Returns what went wrong during the preparation without preventing it, one line each.
    fn notes(&self) -> &[String];

    /// Returns whether the kernel and the subject meet this need.
    fn meets(&self, need: &Need) -> bool;

    /// Returns the findings of the boot that all guests have in common. They are not on the consoles of the guests.
    fn boot_findings(&self) -> &[Finding];

    /// Starts a guest that no check has used.
    ///
    /// # Errors
    /// [`MachineError`] if it does not start.
    fn guest(&self) -> Result<Box<dyn Machine>, MachineError>;

    /// Prepares the pair again, with a new boot.
    ///
    /// # Errors
    /// [`MachineError`] if it does not boot.
    fn boot_again(&self) -> Result<Arc<dyn PairMachines>, MachineError>;
}

/// A guest that the engine starts, observes and ends.
pub trait Machine: Guest {
    /// Returns the guest as checks use it. (Rust converts a trait object to its supertrait since 1.86 only.)
    fn as_guest(&mut self) -> &mut dyn Guest;

    /// Returns the findings on the console so far.
    fn findings(&self) -> Vec<Finding>;

    /// Shuts the guest down and returns how it ended.
    fn end_as_planned(&mut self) -> Ending;

    /// Returns the console output. It can be read after the end.
    fn console(&self) -> Vec<u8>;
}

/// What reports say about the machines of a run.
#[derive(Clone, Debug)]
pub struct MachineInfo {
    /// The version of QEMU.
    pub qemu: String,
    /// The accelerator.
    pub accelerator: Accel,
    /// The boot profile.
    pub profile: Profile,
    /// Whether guest time is virtual.
    pub virtual_time: bool,
}

/// A kernel of a run.
#[derive(Clone, Debug)]
pub struct KernelInfo {
    /// Its name and release.
    pub name: KernelName,
    /// What the user should know about it, one line each.
    pub notes: Vec<String>,
}

/// A kernel, a pair or a guest is not available.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct MachineError {
    /// The reason: an error with all its causes.
    pub reason: String,
    /// Whether the kernel did not come up, as opposed to a failure of the host.
    pub boot_failed: bool,
}
