//! A machine that checks itself: a kernel and an initramfs, for QEMU or a board without a host side.
//!
//! The initramfs holds what a lab's has, and beside it a program that stands in for the host: the agent starts it and serves
//! it over a socket. It carries out the same checks, one after the other, and tells their verdicts on the console.
//!
//! ```text
//!   Manifest   what is to be checked, and what cannot be: decided when the bundle is made
//!   inside     the program in the guest: checks, judges, goes on
//!   line       its line to the agent
//!   tidy       puts the guest back as it was, between two behaviours
//!   told       KTAP and LAVA's signals, a line at a time                                  pure
//!   lava       a job for LAVA                                                             pure
//! ```
//!
//! **Isolation is given up in part.** All behaviours run in one boot. After each the guest is put back: modules that it
//! loaded are unloaded, files, mounts, the path and PID 1's directory are as before, and processes that it left are ended.
//! Where that does not succeed, the rest is skipped and says so: another boot with another selection has them.

mod baseline;
mod connection;
pub mod lava;
pub mod output;
pub mod runner;

use crate::era::Eras;
use serde::{Deserialize, Serialize};

/// What may break the machine for those after it, even if it passes: it is checked last.
pub const LAST: [&str; 1] = ["unload.rmmod-forced"];
/// Where the program lies in the guest.
pub const PROGRAM: &str = "/bin/kmodlab-self";
/// Where the manifest lies in the guest.
pub const MANIFEST: &str = "/bin/kmodlab-self.json";
/// The last line on the console.
pub const END: &str = "kmodlab: the machine has checked itself";

/// What a bundle checks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// What the user called the kernel.
    pub kernel: String,
    /// `uname -r`.
    pub release: String,
    /// The kernel's eras.
    pub eras: Eras,
    /// The subject.
    pub subject: String,
    /// Its commands.
    pub commands: Vec<String>,
    /// The behaviours in their order.
    pub entries: Vec<Entry>,
}

/// One behaviour of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// The need that kernel or subject do not meet.
    pub unmet: Option<String>,
}
