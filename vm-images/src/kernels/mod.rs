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
//!   fragments   fragments of kernel configurations                                   pure
//!   live_patch  request_module() in Rust for a kernel, and whether the kernel accepts it
//!   store       the records of kernels in the cache
//!   fetch       name -> Kernel
//!   builds      source package + configs/FRAGMENT -> Kernel; source tree + fragments -> a built tree
//! ```

pub mod builds;
pub mod bzimage;
mod decompress;
pub mod facts;
pub mod fetch;
pub mod fragments;
pub mod kernel;
pub mod live_patch;
pub mod release;
pub mod store;
pub mod tree;
mod vmlinux;
