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
//! loaded are removed, processes that it left are killed, and files, mounts, the path of modprobe and the working directory
//! of PID 1 are reset. If that fails, the remaining behaviours are skipped with the reason. A separate bundle can check them.

mod baseline;
mod connection;
pub mod lava;
pub mod output;
pub mod runner;

use crate::check::probes::Probes;
use serde::{Deserialize, Serialize};

/// Behaviours that may break the machine even if they pass, or that change it for good. They are checked last, in this order.
pub const LAST: [&str; 4] = ["env.capabilities", "unload.rmmod-forced", "path.unshared-root", "path.modules-disabled"];
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
