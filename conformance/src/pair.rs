//! A kernel with a subject, made ready to run: fetched, its eras decided, its template booted.

use crate::era::{self, CUTOFF_STRINGS, DecidedBy, Eras};
use crate::initramfs::{self, ImageError};
use crate::lab::Pair;
use crate::modules::STANDARD;
use harness::{BootError, HarnessError, Limits, Profile, Qemu, Spawner, Spec, Template, Templates, Vm};
use std::path::PathBuf;
use vm_images::modules::{ModuleTree, SelectError};
use vm_images::{Cache, ImageFacts, Kernel, KernelError, Subject};

/// What all pairs of a run share.
pub struct Host {
    /// QEMU.
    pub qemu: Qemu,
    /// Starts it.
    pub spawner: Spawner,
    /// Booted guests on disk.
    pub templates: Templates,
    /// Kernels, images.
    pub cache: Cache,
    /// The agent's program.
    pub agent: PathBuf,
    /// How guests are booted.
    pub boot: Boot,
}

/// How guests are booted.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The boot.
    pub profile: Profile,
    /// The accelerator.
    pub accel: harness::Accel,
    /// Virtual time.
    pub virtual_time: bool,
    /// Added to the kernel's command line.
    pub append: Vec<String>,
    /// Boot each guest anew, no clones.
    pub cold: bool,
    /// Limits of boots and clones.
    pub limits: Limits,
    /// `--era`.
    pub era: Option<era::EraOverride>,
}

/// A pair that is ready.
pub struct ReadyPair {
    /// What checks may know.
    pub pair: Pair,
    /// The image's strings and configuration.
    pub facts: ImageFacts,
    /// The guest's modules.
    pub modules: Option<ModuleTree>,
    /// What was found damaged in the cache and made anew: a line each.
    pub notes: Vec<String>,
    source: GuestSource,
}

enum GuestSource {
    Template(Template),
    Cold(Box<Spec>),
}

/// Why a pair cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The kernel's files.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Its modules.
    #[error(transparent)]
    Modules(#[from] SelectError),
    /// The initramfs.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The boot.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The host.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// The kernel cannot be used with any subject.
    #[error("{0}")]
    Unusable(String),
}

/// What a kernel is, before any subject: its eras and its modules.
pub struct PreparedKernel {
    /// The kernel.
    pub kernel: Kernel,
    eras: Eras,
    facts: ImageFacts,
    modules: Option<ModuleTree>,
}

impl PreparedKernel {
    /// Looks at the image and selects the standard modules.
    ///
    /// # Errors
    /// [`PairError`] if the image or the module directory cannot be used.
    pub fn new(kernel: Kernel, host: &Host) -> Result<PreparedKernel, PairError> {
        Self::with_modules(kernel, &[], host)
    }

    /// The same with further modules, as far as the kernel has them.
    ///
    /// # Errors
    /// [`PairError`] if the image or the module directory cannot be used.
    pub fn with_modules(kernel: Kernel, further: &[&str], host: &Host) -> Result<PreparedKernel, PairError> {
        let facts = kernel.facts(&host.cache)?;
        let eras = eras(&kernel, &facts, host.boot.era);
        let modules = match &kernel.modules {
            Some(_) => Some(vm_images::modules::select(&kernel, &[STANDARD, further].concat(), &host.cache)?),
            None => None,
        };
        Ok(PreparedKernel { kernel, eras, facts, modules })
    }

    /// Its eras.
    #[must_use]
    pub fn eras(&self) -> Eras {
        self.eras
    }

    /// What its image says about itself.
    #[must_use]
    pub fn facts(&self) -> &ImageFacts {
        &self.facts
    }

    /// The modules that a guest gets.
    #[must_use]
    pub fn modules(&self) -> Option<&ModuleTree> {
        self.modules.as_ref()
    }

    /// Makes the pair with this subject ready: its template is booted if it is not in the cache.
    ///
    /// # Errors
    /// [`PairError`] if it does not come up.
    pub fn pair(&self, subject: &Subject, host: &Host) -> Result<ReadyPair, PairError> {
        self.pair_with_files(subject, &[], host)
    }

    /// The same with further files in the guest (guest path, host path).
    ///
    /// # Errors
    /// [`PairError`] if it does not come up.
    pub fn pair_with_files(
        &self,
        subject: &Subject,
        extra: &[(String, PathBuf)],
        host: &Host,
    ) -> Result<ReadyPair, PairError> {
        let (kernel, boot) = (&self.kernel, &host.boot);
        let (spec, key, damaged) = self.spec_and_damage(subject, extra, host)?;
        let mut notes = Vec::new();
        if damaged {
            notes.push("the initramfs in the cache was damaged: it is made anew".to_owned());
        }
        let source = if boot.cold {
            GuestSource::Cold(Box::new(spec))
        } else {
            let template = host.templates.get(&host.qemu, &spec, &key, &host.spawner, &boot.limits)?;
            notes.extend(
                template
                    .replaces_damaged()
                    .map(|what| format!("the booted guest in the cache was damaged ({what}): it was booted anew")),
            );
            GuestSource::Template(template)
        };
        let pair = Pair {
            release: kernel.release.to_string(),
            eras: self.eras,
            modules: self.modules.as_ref().map(|tree| tree.dir.clone()),
            subject: subject.name().to_owned(),
            commands: subject.commands().to_vec(),
        };
        Ok(ReadyPair { pair, facts: self.facts.clone(), modules: self.modules.clone(), notes, source })
    }

    /// The machine for this pair, and the key that names its contents; the initramfs is made.
    ///
    /// # Errors
    /// [`PairError`] if the initramfs cannot be made.
    pub fn spec(
        &self,
        subject: &Subject,
        extra: &[(String, PathBuf)],
        host: &Host,
    ) -> Result<(Spec, String), PairError> {
        self.spec_and_damage(subject, extra, host).map(|(spec, key, _)| (spec, key))
    }

    /// [`Self::spec`], and whether the initramfs in the cache was damaged.
    fn spec_and_damage(
        &self,
        subject: &Subject,
        extra: &[(String, PathBuf)],
        host: &Host,
    ) -> Result<(Spec, String, bool), PairError> {
        let (kernel, boot) = (&self.kernel, &host.boot);
        let initramfs = initramfs::build(kernel, subject, self.modules.as_ref(), &host.agent, extra, &host.cache)?;
        let mut spec = Spec::new(&kernel.image, &initramfs.path);
        if boot.profile == Profile::Fast {
            if let Some(vmlinux) = kernel.vmlinux(&host.cache)? {
                spec.kernel = vmlinux;
            }
        }
        spec.profile = boot.profile;
        spec.accel = boot.accel;
        spec.virtual_time = boot.virtual_time;
        spec.append.clone_from(&boot.append);
        Ok((spec, format!("{} {}", kernel.id, initramfs.id), initramfs.replaces_damaged))
    }
}

impl ReadyPair {
    /// A fresh guest.
    ///
    /// # Errors
    /// [`BootError`] if it does not come up.
    pub fn guest(&self, host: &Host) -> Result<Vm, BootError> {
        match &self.source {
            GuestSource::Template(template) => template.clone_vm(&host.spawner),
            GuestSource::Cold(spec) => harness::boot_cold(&host.qemu, spec, &host.spawner, &host.boot.limits),
        }
    }

    /// Whether each guest boots, in place of being cloned.
    #[must_use]
    pub fn boots_each_guest(&self) -> bool {
        matches!(self.source, GuestSource::Cold(_))
    }

    /// What the console showed while the template booted. A guest that boots shows it itself.
    #[must_use]
    pub fn boot_findings(&self) -> &[String] {
        match &self.source {
            GuestSource::Template(template) => template.boot_findings(),
            GuestSource::Cold(_) => &[],
        }
    }
}

fn eras(kernel: &Kernel, facts: &ImageFacts, user: Option<era::EraOverride>) -> Eras {
    if let Some(user) = user {
        return Eras { cutoff: user.cutoff, cutoff_by: DecidedBy::User };
    }
    let [throttling, cannot] = CUTOFF_STRINGS.map(|needle| facts.contains(needle.as_bytes()));
    match era::cutoff_of_strings(throttling, cannot) {
        Some(cutoff) => Eras { cutoff, cutoff_by: DecidedBy::Image },
        None => Eras { cutoff: era::cutoff_of_release(kernel.release.as_str()), cutoff_by: DecidedBy::Version },
    }
}
