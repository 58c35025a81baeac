//! A run: prepares each kernel with each subject, runs the checks in their own guests, judges them and emits events.

pub mod allowed_findings;
pub mod engine;
pub mod event;
pub mod gate;
pub mod initramfs;
pub mod judge;
pub mod machines;
pub mod needs;
pub mod pair;
pub mod qemu;
pub mod request;
pub mod rows;
pub mod shard;
pub mod verdict;
mod vm;
