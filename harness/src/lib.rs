//! Boots a guest in QEMU, owns QEMU's life, and talks to the agent in the guest.
//!
//! It knows nothing of modules: callers give a kernel and an initramfs whose `/init` is the agent,
//! and get a [`Vm`] that answers [`agent::proto::Request`]s. Every wait has a limit, a guest that dies
//! says how and with which last words, and no QEMU outlives the program, however that ends.
//!
//! ```text
//!   machine    facts of the one machine we boot: its device model, its ports, its clock
//!   spec       Spec -> QEMU's argv; pure
//!   qemu       finds QEMU and asks for its version
//!   accel      is KVM here, really? asked by booting a guest under a deadline
//!   spawn      the thread that starts every QEMU and lives as long as the program
//!   pump       one thread a guest: drains console, agent port, QMP and stderr
//!     console    what the guest printed, bounded
//!     monitor    console lines -> findings (panic, oops, KASAN, lockdep, hung task, ...); pure
//!   qmp        QEMU's control port: stop, migrate, cont, why it ended
//!   instance   one QEMU process with its ports
//!   vm         a running guest: call, findings, shutdown
//!   ending     how a guest ended, and what a dead one leaves as evidence
//!   template   a booted guest kept on disk by content; clones of it start in milliseconds
//!   rundir     a locked temporary directory; what dead runs left is swept
//!   lock       files locked with flock(2)
//!   error      what can go wrong
//! ```
//!
//! What a caller writes (`examples/boot.rs` is the whole program):
//!
//! ```no_run
//! use agent::proto::{Reply, Request};
//! use harness::{Limits, Qemu, Spawner, Spec, Templates};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let qemu = Qemu::find(None)?;
//! let spawner = Spawner::start()?;
//! let spec = Spec::new("bzImage", "initramfs.cpio");
//! let templates = Templates::open("/var/tmp/templates")?;
//! let template = templates.get(&qemu, &spec, "ids of kernel and initramfs", &spawner, &Limits::default())?;
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
pub use error::{BootError, HarnessError, VmError};
pub use monitor::{Finding, Kind};
pub use qemu::{Qemu, Version};
pub use rundir::RunDir;
pub use spawn::Spawner;
pub use spec::{Accel, Channels, Profile, Role, Spec, qemu_args};
pub use template::{Stored, Template, Templates, Verified};
pub use vm::{Hello, Limits, Vm, boot_cold};
