//! Builds kernels with make, in the cache.
//!
//! ```text
//!   package   source package + configs/FRAGMENT -> Kernel
//!   tree      the user's source tree + fragments -> a built tree
//!   make      runs make in a kernel tree
//!   programs  the programs that a build needs
//!   error     why a kernel could not be built
//! ```

mod error;
mod make;
mod package;
mod programs;
pub(crate) mod tree;

pub use error::BuildError;
pub use make::MakeError;
pub use package::build;
pub use tree::{TreeBuild, build_tree};
