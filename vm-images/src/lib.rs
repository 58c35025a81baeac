//! The parts of a guest: finds, fetches or builds kernels, gathers the module tools under test, and writes
//! the initramfs. This crate starts no guest and knows nothing about behaviours.
//!
//! ```text
//!   catalogue   kernels.toml, subjects.toml, kernels.lock: names, aliases, origins
//!   sources     the Debian archive in the machine's apt configuration                pure
//!   apt         a separate apt root: indexes, downloads; the host's stay untouched
//!   packages    package indexes: versions, dependencies, the parts of a kernel       pure
//!   obtain      selects, downloads and unpacks packages, and records them
//!   fetch       name -> Kernel
//!   build       source package + configs/FRAGMENT -> Kernel
//!   build_tree  source tree + fragments -> a built tree
//!   make        runs make in a kernel tree
//!   fragments   fragments of kernel configurations                                   pure
//!   kernel      a bootable kernel: image, release, module directory
//!   tree        a built kernel tree -> Kernel
//!   bzimage     the x86 boot header and the payload after it                         pure
//!   facts       strings and configuration found in a kernel image
//!   vmlinux     the unpacked kernel of an image
//!   modules     the selected modules, their dependencies, and an index by our depmod
//!   subject     the tools under test, with their libraries
//!   elf         the interpreter and libraries that a program needs                   pure
//!   initramfs   a deterministic newc archive
//!   child       child processes that end with the run
//!   contents    the contents of the cache: sizes, last uses, checks, removal
//!   cache       one directory that is safe to share between runs
//! ```
//!
//! Nothing here prints; [`Options::progress`] reports what is going on. An error that has a cause exposes it as
//! [`source`](std::error::Error::source) and leaves it out of its own text.

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

/// Formats an error with its causes, for tests.
#[cfg(test)]
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    let text = error.to_string();
    let text = text.rsplit_once(" (os ").map_or(&text[..], |(text, _)| text);
    text.to_owned() + &cause.unwrap_or_default()
}

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
