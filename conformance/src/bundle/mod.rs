//! A machine that checks itself: a kernel and an initramfs for QEMU or a board, without a host.
//!
//! The initramfs contains what the initramfs of a lab contains, and a program that replaces the host. The agent starts this
//! program and serves it over a socket. It runs the same checks, one after the other, and prints their verdicts on the
//! console.
//!
//! ```text
//!   Manifest     the behaviours, and the needs that are not met: decided when the bundle is written
//!   runner       the program in the guest: runs the checks, prints the verdicts
//!   connection   its socket to the agent
//!   baseline     restores the guest between two behaviours
//!   output       KTAP and LAVA's signals, line by line                                        pure
//!   lava         a job for LAVA                                                               pure
//! ```
//!
//! **Behaviours are not fully isolated.** All of them run in one boot. After each, the guest is restored: modules that it
//! loaded are removed, processes that it left are killed, and files, mounts, the path of modprobe, other settings of the
//! kernel, and the root directory, the working directory and the umask of PID 1 are reset. If that fails, the remaining
//! behaviours are skipped with the reason. A separate bundle can check them.

mod baseline;
mod connection;
pub mod lava;
pub mod output;
pub mod runner;

use crate::check::probes::Probes;
use serde::{Deserialize, Serialize};

/// The behaviour that is checked first: it counts messages, whose number the kernel limits for all behaviours together.
const FIRST: &str = "loop.rate-limit";
/// Behaviours that are checked last, in this order, because they change the machine in a way that cannot be undone, or may
/// break it even if they pass.
const LAST: [&str; 11] = [
    // The next message is preceded by the number of those that were suppressed, which other behaviours do not expect.
    "loop.parallel",
    "loop.short-waits",
    "loop.long-waits",
    "env.capabilities",
    "env.capability-writers",
    "env.no-module-capability",
    "error.lockdown",
    // It makes the kernel require signatures.
    "error.signature",
    "path.modules-disabled",
    "path.unshared-root",
    "unload.rmmod-forced",
];
/// Behaviours that need helpers with all capabilities, and reduce them. Only the first one can be checked.
const FULL_CAPABILITIES: [&str; 3] = ["env.capabilities", "env.capability-writers", "env.no-module-capability"];
/// Behaviours that expect their unsigned module to be the first that taints the kernel.
const FIRST_TAINT: [&str; 2] = ["error.signature", "error.signature-trailer"];
/// A behaviour that cannot be checked after `path.modules-disabled`.
const LOADS_AT_THE_END: &str = "unload.rmmod-forced";

/// Returns the key by which behaviours are sorted.
#[must_use]
pub fn place(id: &str) -> usize {
    let last = LAST.iter().position(|last| *last == id);
    last.map_or(usize::from(id != FIRST), |at| at + 2)
}

/// The path of the program in the guest.
pub const PROGRAM: &str = "/bin/kmodlab-self";
/// The path of the manifest in the guest.
pub const MANIFEST: &str = "/bin/kmodlab-self.json";
/// The last line on the console.
pub const END: &str = "kmodlab: the machine has checked itself";

/// The contents of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The name of the kernel.
    pub kernel: String,
    /// `uname -r`.
    pub release: String,
    /// The values of the probes on the kernel.
    pub probes: Probes,
    /// The name of the subject.
    pub subject: String,
    /// The commands of the subject.
    pub commands: Vec<String>,
    /// The traits of the subject; absent if the subject is not in the catalogue. The machine then determines them.
    pub traits: Option<Vec<String>>,
    /// The behaviours in order.
    pub entries: Vec<Entry>,
}

/// A behaviour in a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The id of the behaviour.
    pub id: String,
    /// The need that the kernel or the subject does not meet.
    pub unmet: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::select::select;

    #[test]
    fn behaviours_that_cannot_be_undone_are_sorted_to_the_end() {
        let mut ids: Vec<&str> = select(&[]).unwrap().iter().map(|behaviour| behaviour.id).collect();
        ids.sort_by_key(|id| place(id));
        assert_eq!(ids[0], FIRST);
        assert_eq!(ids[ids.len() - LAST.len()..], LAST);
        assert!(FULL_CAPABILITIES.iter().chain([&LOADS_AT_THE_END]).all(|id| LAST.contains(id)));
        assert!(FIRST_TAINT.iter().all(|id| ids.contains(id)));
    }
}
