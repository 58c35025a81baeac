//! Tests whether KVM works. In nested clouds `/dev/kvm` often opens and answers ioctls, but cannot run a guest:
//! QEMU aborts on an assertion, or the guest hangs after the firmware. The probe therefore boots the guest in
//! question with a deadline, once per boot of the host.

use crate::error::{BootError, HarnessError, error_chain};
use crate::rundir::private_dir;
use crate::spec::{Accel, Spec};
use crate::vm::{WallLimits, boot_cold};
use crate::{Qemu, Spawner};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// With KVM a guest boots in a second or two. A guest that needs longer than this hangs.
const LIMIT: Duration = Duration::from_secs(15);

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kvm {
    /// A guest booted.
    Works,
    /// No guest booted; the reason.
    Broken(String),
}

/// A result in the cache.
#[derive(Serialize, Deserialize)]
struct CachedProbe {
    host_boot_id: String,
    qemu: String,
    kvm: Kvm,
}

/// Finds out whether KVM runs guests on this host by booting `spec` (its accelerator is ignored). The result is
/// cached in `cache_dir` until the host reboots or QEMU changes.
///
/// # Errors
/// [`HarnessError`] if the probe could not run: QEMU or a file cannot be used, or the program is ending.
pub fn probe(qemu: &Qemu, spec: &Spec, spawner: &Spawner, cache_dir: &Path) -> Result<Kvm, HarnessError> {
    let device = Path::new("/dev/kvm");
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(device) {
        return Ok(Kvm::Broken(format!("cannot open {}: {}", device.display(), error_chain(&error))));
    }
    let boot_id = Path::new("/proc/sys/kernel/random/boot_id");
    let host_boot_id = std::fs::read_to_string(boot_id).map_err(HarnessError::io("read", boot_id))?;
    let path = cache_dir.join("kvm.json");
    let cached = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<CachedProbe>(&text).ok());
    if let Some(cached) = cached.filter(|cached| cached.host_boot_id == host_boot_id && cached.qemu == qemu.banner) {
        return Ok(cached.kvm);
    }
    let spec = Spec { accel: Accel::Kvm, ..spec.clone() };
    let kvm = match boot_cold(qemu, &spec, spawner, &WallLimits { boot: LIMIT, ..WallLimits::default() }) {
        Ok(vm) => match vm.shutdown() {
            ending if ending.planned => Kvm::Works,
            ending => Kvm::Broken(format!("a guest booted, but did not shut down as requested: {ending}")),
        },
        Err(_) if spawner.is_closed() => return Err(HarnessError::Interrupted),
        Err(BootError::Dead(death)) => {
            let last = death.stderr.last().map(|line| format!(": {line}")).unwrap_or_default();
            Kvm::Broken(format!("a guest ended before its agent answered: {}{last}", death.ending))
        }
        Err(BootError::Timeout { limit, .. }) => {
            Kvm::Broken(format!("/dev/kvm opens, but a guest did not boot within {} s", limit.as_secs()))
        }
        Err(BootError::Harness(error)) => return Err(error),
        Err(error @ (BootError::Version { .. } | BootError::Protocol(_))) => Kvm::Broken(error.to_string()),
    };
    private_dir(cache_dir)?;
    let cached = CachedProbe { host_boot_id, qemu: qemu.banner.clone(), kvm };
    let written = tempfile::NamedTempFile::new_in(cache_dir).and_then(|mut file| {
        file.write_all(&serde_json::to_vec_pretty(&cached)?)?;
        file.persist(&path).map_err(|error| error.error)
    });
    written.map_err(HarnessError::io("write", &path))?;
    Ok(cached.kvm)
}
