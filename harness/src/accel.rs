//! Is KVM here, really? In nested clouds `/dev/kvm` often opens, answers, and then cannot run a guest: QEMU
//! asserts, or the guest hangs behind the firmware. So it is asked by booting the very guest that is wanted,
//! under a deadline, once for each boot of the host.

use crate::error::{BootError, HarnessError};
use crate::rundir::private_dir;
use crate::spec::{Accel, Spec};
use crate::vm::{Limits, boot_cold};
use crate::{Qemu, Spawner};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// With KVM a guest is up in a second or two; one that is not up by then will not come.
const LIMIT: Duration = Duration::from_secs(15);

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kvm {
    /// A guest came up.
    Works,
    /// None did; why, in a sentence.
    Broken(String),
}

/// A result as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    host_boot_id: String,
    qemu: String,
    kvm: Kvm,
}

/// Finds out whether KVM runs guests on this host, with `spec` as the guest to boot (its accelerator does not
/// matter). The answer is kept in `cache_dir` until the host or QEMU is another one.
///
/// # Errors
/// [`HarnessError`] if nothing could be found out: QEMU or a file cannot be used, or the program is ending.
pub fn probe(qemu: &Qemu, spec: &Spec, spawner: &Spawner, cache_dir: &Path) -> Result<Kvm, HarnessError> {
    let device = Path::new("/dev/kvm");
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(device) {
        return Ok(Kvm::Broken(format!("{} cannot be opened: {error}", device.display())));
    }
    let boot_id = Path::new("/proc/sys/kernel/random/boot_id");
    let host_boot_id = std::fs::read_to_string(boot_id).map_err(HarnessError::io("read", boot_id))?;
    let path = cache_dir.join("kvm.json");
    let kept = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
    if let Some(kept) = kept.filter(|kept| kept.host_boot_id == host_boot_id && kept.qemu == qemu.banner) {
        return Ok(kept.kvm);
    }
    let spec = Spec { accel: Accel::Kvm, ..spec.clone() };
    let kvm = match boot_cold(qemu, &spec, spawner, &Limits { boot: LIMIT, ..Limits::default() }) {
        Ok(vm) => match vm.shutdown() {
            ending if ending.planned => Kvm::Works,
            ending => Kvm::Broken(format!("a guest came up, and when it was asked to end: {ending}")),
        },
        Err(_) if spawner.is_closed() => return Err(HarnessError::Interrupted),
        Err(BootError::Dead(death)) => {
            let words = death.stderr.last().map(|line| format!(": {line}")).unwrap_or_default();
            Kvm::Broken(format!("a guest ended before its agent answered: {}{words}", death.ending))
        }
        Err(BootError::Timeout { limit, .. }) => {
            Kvm::Broken(format!("/dev/kvm opens, but a guest did not come up within {} s", limit.as_secs()))
        }
        Err(BootError::Harness(error)) => return Err(error),
        Err(error @ (BootError::Version { .. } | BootError::Protocol(_))) => Kvm::Broken(error.to_string()),
    };
    private_dir(cache_dir)?;
    let kept = Kept { host_boot_id, qemu: qemu.banner.clone(), kvm };
    let written = tempfile::NamedTempFile::new_in(cache_dir).and_then(|mut file| {
        file.write_all(&serde_json::to_vec_pretty(&kept)?)?;
        file.persist(&path).map_err(|error| error.error)
    });
    written.map_err(HarnessError::io("write", &path))?;
    Ok(kept.kvm)
}
