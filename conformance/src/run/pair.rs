//! Prepares a kernel with a subject for a run: resolves its probes and boots its template.

use crate::catalogue::probes;
use crate::check::lab::{Lab, LabError, Pair};
use crate::check::modules::STANDARD;
use crate::check::probes::Probes;
use crate::run::allowed_findings::AllowedFindings;
use crate::run::initramfs;
use crate::run::request::GuestOptions;
use harness::{
    BootError, BootPolicy, Finding, HarnessError, Machine, Profile, Qemu, Spawner, Spec, Template, Templates, Vm,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vm_images::modules::{ModuleTree, SelectError};
use vm_images::{Cache, ImageFacts, Kernel, KernelError, Subject};

/// The part of a run's configuration that all pairs share.
pub struct Host {
    /// The QEMU program.
    pub qemu: Qemu,
    /// The thread that starts QEMU processes.
    pub spawner: Spawner,
    /// The templates (booted guests) on disk.
    pub templates: Templates,
    /// The cache of kernels and images.
    pub cache: Cache,
    /// The path of the agent.
    pub agent: PathBuf,
    /// How guests are booted.
    pub boot: Boot,
}

/// How guests are booted.
#[derive(Clone, Debug)]
pub struct Boot {
    /// What the user requested.
    pub guest: GuestOptions,
    /// The accelerator, which that request or a test of KVM decided.
    pub accel: harness::Accel,
    /// The console findings that do not count. A boot with any other finding is not kept as a template.
    pub allowed: AllowedFindings,
}

/// The wall-clock limit for determining the traits of a subject.
const TRAITS_LIMIT: Duration = Duration::from_secs(300);
/// The maximum number of boots of a template. A boot with findings that count is repeated.
const BOOTS: u32 = 3;

impl Host {
    /// Returns the template for a machine, booting it at most `boots` times.
    fn template(&self, spec: &Spec, key: &str, release: &str, boots: u32) -> Result<Template, BootError> {
        let accepts = |finding: &Finding| self.boot.allowed.reason_for(release, finding).is_some();
        let machine = Machine { qemu: &self.qemu, spec, key };
        let policy = BootPolicy { accepts: &accepts, boots };
        self.templates.get(&machine, &policy, &self.spawner, &self.boot.guest.limits)
    }
}

/// A kernel and a subject that are ready to run.
pub struct ReadyPair {
    /// The part that checks can see.
    pub pair: Pair,
    /// The strings and the configuration of the image.
    pub facts: ImageFacts,
    /// The modules in the guest.
    pub modules: Option<ModuleTree>,
    /// What was damaged in the cache and has been replaced, and what was wrong with boots, one line each.
    pub notes: Vec<String>,
    source: GuestSource,
}

enum GuestSource {
    Template(Template),
    Cold(Box<Spec>),
}

/// A pair cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// An error of the kernel's files.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// An error of the kernel's modules.
    #[error(transparent)]
    Modules(#[from] SelectError),
    /// The initramfs could not be built.
    #[error(transparent)]
    Initramfs(#[from] initramfs::BuildError),
    /// The guest did not boot.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// An error of the host.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// The traits of the subject are not known.
    #[error("cannot determine the traits of the subject")]
    Traits(#[from] LabError),
}

/// A kernel without a subject: its probes and modules are known.
pub struct PreparedKernel {
    /// The kernel.
    pub kernel: Kernel,
    probes: Probes,
    facts: ImageFacts,
    modules: Option<ModuleTree>,
}

impl PreparedKernel {
    /// Reads the image and selects the standard modules.
    ///
    /// # Errors
    /// [`PairError`] if the image or the module directory cannot be used.
    pub fn new(kernel: Kernel, host: &Host) -> Result<PreparedKernel, PairError> {
        Self::with_modules(kernel, &[], host)
    }

    /// Like [`Self::new`], with these modules, too, if the kernel has them.
    ///
    /// # Errors
    /// [`PairError`] if the image or the module directory cannot be used.
    pub fn with_modules(kernel: Kernel, further: &[&str], host: &Host) -> Result<PreparedKernel, PairError> {
        let facts = kernel.facts(&host.cache)?;
        let mut probes = probes::resolve(kernel.release.as_str(), &facts, &host.boot.guest.probes);
        if let Some(cutoff) = kernel.live_patch.as_ref().and_then(|patch| probes::cutoff_of(patch.options)) {
            probes.set_by_lab("cutoff", cutoff);
        }
        let modules = match &kernel.modules {
            Some(_) => Some(vm_images::modules::select(&kernel, &[STANDARD, further].concat(), &host.cache)?),
            None => None,
        };
        Ok(PreparedKernel { kernel, probes, facts, modules })
    }

    /// Returns the values of the probes on the kernel.
    #[must_use]
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Returns the strings and the configuration of the image.
    #[must_use]
    pub fn facts(&self) -> &ImageFacts {
        &self.facts
    }

    /// Returns the modules that a guest contains.
    #[must_use]
    pub fn modules(&self) -> Option<&ModuleTree> {
        self.modules.as_ref()
    }

    /// Prepares the pair with this subject: boots its template if it is not in the cache.
    ///
    /// # Errors
    /// [`PairError`] if it does not boot.
    pub fn pair(&self, subject: &Subject, host: &Host) -> Result<ReadyPair, PairError> {
        self.pair_with_files(subject, &[], host)
    }

    /// Like [`Self::pair`], with further files in the guest (guest path, host path).
    ///
    /// # Errors
    /// [`PairError`] if it does not boot.
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
            notes.push("the initramfs in the cache was damaged and has been rebuilt".to_owned());
        }
        let source = if boot.guest.cold {
            GuestSource::Cold(Box::new(spec))
        } else {
            let template = host.template(&spec, &key, kernel.release.as_str(), BOOTS)?;
            notes.extend(template_notes(&template));
            GuestSource::Template(template)
        };
        let pair = Pair {
            release: kernel.release.to_string(),
            probes: self.probes.clone(),
            modules: self.modules.as_ref().map(|tree| tree.dir.clone()),
            subject: subject.name().to_owned(),
            commands: subject.commands().to_vec(),
            traits: subject.traits().unwrap_or_default().to_vec(),
        };
        Ok(ReadyPair { pair, facts: self.facts.clone(), modules: self.modules.clone(), notes, source })
    }

    /// Builds the initramfs. Returns the machine for the pair with this subject, and the key of its contents.
    ///
    /// # Errors
    /// [`PairError`] if the initramfs cannot be built.
    pub fn spec(
        &self,
        subject: &Subject,
        extra: &[(String, PathBuf)],
        host: &Host,
    ) -> Result<(Spec, String), PairError> {
        self.spec_and_damage(subject, extra, host).map(|(spec, key, _)| (spec, key))
    }

    /// Like [`Self::spec`]; also returns whether the initramfs in the cache was damaged.
    fn spec_and_damage(
        &self,
        subject: &Subject,
        extra: &[(String, PathBuf)],
        host: &Host,
    ) -> Result<(Spec, String, bool), PairError> {
        let (kernel, boot) = (&self.kernel, &host.boot);
        let initramfs = initramfs::build(kernel, subject, self.modules.as_ref(), &host.agent, extra, &host.cache)?;
        let mut spec = Spec::new(&kernel.image, &initramfs.path);
        if boot.guest.profile == Profile::Fast {
            if let Some(vmlinux) = kernel.vmlinux(&host.cache)? {
                spec.kernel = vmlinux;
            }
        }
        spec.profile = boot.guest.profile;
        spec.accel = boot.accel;
        spec.virtual_time = boot.guest.virtual_time;
        spec.append.clone_from(&boot.guest.append);
        Ok((spec, format!("{} {}", kernel.id, initramfs.id), initramfs.replaces_damaged))
    }
}

impl ReadyPair {
    /// Starts a new guest.
    ///
    /// # Errors
    /// [`BootError`] if it does not boot.
    pub fn guest(&self, host: &Host) -> Result<Vm, BootError> {
        match &self.source {
            GuestSource::Template(template) => template.clone_vm(&host.spawner),
            GuestSource::Cold(spec) => {
                harness::boot_cold(&host.qemu, spec, &host.spawner, &host.boot.guest.limits).and_then(Vm::settled)
            }
        }
    }

    /// Determines the traits of a subject that is not in the catalogue, in a guest that no check uses.
    ///
    /// # Errors
    /// [`PairError`] if the guest does not start or does not answer.
    pub fn probe_traits(&mut self, host: &Host) -> Result<(), PairError> {
        let mut vm = self.guest(host)?;
        let probed = Lab::new(&mut vm, &self.pair, Instant::now() + TRAITS_LIMIT).probe_traits();
        // What its console shows belongs to no row.
        let _ = vm.end_as_planned();
        self.pair.traits = probed?;
        let found = if self.pair.traits.is_empty() { "none".to_owned() } else { self.pair.traits.join(", ") };
        self.notes.push(format!("traits of the subject: {found}"));
        Ok(())
    }

    /// Returns whether each guest is booted instead of cloned.
    #[must_use]
    pub fn boots_each_guest(&self) -> bool {
        matches!(self.source, GuestSource::Cold(_))
    }

    /// Returns the findings on the console while the template booted. A guest that is booted has its own.
    #[must_use]
    pub fn boot_findings(&self) -> &[Finding] {
        match &self.source {
            GuestSource::Template(template) => template.boot_findings(),
            GuestSource::Cold(_) => &[],
        }
    }

    /// Boots the template again, once. For a pair whose boot has findings that count.
    ///
    /// # Errors
    /// [`BootError`] if it does not boot.
    pub fn boot_again(&self, host: &Host) -> Result<ReadyPair, BootError> {
        let (source, notes) = match &self.source {
            GuestSource::Template(old) => {
                let template = host.template(old.spec(), old.key(), &self.pair.release, 1)?;
                let notes = template_notes(&template);
                (GuestSource::Template(template), notes)
            }
            GuestSource::Cold(spec) => (GuestSource::Cold(spec.clone()), Vec::new()),
        };
        Ok(ReadyPair {
            pair: self.pair.clone(),
            facts: self.facts.clone(),
            modules: self.modules.clone(),
            notes,
            source,
        })
    }
}

/// Describes what was wrong with the previous template and with the boots.
fn template_notes(template: &Template) -> Vec<String> {
    let titles = |findings: &[Finding]| {
        let titles: Vec<String> = findings.iter().map(|found| format!("{}: {}", found.kind, found.title)).collect();
        titles.join("; ")
    };
    let damaged = template
        .replaces_damaged()
        .map(|what| format!("the template in the cache was damaged ({what}) and has been booted again"));
    let discarded = template
        .discarded_boots()
        .iter()
        .map(|findings| format!("a boot was discarded because of findings on its console ({})", titles(findings)));
    let not_kept = (!template.is_stored()).then(|| {
        let findings = titles(template.boot_findings());
        format!("the boot has findings on its console ({findings}); it is used but not kept as a template")
    });
    damaged.into_iter().chain(discarded).chain(not_kept).collect()
}
