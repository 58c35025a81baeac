//! What a guest is made of: finds, fetches or builds kernels, gathers the module tools under test, and writes
//! the initramfs. This crate starts no guest and knows nothing of behaviours.
//!
//! ```text
//!   catalogue   kernels.toml, subjects.toml, kernels.lock: names, aliases, where each comes from
//!   sources     which Debian archive the machine's own apt configuration names       pure
//!   apt         an apt root of our own: indexes, downloads; the host's stay untouched
//!   packages    an index read: versions, dependencies, which parts make a kernel     pure
//!   obtain      packages chosen, downloaded, unpacked, remembered
//!   fetch       name -> Kernel
//!   build       source package + configs/FRAGMENT -> Kernel
//!   build_tree  a source tree + fragments -> a built tree; make, fragments are their tools
//!   kernel      a bootable kernel: image, release, module directory
//!   tree        a kernel tree as make left it -> Kernel
//!   bzimage     the x86 boot header and the payload behind it                        pure
//!   facts       what an image says about itself: strings, configuration
//!   vmlinux     the kernel that an image unpacks itself to
//!   modules     the named modules, their dependencies and an index made by our depmod
//!   subject     the tools under test, with their libraries
//!   elf         what a program needs, by its ELF headers                             pure
//!   initramfs   a deterministic newc archive
//!   child       programs that fetch and build, ended with the run
//!   contents    what lies in the cache: sizes, last uses, checks, removal
//!   cache       one directory that is safe to share between runs
//! ```
//!
//! Nothing here prints: what is going on is told through [`Options::progress`].

mod apt;
pub mod build;
pub mod build_tree;
pub mod bzimage;
pub mod cache;
pub mod catalogue;
pub mod child;
pub mod contents;
mod elf;
pub mod facts;
pub mod fetch;
pub mod fragments;
pub mod initramfs;
pub mod kernel;
pub mod lock;
mod make;
pub mod modules;
mod obtain;
pub mod options;
mod packages;
mod sources;
pub mod subject;
pub mod tree;
mod version;
mod vmlinux;

pub use apt::AptError;
pub use build::{BuildError, build};
pub use build_tree::{TreeBuild, build_tree};
pub use cache::{Cache, CacheError};
pub use catalogue::{Catalogue, CatalogueError};
pub use contents::Entry;
pub use facts::ImageFacts;
pub use fetch::{FetchError, fetch};
pub use kernel::{Kernel, KernelError, KernelRelease, PackageFile, PackageVersion};
pub use options::{Options, Progress};
pub use subject::{GuestFile, Source, Subject, SubjectError};
pub use tree::{BuiltTree, TreeError};
