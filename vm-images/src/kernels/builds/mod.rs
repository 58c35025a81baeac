//! Builds kernels with make, in the cache.
//!
//! ```text
//!   package   source package + configs/FRAGMENT -> Kernel
//!   tree      the user's source tree + fragments -> a built tree
//!   revision  a revision of a git repository + fragments -> a built tree
//!   git       a git repository: revisions, and their files in another directory
//!   objects   builds a clean tree with its object files in the cache
//!   make      runs make in a kernel tree
//!   programs  the programs that a build needs
//!   error     why a kernel could not be built
//! ```

mod error;
mod git;
mod make;
mod objects;
mod package;
mod programs;
mod revision;
mod tree;

pub use error::BuildError;
pub use git::{GitError, Repository, Revision};
pub use make::MakeError;
pub use package::build;
pub use revision::{RevisionBuild, build_revision};
pub use tree::{TreeBuild, build_tree};
