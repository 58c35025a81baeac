//! Kernels: fetched, built or given by the user, and what their files say about them.
//!
//! ```text
//!   kernel      a bootable kernel: image, release, module directory
//!   release     the release of a kernel                                              pure
//!   bzimage     the x86 boot header and the payload after it                         pure
//!   decompress  the payload, in each of its formats                                  pure
//!   facts       strings and configuration found in a kernel image
//!   vmlinux     the unpacked kernel of an image
//!   tree        a built kernel tree -> Kernel
//!   fetch       name -> Kernel
//!   build       source package + configs/FRAGMENT -> Kernel; source tree + fragments -> a built tree
//! ```

pub mod build;
pub mod bzimage;
mod decompress;
pub mod facts;
pub mod fetch;
pub mod kernel;
pub mod release;
pub mod tree;
mod vmlinux;
