//! Templates: a guest that was booted once, stopped when its agent was ready, and kept on disk by content.
//!
//! A clone maps the template's memory copy on write and reads its device state, which is quicker than a boot
//! by a factor of twenty and more. A template is a directory:
//!
//! ```text
//!   memory        the guest's memory, mapped by QEMU
//!   device        QEMU's device state, some 300 KiB
//!   meta.json     what it is and what the two files must look like
//!   console.txt   what the boot showed
//! ```
//!
//! It is made in a run directory beside its place and renamed into it when it is whole. A lock file for each
//! key keeps two runs from making the same one, and a clean-up from removing one in use.

mod stored;

pub use stored::{Stored, Verified};

use crate::error::{BootError, HarnessError};
use crate::lock::{Lock, Mode};
use crate::rundir::{RunDir, private_dir, sweep};
use crate::spec::{Channels, Role, qemu_args};
use crate::vm::Hello;
use crate::{Limits, Qemu, Spawner, Spec, Vm};
use crate::{pump, qmp};
use rustix::event::PollFlags;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Version of the directory's layout and of what this program asks of a template.
const FORMAT: u32 = 2;
/// The device state of a PC takes 0.3 MiB; more than this is no device state.
const DEVICE_MAX: usize = 64 << 20;
/// How long stopping, saving and ending a booted guest may take.
const SAVE: Duration = Duration::from_secs(60);
/// Where templates are made.
const WORK: &str = "work";
/// Templates that were not used for longest are removed when they take more than this; one takes about 100 MiB.
const DISK: u64 = 4 << 30;

/// A directory of templates, by content.
#[derive(Clone, Debug)]
pub struct Templates {
    dir: PathBuf,
    disk: u64,
}

/// What `meta.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    format: u32,
    /// The caller's key and QEMU's banner, for a person who looks.
    key: String,
    qemu: String,
    arguments: Vec<String>,
    hello: Hello,
    boot_millis: u64,
    /// Titles of what the console showed while it booted.
    findings: Vec<String>,
    device_sha256: String,
    memory_len: u64,
    /// A template's memory never changes once it is saved: its time tells if somebody wrote to it.
    memory_mtime: (i64, i64),
    /// Compared when somebody asks: reading the memory before each clone would take longer than the clone.
    memory_sha256: String,
}

/// What lies in a template's place.
enum Found {
    Nothing,
    /// What another version of this program made, or one that did not finish.
    Other,
    /// It is not what it was; why.
    Damaged(&'static str),
    Whole(Box<Saved>),
}

/// A whole template as it was read.
struct Saved {
    meta: Meta,
    device: Arc<[u8]>,
}

impl Templates {
    /// Opens the directory, which is made if it is not there, and sweeps what killed runs left unfinished in it.
    ///
    /// # Errors
    /// It cannot be made, or belongs to another user.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, HarnessError> {
        let dir = dir.into();
        private_dir(&dir)?;
        // QEMU must find it from wherever it is started.
        let dir = dir.canonicalize().map_err(HarnessError::io("find", &dir))?;
        let work = dir.join(WORK);
        private_dir(&work)?;
        drop(sweep(&work)?);
        Ok(Self { dir, disk: DISK })
    }

    /// Sets how much disk all templates together may take, in bytes; what is in use stays.
    #[must_use]
    pub fn with_disk_limit(mut self, bytes: u64) -> Self {
        self.disk = bytes;
        self
    }

    /// Is the template there, so that [`Self::get`] will not have to boot?
    #[must_use]
    pub fn has(&self, qemu: &Qemu, spec: &Spec, key: &str) -> bool {
        let name = content_name(key, &qemu.banner, &key_arguments(spec));
        read(&self.dir.join(name)).is_ok_and(|found| matches!(found, Found::Whole(_)))
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
        let arguments = key_arguments(spec);
        let name = content_name(key, &qemu.banner, &arguments);
        let dir = self.dir.join(&name);
        let lock_path = self.dir.join(format!("{name}.lock"));
        let lock_error = |error| HarnessError::io("lock", &lock_path)(error);
        let deadline = Instant::now() + limits.boot + SAVE;
        let mut replaced = None;
        let template = |lock: Lock, saved: Box<Saved>, replaced| {
            lock.touch();
            let Saved { meta, device } = *saved;
            let (qemu, spec, limits) = (qemu.clone(), spec.clone(), *limits);
            let shared = Shared { qemu, spec, limits, dir: dir.clone(), meta, device, replaced, _lock: lock };
            Template { shared: Arc::new(shared) }
        };
        loop {
            // A whole template needs no lock but against its removal.
            if let Some(lock) = Lock::try_take(&lock_path, Mode::Shared).map_err(lock_error)? {
                if let Found::Whole(found) = read(&dir)? {
                    return Ok(template(lock, found, replaced));
                }
            }
            if let Some(alone) = Lock::try_take(&lock_path, Mode::Exclusive).map_err(lock_error)? {
                let found = read(&dir)?;
                if let Found::Damaged(what) = found {
                    replaced = Some(what);
                }
                if !matches!(found, Found::Whole(_)) {
                    let work = RunDir::open(&self.dir.join(WORK))?;
                    if dir.exists() {
                        // It is not whole, or of another format: its new place is swept.
                        std::fs::rename(&dir, work.path().join("old")).map_err(HarnessError::io("remove", &dir))?;
                    }
                    self.prune();
                    let new = work.path().join("new");
                    make(&new, qemu, spec, (key, &arguments), spawner, limits)?;
                    std::fs::rename(&new, &dir).map_err(HarnessError::io("create", &dir))?;
                }
                drop(alone);
                continue;
            }
            if Instant::now() > deadline {
                return Err(lock_error(io::Error::other("another run has held it for too long")).into());
            }
            if spawner.is_closed() {
                return Err(HarnessError::Interrupted.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes the templates that were not used for longest until the rest fits the limit. What is in use or
    /// cannot be removed stays. [`Self::get`] does so before it makes one.
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

/// The arguments that shape the guest, with the files' places left out: those are not its content.
fn key_arguments(spec: &Spec) -> Vec<String> {
    let nowhere = Path::new("");
    let spec = Spec { kernel: nowhere.into(), initramfs: nowhere.into(), ..spec.clone() };
    let channels = Channels::Descriptors { console: 0, agent: 0, qmp: 0 };
    let args = qemu_args(&spec, Role::Template { memory: nowhere }, channels);
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

/// Reads a template and checks of it what is cheap.
fn read(dir: &Path) -> Result<Found, HarnessError> {
    let path = dir.join("meta.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(HarnessError::io("read", &path)(error)),
    };
    let format = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let Some(format) = format.and_then(|meta| meta.get("format")?.as_u64()) else {
        return Ok(Found::Damaged("its description cannot be read"));
    };
    if format != u64::from(FORMAT) {
        return Ok(Found::Other);
    }
    let Ok(meta) = serde_json::from_slice::<Meta>(&text) else {
        return Ok(Found::Damaged("its description is not whole"));
    };
    let (Ok(memory), Ok(device)) = (std::fs::metadata(dir.join("memory")), std::fs::read(dir.join("device"))) else {
        return Ok(Found::Damaged("a file of it is missing"));
    };
    Ok(if memory.len() != meta.memory_len || (memory.mtime(), memory.mtime_nsec()) != meta.memory_mtime {
        Found::Damaged("somebody wrote to its memory")
    } else if hex(&Sha256::digest(&device)) != meta.device_sha256 {
        Found::Damaged("its device state is not what was saved")
    } else {
        Found::Whole(Box::new(Saved { meta, device: device.into() }))
    })
}

/// Boots a guest and saves it in a new directory.
fn make(
    dir: &Path,
    qemu: &Qemu,
    spec: &Spec,
    (key, arguments): (&str, &[String]),
    spawner: &Spawner,
    limits: &Limits,
) -> Result<(), BootError> {
    std::fs::create_dir(dir).map_err(HarnessError::io("create", dir))?;
    let memory = dir.join("memory");
    let started = Instant::now();
    let mut vm = Vm::boot(qemu, spec, Role::Template { memory: &memory }, spawner, limits)?;
    let boot_millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let hello = vm.hello().clone();
    let deadline = Instant::now() + SAVE;
    let device = save(vm.qmp(), deadline)?;
    let _ = vm.qmp().send("quit", serde_json::Value::Null, deadline)?; // QEMU may be gone before it answers
    let (console, findings) = (vm.console(), vm.findings());
    vm.end(deadline);
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        let written =
            File::create_new(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()));
        written.map_err(HarnessError::io("write", &path))
    };
    write("device", &device)?;
    write("console.txt", &console)?;
    // What is renamed into the cache must be on the disk: after a power cut nobody would see that it is not.
    let memory_sha256 = stored::memory_hash(&memory).map_err(HarnessError::io("read", &memory))?;
    let synced = File::open(&memory).and_then(|file| file.sync_data().and_then(|()| file.metadata()));
    let memory = synced.map_err(HarnessError::io("write", &memory))?;
    let meta = Meta {
        format: FORMAT,
        key: key.to_owned(),
        qemu: qemu.banner.clone(),
        arguments: arguments.to_vec(),
        hello,
        boot_millis,
        findings: findings.iter().map(|finding| format!("{}: {}", finding.kind, finding.title)).collect(),
        device_sha256: hex(&Sha256::digest(&device)),
        memory_len: memory.len(),
        memory_mtime: (memory.mtime(), memory.mtime_nsec()),
        memory_sha256,
    };
    let text = serde_json::to_vec_pretty(&meta)
        .map_err(|error| HarnessError::System { action: "write a template's description", source: error.into() })?;
    write("meta.json", &text)?;
    Ok(())
}

/// Stops the guest and reads its device state. The guest must stand still first, or memory and devices disagree.
fn save(qemu: &mut qmp::Qmp, deadline: Instant) -> Result<Vec<u8>, HarnessError> {
    qemu.call("stop", serde_json::Value::Null, deadline)?;
    qemu.call("migrate-set-capabilities", migration_capabilities(), deadline)?;
    let (reader, writer) = pump::pipe()?;
    qemu.give("device", writer.as_fd(), deadline)?;
    drop(writer);
    qemu.call("migrate", json!({ "uri": "fd:device" }), deadline)?;
    let mut state = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let received = pump::await_ready(&reader, PollFlags::IN, deadline)
            .and_then(|()| Ok(rustix::io::read(&reader, &mut buffer[..])?));
        let count = received.map_err(HarnessError::system("read the guest's device state from QEMU"))?;
        state.extend_from_slice(&buffer[..count]);
        if count == 0 {
            break;
        }
        if state.len() > DEVICE_MAX {
            return Err(HarnessError::Qmp { command: "migrate".to_owned(), reason: "it sends no end".to_owned() });
        }
    }
    let status = qemu.event(deadline, |event| {
        qmp::migration_status(event).filter(|status| matches!(status.as_str(), "completed" | "failed"))
    });
    match status.as_deref() {
        Some("completed") => Ok(state),
        other => Err(HarnessError::Qmp {
            command: "migrate".to_owned(),
            reason: format!("it ended as {:?}", other.unwrap_or("nothing")),
        }),
    }
}

/// Memory that is a shared file stays where it is; and tell how a migration goes.
pub(crate) fn migration_capabilities() -> serde_json::Value {
    json!({ "capabilities": [
        { "capability": "x-ignore-shared", "state": true },
        { "capability": "events", "state": true },
    ] })
}

/// A booted guest on disk. Clones of this value are cheap; while one lives, the template is not removed.
#[derive(Clone, Debug)]
pub struct Template {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    qemu: Qemu,
    spec: Spec,
    limits: Limits,
    dir: PathBuf,
    meta: Meta,
    device: Arc<[u8]>,
    replaced: Option<&'static str>,
    _lock: Lock,
}

impl Template {
    /// Starts a guest that goes on where the template stopped. Its clock is set and its random pool gets
    /// a seed from the host; everything else is as in every other clone.
    ///
    /// # Errors
    /// [`BootError`] if it does not answer.
    pub fn clone_vm(&self, spawner: &Spawner) -> Result<Vm, BootError> {
        let Shared { qemu, spec, limits, dir, meta, device, .. } = &*self.shared;
        let memory = dir.join("memory");
        Vm::restore(qemu, spec, &memory, device, &meta.hello, spawner, limits)
    }

    /// Who the agent is.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.shared.meta.hello
    }

    /// How long the template took from QEMU's start to the agent's greeting, in wall time.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        Duration::from_millis(self.shared.meta.boot_millis)
    }

    /// Why the one that lay in the cache was not used, if it was damaged.
    #[must_use]
    pub fn replaces_damaged(&self) -> Option<&'static str> {
        self.shared.replaced
    }

    /// What the console showed while the template booted: `kind: title`, one each.
    #[must_use]
    pub fn boot_findings(&self) -> &[String] {
        &self.shared.meta.findings
    }

    /// The directory with its files; `console.txt` there is the boot's console.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// What was booted.
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
    fn all_that_shapes_a_guest_is_in_its_name_and_the_places_of_files_are_not() {
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
            name(&Spec { append: vec!["quiet".into()], ..spec.clone() }, "key", "QEMU 7.2"),
        ];
        assert!(others.iter().all(|other| *other != base), "{base} {others:?}");
    }

    #[test]
    fn opening_the_directory_sweeps_what_a_killed_run_was_making() {
        let dir = tempfile::tempdir().unwrap();
        let dead = dir.path().join(WORK).join("run-dead");
        std::fs::create_dir_all(dead.join("new")).unwrap();
        std::fs::write(dead.join("new/memory"), "x").unwrap();
        Templates::open(dir.path()).unwrap();
        assert!(!dead.exists());
    }
}
