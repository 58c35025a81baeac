//! What a guest is made of: finds, fetches or builds kernels, gathers the module tools under test, and writes
//! the initramfs. This crate starts no guest and knows nothing of behaviours.
//!
//! ```text
//!   catalogue   kernels.toml and subjects.toml: names, aliases, where each comes from
//!   lock        kernels.lock: the versions and SHA-256 sums that were recorded
//!   apt         an apt root of our own: sources, indexes, downloads; the host's lists stay untouched
//!   packages    the index read: versions, dependencies, which parts make a kernel
//!   fetch       name -> Kernel, by way of the cache
//!   build       source package + configs/FRAGMENT -> Kernel
//!   kernel      a bootable kernel: image, release, module directory, facts
//!   bzimage     the x86 boot header and the payload behind it
//!   modules     a module directory with the named modules, their dependencies and an index made by our depmod
//!   subject     the tools under test, with their libraries
//!   elf         what an ELF program needs, by its headers
//!   initramfs   a deterministic newc archive
//!   cache       one directory that is safe to share between runs
//! ```
//!
//! Nothing here prints: what is going on is told through [`Options::progress`].

pub mod build;
pub mod bzimage;
pub mod cache;
pub mod catalogue;
pub mod fetch;
pub mod initramfs;
pub mod kernel;
pub mod modules;
pub mod options;
pub mod subject;

pub use build::{BuildError, build};
pub use cache::{Cache, CacheError};
pub use catalogue::{Catalogue, CatalogueError};
pub use fetch::{FetchError, fetch};
pub use kernel::{ImageFacts, Kernel, KernelError, KernelRelease, PackageFile, PackageVersion};
pub use options::{Options, Progress};
pub use subject::{GuestFile, Source, Subject, SubjectError};
