//! Boots a guest in QEMU, manages QEMU's lifetime, and talks to the agent in the guest.
//!
//! This crate knows nothing about modules. The caller supplies a kernel and an initramfs whose `/init`
//! is the agent, and gets a [`Vm`] that answers [`agent::proto::Request`]s. Every wait has a limit. A
//! guest that dies reports how it ended and the last lines of its console. No QEMU outlives the program,
//! however the program ends.
//!
//! ```text
//!   machine    constants of the one supported machine: device model, ports, clock
//!   spec       Spec -> QEMU's argv; pure
//!   qemu       finds QEMU and reads its version
//!   accel      tests whether KVM works by booting a guest with a deadline
//!   spawn      the thread that starts every QEMU and lives as long as the program
//!   pump       one thread per guest: drains console, agent port, QMP and stderr
//!     console    the guest's output, bounded
//!     monitor    console lines -> findings (panic, oops, KASAN, lockdep, hung task, ...); pure
//!   qmp        QEMU's control port: stop, migrate, cont, shutdown reason
//!   instance   one QEMU process with its ports
//!   vm         a running guest: call, findings, shutdown
//!   ending     how a guest ended, and the evidence a dead guest leaves
//!   template   a booted guest kept on disk by content; its clones start in milliseconds
//!   rundir     a locked temporary directory; directories of dead runs are removed
//!   lock       files locked with flock(2)
//!   error      the error types
//! ```
//!
//! A caller looks like this (`examples/boot.rs` is a complete program):
//!
//! ```no_run
//! use agent::proto::{Reply, Request};
//! use harness::{BootPolicy, Machine, Qemu, Spawner, Spec, Templates, WallLimits};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let qemu = Qemu::find(None)?;
//! let spawner = Spawner::start()?;
//! let spec = Spec::new("bzImage", "initramfs.cpio");
//! let templates = Templates::open("/var/tmp/templates")?;
//! let machine = Machine { qemu: &qemu, spec: &spec, key: "ids of kernel and initramfs" };
//! let template = templates.get(&machine, &BootPolicy::default(), &spawner, &WallLimits::default())?;
//! let mut vm = template.clone_vm(&spawner)?;
//! if let Reply::Clock(time) = vm.call(&Request::Clock, Duration::from_secs(5))? {
//!     println!("{time:?}");
//! }
//! assert!(vm.shutdown().planned);
//! # Ok(())
//! # }
//! ```

pub mod accel;
mod console;
mod ending;
mod error;
mod instance;
mod lock;
pub mod machine;
pub mod monitor;
mod pump;
mod qemu;
mod qmp;
mod rundir;
mod spawn;
mod spec;
mod sys;
mod template;
mod vm;

pub use ending::{Death, Ending, Exit};
pub use error::{BootError, HarnessError, VmError, error_chain};
pub use monitor::{Finding, Kind};
pub use qemu::{Qemu, Version};
pub use rundir::RunDir;
pub use spawn::Spawner;
pub use spec::{Accel, Channels, Profile, Role, Spec, qemu_args};
pub use template::{BootPolicy, Machine, Stored, Template, Templates, Verified};
pub use vm::{Hello, Vm, WallLimits, boot_cold};
