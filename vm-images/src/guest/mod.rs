//! The files of a guest: modules with their index, and the initramfs.

pub mod initramfs;
pub mod modules;
