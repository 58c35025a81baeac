//! Kernels: fetched, built or given by the user, and what their files say about them.
//!
//! ```text
//!   kernel      a bootable kernel: image, release, module directory
//!   bzimage     the x86 boot header and the payload after it                         pure
//!   facts       strings and configuration found in a kernel image
//!   vmlinux     the unpacked kernel of an image
//!   tree        a built kernel tree -> Kernel
//!   fetch       name -> Kernel
//!   build       source package + configs/FRAGMENT -> Kernel; source tree + fragments -> a built tree
//! ```

pub mod build;
pub mod bzimage;
pub mod facts;
pub mod fetch;
pub mod kernel;
pub mod tree;
mod vmlinux;
