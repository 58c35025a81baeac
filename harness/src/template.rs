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
mod stored;

pub use stored::{Stored, Verified};

use crate::error::{BootError, HarnessError};
use crate::lock::{Lock, Mode};
use crate::monitor::Finding;
use crate::rundir::{RunDir, private_dir, sweep};
use crate::spec::{Channels, Role, qemu_args};
use crate::vm::Hello;
use crate::{Qemu, Spawner, Spec, Vm, WallLimits};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The version of the directory's layout, and of the requirements on a template.
const FORMAT: u32 = 3;
/// Maximum size of the device state; that of a PC takes 0.3 MiB.
const DEVICE_MAX: usize = 64 << 20;
/// How long stopping, saving and ending a booted guest may take.
const SAVE: Duration = Duration::from_secs(60);
/// The directory in which templates are created.
const WORK: &str = "work";
/// Total size from which on the least recently used templates are removed. One template takes about 100 MiB.
const DISK: u64 = 4 << 30;

/// A machine whose template is requested.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// The QEMU that runs it; its version is part of the template's key.
    pub qemu: &'a Qemu,
    /// The machine; QEMU's arguments are part of the template's key, except the paths of files.
    pub spec: &'a Spec,
    /// Identifies the contents of kernel and initramfs.
    pub key: &'a str,
}

/// The boots that may become templates.
#[derive(Clone, Copy)]
pub struct BootPolicy<'a> {
    /// Returns whether a boot with this finding on its console is acceptable.
    pub accepts: &'a dyn Fn(&Finding) -> bool,
    /// The maximum number of boots if they are not acceptable, at least 1.
    pub boots: u32,
}

impl Default for BootPolicy<'_> {
    /// Accepts no finding; three boots.
    fn default() -> Self {
        Self { accepts: &|_| false, boots: 3 }
    }
}

impl BootPolicy<'_> {
    fn accepts_all(&self, findings: &[Finding]) -> bool {
        findings.iter().all(|finding| (self.accepts)(finding))
    }
}

/// A directory of templates, named by content.
#[derive(Clone, Debug)]
pub struct Templates {
    dir: PathBuf,
    disk: u64,
}

/// The contents of `meta.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    format: u32,
    /// The caller's key and QEMU's banner, for human readers.
    key: String,
    qemu: String,
    arguments: Vec<String>,
    hello: Hello,
    boot_millis: u64,
    /// The findings on the console during the boot.
    findings: Vec<Finding>,
    device_sha256: String,
    memory_len: u64,
    /// A saved template's memory never changes, so a different modification time shows that somebody wrote to it.
    memory_mtime: (i64, i64),
    /// Checked only on request: reading the memory before each clone would take longer than the clone itself.
    memory_sha256: String,
}

/// The state of a template's directory.
enum Found {
    Nothing,
    /// A template of another version of this program, or an incomplete one.
    Other,
    /// The template was changed after it was saved; how.
    Damaged(&'static str),
    Whole(Box<Saved>),
}

/// A complete template.
struct Saved {
    meta: Meta,
    device: Arc<[u8]>,
}

impl Found {
    /// Returns the template if it is complete and its boot is acceptable.
    fn accepted(self, policy: &BootPolicy<'_>) -> Option<Box<Saved>> {
        match self {
            Found::Whole(saved) if policy.accepts_all(&saved.meta.findings) => Some(saved),
            _ => None,
        }
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
        let name = content_name(key, &qemu.banner, &key_arguments(spec));
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
        let arguments = key_arguments(machine.spec);
        let name = content_name(machine.key, &machine.qemu.banner, &arguments);
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
                if let Some(saved) = read(&dir)?.accepted(policy) {
                    lock.touch();
                    return Ok(template(saved, dir, Hold::Stored(lock), replaced, discarded));
                }
            }
            if let Some(alone) = Lock::try_take(&lock_path, Mode::Exclusive).map_err(lock_error)? {
                let found = read(&dir)?;
                if let Found::Damaged(what) = found {
                    replaced = Some(what);
                }
                if found.accepted(policy).is_none() {
                    let work = RunDir::open(&self.dir.join(WORK))?;
                    self.prune();
                    let new = work.path().join("new");
                    let booted = boot::boot(&new, machine, &arguments, policy, spawner, limits)?;
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
    /// be removed stay. [`Self::get`] calls this before it creates a template.
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

/// Returns the arguments that are part of a template's key: all but the paths of files, whose contents are in the
/// caller's key.
fn key_arguments(spec: &Spec) -> Vec<String> {
    let nowhere = Path::new("");
    let spec = Spec { kernel: nowhere.into(), initramfs: nowhere.into(), ..spec.clone() };
    let channels = Channels::Descriptors { console: 0, agent: 0, qmp: 0 };
    let args = qemu_args(&spec, Role::Template { memory: 0 }, channels);
    args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
}

fn content_name(key: &str, banner: &str, arguments: &[String]) -> String {
    let mut hasher = Sha256::new();
    let format = FORMAT.to_string();
    for part in [format.as_str(), key, banner].into_iter().chain(arguments.iter().map(String::as_str)) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a template and makes the cheap checks.
fn read(dir: &Path) -> Result<Found, HarnessError> {
    let path = dir.join("meta.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(HarnessError::io("read", &path)(error)),
    };
    let format = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let Some(format) = format.and_then(|meta| meta.get("format")?.as_u64()) else {
        return Ok(Found::Damaged("meta.json cannot be parsed"));
    };
    if format != u64::from(FORMAT) {
        return Ok(Found::Other);
    }
    let Ok(meta) = serde_json::from_slice::<Meta>(&text) else {
        return Ok(Found::Damaged("meta.json is incomplete"));
    };
    let (Ok(memory), Ok(device)) = (std::fs::metadata(dir.join("memory")), std::fs::read(dir.join("device"))) else {
        return Ok(Found::Damaged("a file is missing"));
    };
    Ok(if memory.len() != meta.memory_len || (memory.mtime(), memory.mtime_nsec()) != meta.memory_mtime {
        Found::Damaged("its memory file was modified")
    } else if hex(&Sha256::digest(&device)) != meta.device_sha256 {
        Found::Damaged("its device state differs from what was saved")
    } else {
        Found::Whole(Box::new(Saved { meta, device: device.into() }))
    })
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
    use crate::Profile;

    #[test]
    fn the_name_depends_on_the_machine_and_not_on_the_paths_of_its_files() {
        let name = |spec: &Spec, key, banner| content_name(key, banner, &key_arguments(spec));
        let spec = Spec::new("/a/kernel", "/a/initramfs");
        let base = name(&spec, "key", "QEMU 7.2");
        assert_eq!(name(&Spec::new("/b/kernel", "/b/initramfs"), "key", "QEMU 7.2"), base);
        let others = [
            name(&spec, "other", "QEMU 7.2"),
            name(&spec, "key", "QEMU 8.2"),
            name(&Spec { mem_mib: 512, ..spec.clone() }, "key", "QEMU 7.2"),
            name(&Spec { profile: Profile::Fast, ..spec.clone() }, "key", "QEMU 7.2"),
            name(&Spec { virtual_time: false, ..spec.clone() }, "key", "QEMU 7.2"),
            name(&Spec { cpu: "max".to_owned(), ..spec.clone() }, "key", "QEMU 7.2"),
            name(&Spec { append: vec!["quiet".into()], ..spec.clone() }, "key", "QEMU 7.2"),
        ];
        assert!(others.iter().all(|other| *other != base), "{base} {others:?}");
    }

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
