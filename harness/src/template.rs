//! Templates: a guest that was booted once, stopped when its agent was ready, and stored on disk by content.
//!
//! A clone maps the template's memory copy-on-write and reads its device state, which is at least twenty times
//! faster than a boot. A template is a directory:
//!
//! ```text
//!   memory        the guest's memory, mapped by QEMU
//!   device        QEMU's device state, about 300 KiB
//!   meta.json     the description of the guest, and checks of the two files
//!   console.txt   the console output of the boot
//! ```
//!
//! A template is created in a run directory beside its final place and renamed when it is complete. A lock file per
//! key keeps two runs from creating the same template, and a clean-up from removing one that is in use.
//!
//! A boot with a finding on its console that the caller does not accept, such as a soft lockup on a busy host, is
//! discarded and repeated. If the last boot has such a finding too, it is used but not stored.

mod boot;
mod hex;
mod memory;
mod request;
mod saved;
mod stored;

pub use request::{BootPolicy, Machine};
pub use stored::{Stored, Verified};

use crate::error::{BootError, HarnessError};
use crate::lock::{Lock, Mode};
use crate::monitor::Finding;
use crate::qemu::Qemu;
use crate::rundir::{RunDir, private_dir, sweep};
use crate::spawn::Spawner;
use crate::spec::Spec;
use crate::vm::{Hello, Vm, WallLimits};
use boot::SAVE;
use saved::{Found, Meta, Saved, read};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The directory in which templates are created.
const WORK: &str = "work";
/// Total size from which on the least recently used templates are removed. One template takes about 100 MiB.
const DISK: u64 = 4 << 30;

/// A directory of templates, named by content.
#[derive(Clone, Debug)]
pub struct Templates {
    dir: PathBuf,
    disk: u64,
}

/// Returns the template if it is complete and its boot is acceptable.
fn accepted(found: Found, policy: &BootPolicy<'_>) -> Option<Box<Saved>> {
    match found {
        Found::Whole(saved) if policy.accepts_all(&saved.meta.findings) => Some(saved),
        _ => None,
    }
}

impl Templates {
    /// Opens the directory, creating it if necessary, and removes templates that killed runs did not finish.
    ///
    /// # Errors
    /// The directory cannot be created, or belongs to another user.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, HarnessError> {
        let dir = dir.into();
        private_dir(&dir)?;
        // QEMU may run in another directory.
        let dir = dir.canonicalize().map_err(HarnessError::io("find", &dir))?;
        let work = dir.join(WORK);
        private_dir(&work)?;
        drop(sweep(&work)?);
        Ok(Self { dir, disk: DISK })
    }

    /// Limits the disk space of all templates together, in bytes. Templates in use stay.
    #[must_use]
    pub fn with_disk_limit(mut self, bytes: u64) -> Self {
        self.disk = bytes;
        self
    }

    /// Returns whether the template exists, so that [`Self::get`] need not boot a guest.
    #[must_use]
    pub fn has(&self, qemu: &Qemu, spec: &Spec, key: &str) -> bool {
        let name = Machine { qemu, spec, key }.content_name();
        read(&self.dir.join(name)).is_ok_and(|found| matches!(found, Found::Whole(_)))
    }

    /// Returns the template for a machine, booting a guest if there is none that the policy accepts. If no boot is
    /// accepted, the last one is returned without being stored.
    ///
    /// # Errors
    /// [`BootError`] if a guest has to be booted and the boot fails.
    pub fn get(
        &self,
        machine: &Machine<'_>,
        policy: &BootPolicy<'_>,
        spawner: &Spawner,
        limits: &WallLimits,
    ) -> Result<Template, BootError> {
        let name = machine.content_name();
        let dir = self.dir.join(&name);
        let lock_path = self.dir.join(format!("{name}.lock"));
        let lock_error = |error| HarnessError::io("lock", &lock_path)(error);
        let deadline = Instant::now() + (limits.boot + SAVE) * policy.boots.max(1);
        let (mut replaced, mut discarded) = (None, Vec::new());
        let template = |saved: Box<Saved>, dir: PathBuf, hold, replaced, discarded| {
            let Saved { meta, device } = *saved;
            let (qemu, spec, limits) = (machine.qemu.clone(), machine.spec.clone(), *limits);
            let shared = Shared { qemu, spec, limits, dir, meta, device, replaced, discarded, hold };
            Template { shared: Arc::new(shared) }
        };
        loop {
            // For a complete template a shared lock is enough: it only prevents the removal.
            if let Some(lock) = Lock::try_take(&lock_path, Mode::Shared).map_err(lock_error)? {
                if let Some(saved) = accepted(read(&dir)?, policy) {
                    lock.touch();
                    return Ok(template(saved, dir, Hold::Stored(lock), replaced, discarded));
                }
            }
            if let Some(alone) = Lock::try_take(&lock_path, Mode::Exclusive).map_err(lock_error)? {
                let found = read(&dir)?;
                if let Found::Damaged(what) = found {
                    replaced = Some(what);
                }
                if accepted(found, policy).is_none() {
                    let work = RunDir::open(&self.dir.join(WORK))?;
                    let new = work.path().join("new");
                    let booted = std::thread::scope(|scope| {
                        scope.spawn(|| self.prune());
                        boot::boot(&new, machine, policy, spawner, limits)
                    })?;
                    discarded.extend(booted.discarded);
                    if !booted.accepted {
                        let Found::Whole(saved) = read(&new)? else {
                            return Err(HarnessError::io("read", &new)(io::ErrorKind::InvalidData.into()).into());
                        };
                        return Ok(template(saved, new, Hold::Temporary(work), replaced, discarded));
                    }
                    if dir.exists() {
                        // Damaged, not accepted or of another format: removed with the work directory.
                        std::fs::rename(&dir, work.path().join("old")).map_err(HarnessError::io("remove", &dir))?;
                    }
                    std::fs::rename(&new, &dir).map_err(HarnessError::io("create", &dir))?;
                }
                drop(alone);
                continue;
            }
            if Instant::now() > deadline {
                return Err(lock_error(io::Error::other("another run holds the lock for too long")).into());
            }
            if spawner.is_closed() {
                return Err(HarnessError::Interrupted.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes the least recently used templates until the rest fits the limit. Templates that are in use or cannot
    /// be removed stay. [`Self::get`] calls this while it boots a template.
    pub fn prune(&self) {
        let Ok(entries) = self.dir.read_dir() else { return };
        let mut templates: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let used = std::fs::metadata(path.with_extension("lock")).and_then(|data| data.modified()).ok()?;
                let disk = std::fs::metadata(path.join("memory")).ok()?.blocks() * 512;
                Some((used, disk, path))
            })
            .collect();
        templates.sort();
        let mut total: u64 = templates.iter().map(|(_, disk, _)| disk).sum();
        for (_, disk, path) in templates {
            if total <= self.disk {
                return;
            }
            if let Ok(Some(alone)) = Lock::try_take(&path.with_extension("lock"), Mode::Exclusive) {
                if std::fs::remove_dir_all(&path).is_ok() {
                    total -= disk;
                    alone.remove();
                }
            }
        }
    }
}

/// A booted guest on disk. Clones of this value are cheap; while one exists, the template is not removed.
#[derive(Clone, Debug)]
pub struct Template {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    qemu: Qemu,
    spec: Spec,
    limits: WallLimits,
    dir: PathBuf,
    meta: Meta,
    device: Arc<[u8]>,
    replaced: Option<&'static str>,
    discarded: Vec<Vec<Finding>>,
    hold: Hold,
}

/// What keeps a template's directory from being removed.
#[derive(Debug)]
enum Hold {
    /// A shared lock of a stored template.
    Stored(#[allow(dead_code, reason = "held until the template is dropped")] Lock),
    /// The directory of a template that is not stored; removed with it.
    Temporary(#[allow(dead_code, reason = "held until the template is dropped")] RunDir),
}

impl Template {
    /// Starts a guest that continues where the template stopped. Its clock is set and its random pool gets a seed
    /// from the host; everything else is the same as in every other clone.
    ///
    /// # Errors
    /// [`BootError`] if the guest does not answer.
    pub fn clone_vm(&self, spawner: &Spawner) -> Result<Vm, BootError> {
        let Shared { qemu, spec, limits, dir, meta, device, .. } = &*self.shared;
        let memory = dir.join("memory");
        Vm::restore(qemu, spec, &memory, device, &meta.hello, spawner, limits)
    }

    /// Returns the agent's greeting.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.shared.meta.hello
    }

    /// Returns the wall time from QEMU's start to the agent's greeting when the template was booted.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        Duration::from_millis(self.shared.meta.boot_millis)
    }

    /// Returns what was damaged in a previous template that this one replaces; `None` if it replaces none.
    #[must_use]
    pub fn replaces_damaged(&self) -> Option<&'static str> {
        self.shared.replaced
    }

    /// Returns the findings on the console during the boot.
    #[must_use]
    pub fn boot_findings(&self) -> &[Finding] {
        &self.shared.meta.findings
    }

    /// Returns the findings of each boot that was discarded before this one.
    #[must_use]
    pub fn discarded_boots(&self) -> &[Vec<Finding>] {
        &self.shared.discarded
    }

    /// Returns whether the template is stored. One whose boot is not acceptable is removed when it is dropped.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self.shared.hold, Hold::Stored(_))
    }

    /// Returns the caller's part of the template's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.shared.meta.key
    }

    /// Returns the directory; `console.txt` in it contains the console output of the boot.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Returns the machine that was booted.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.shared.spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_the_directory_removes_the_unfinished_template_of_a_killed_run() {
        let dir = tempfile::tempdir().unwrap();
        let dead = dir.path().join(WORK).join("run-dead");
        std::fs::create_dir_all(dead.join("new")).unwrap();
        std::fs::write(dead.join("new/memory"), "x").unwrap();
        Templates::open(dir.path()).unwrap();
        assert!(!dead.exists());
    }
}
