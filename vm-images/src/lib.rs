//! The parts of a guest: finds, fetches or builds kernels, gathers the module tools under test, and writes
//! the initramfs. This crate starts no guest and knows nothing about behaviours.
//!
//! ```text
//!   catalogue   kernels.toml, subjects.toml, kernels.lock: names, aliases, origins
//!   packages    Debian packages: selected, downloaded by apt, unpacked
//!   kernels     a bootable kernel: fetched, built or given; its strings and configuration
//!   subjects    the tools under test, with their libraries
//!   guest       the modules of a guest with an index by our depmod; the initramfs
//!   cache       one directory that is safe to share between runs
//!   contents    the contents of the cache: sizes, last uses, checks, removal
//!   options     options for fetching and building; progress reports
//!   child       child processes that end with the run
//! ```
//!
//! Nothing here prints; [`Options::progress`] reports what is going on. An error that has a cause exposes it as
//! [`source`](std::error::Error::source) and leaves it out of its own text.

pub mod cache;
pub mod catalogue;
pub mod child;
pub mod contents;
pub mod guest;
pub mod kernels;
pub mod options;
mod packages;
pub mod subjects;

/// Formats an error with its causes, for tests.
#[cfg(test)]
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    let text = error.to_string();
    let text = text.rsplit_once(" (os ").map_or(&text[..], |(text, _)| text);
    text.to_owned() + &cause.unwrap_or_default()
}

pub use cache::{Cache, CacheError};
pub use catalogue::{Catalogue, CatalogueError};
pub use contents::Entry;
pub use guest::{initramfs, modules};
pub use kernels::builds::{
    BuildError, GitError, MakeError, Repository, Revision, RevisionBuild, TreeBuild, build, build_revision, build_tree,
};
pub use kernels::facts::ImageFacts;
pub use kernels::fetch::{FetchError, fetch};
pub use kernels::fragments;
pub use kernels::kernel::{Kernel, KernelError};
pub use kernels::live_patch;
pub use kernels::live_patch::{AtLimit, LivePatch, LivePatchError, LivePatchOptions, OptionsError};
pub use kernels::release::KernelRelease;
pub use kernels::store::StoreError;
pub use kernels::tree::{BuiltTree, TreeError};
pub use options::{Options, Progress};
pub use packages::apt::AptError;
pub use packages::record::{PackageFile, PackageVersion};
pub use subjects as subject;
pub use subjects::{GuestFile, Source, Subject, SubjectError};
