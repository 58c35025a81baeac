//! Boots the guest of a template and saves it.

use super::hex::hex;
use super::memory::{copy_memory, new_memory};
use super::request::{BootPolicy, Machine};
use super::saved::{FORMAT, Meta};
use crate::error::{BootError, HarnessError};
use crate::monitor::Finding;
use crate::spawn::Spawner;
use crate::vm::{Vm, WallLimits};
use crate::{pump, qmp};
use rustix::event::PollFlags;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long stopping, saving and ending a booted guest may take.
pub(super) const SAVE: Duration = Duration::from_secs(60);
/// Maximum size of the device state; that of a PC takes 0.3 MiB.
const DEVICE_MAX: usize = 64 << 20;

/// The result of [`boot`].
pub(super) struct Booted {
    /// The findings of each discarded boot.
    pub discarded: Vec<Vec<Finding>>,
    /// Whether the saved boot is acceptable.
    pub accepted: bool,
}

/// Boots a guest and saves it in a new directory. Boots with findings that the policy does not accept are discarded,
/// except the last one.
pub(super) fn boot(
    dir: &Path,
    machine: &Machine<'_>,
    policy: &BootPolicy<'_>,
    spawner: &Spawner,
    limits: &WallLimits,
) -> Result<Booted, BootError> {
    let mut discarded = Vec::new();
    loop {
        let last = discarded.len() + 1 >= policy.boots as usize;
        let keep = |findings: &[Finding]| last || policy.accepts_all(findings);
        match boot_once(dir, machine, &keep, spawner, limits)? {
            Outcome::Saved(findings) => return Ok(Booted { accepted: policy.accepts_all(&findings), discarded }),
            Outcome::Discarded(findings) => {
                discarded.push(findings);
                std::fs::remove_dir_all(dir).map_err(HarnessError::io("remove", dir))?;
            }
        }
    }
}

/// The result of one boot, with its findings.
enum Outcome {
    Saved(Vec<Finding>),
    Discarded(Vec<Finding>),
}

/// Boots a guest and saves it in a new directory if `keep` accepts its findings.
fn boot_once(
    dir: &Path,
    machine: &Machine<'_>,
    keep: &dyn Fn(&[Finding]) -> bool,
    spawner: &Spawner,
    limits: &WallLimits,
) -> Result<Outcome, BootError> {
    let Machine { qemu, spec, key } = *machine;
    std::fs::create_dir(dir).map_err(HarnessError::io("create", dir))?;
    let started = Instant::now();
    let memory = new_memory(spec.mem_mib).map_err(HarnessError::system("create a memfd for the guest's memory"))?;
    let theirs = memory.try_clone().map_err(HarnessError::system("duplicate a descriptor"))?;
    let vm = Vm::boot(qemu, spec, Some(theirs.into()), spawner, limits)?;
    let boot_millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut vm = vm.settled()?;
    let findings = vm.findings();
    if !keep(&findings) {
        vm.kill();
        return Ok(Outcome::Discarded(findings));
    }
    let hello = vm.hello().clone();
    let deadline = Instant::now() + SAVE;
    let device = save(vm.qmp(), deadline)?;
    let _ = vm.qmp().send("quit", serde_json::Value::Null, deadline)?; // QEMU may exit before it answers
    let (console, findings) = (vm.console(), vm.findings());
    if !keep(&findings) {
        return Ok(Outcome::Discarded(findings));
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        let written =
            File::create_new(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()));
        written.map_err(HarnessError::io("write", &path))
    };
    write("device", &device)?;
    write("console.txt", &console)?;
    // The files must be on the disk before the rename: after a power cut nothing would show that they are not.
    let path = dir.join("memory");
    let saved = File::create_new(&path).and_then(|file| {
        let memory_sha256 = copy_memory(&memory, &file)?;
        file.sync_data()?;
        Ok((memory_sha256, file.metadata()?))
    });
    let (memory_sha256, memory) = saved.map_err(HarnessError::io("write", &path))?;
    vm.end(deadline);
    let meta = Meta {
        format: FORMAT,
        key: key.to_owned(),
        qemu: qemu.banner.clone(),
        arguments: machine.key_arguments(),
        hello,
        boot_millis,
        findings: findings.clone(),
        device_sha256: hex(&Sha256::digest(&device)),
        memory_len: memory.len(),
        memory_mtime: (memory.mtime(), memory.mtime_nsec()),
        memory_sha256,
    };
    let text = serde_json::to_vec_pretty(&meta)
        .map_err(|error| HarnessError::System { action: "write a template's description", source: error.into() })?;
    write("meta.json", &text)?;
    Ok(Outcome::Saved(findings))
}

/// Stops the guest and reads its device state. A running guest would make memory and devices inconsistent.
fn save(qemu: &mut qmp::Qmp, deadline: Instant) -> Result<Vec<u8>, HarnessError> {
    qemu.call("stop", serde_json::Value::Null, deadline)?;
    qemu.call("migrate-set-capabilities", qmp::migration_capabilities(), deadline)?;
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
            let reason = format!("the device state is larger than {} MiB", DEVICE_MAX >> 20);
            return Err(HarnessError::Qmp { command: "migrate".to_owned(), reason });
        }
    }
    let status = qemu.event(deadline, |event| {
        qmp::migration_status(event).filter(|status| matches!(status.as_str(), "completed" | "failed"))
    });
    match status.as_deref() {
        Some("completed") => Ok(state),
        other => Err(HarnessError::Qmp {
            command: "migrate".to_owned(),
            reason: format!("migration status: {}", other.unwrap_or("none within the limit")),
        }),
    }
}
