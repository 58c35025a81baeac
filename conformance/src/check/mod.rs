//! What checks are made of: the lab with its guest, the facts that a check records, and helpers for frequent steps.

pub mod capability;
pub mod errno;
pub mod fact;
pub mod helper;
pub mod lab;
pub mod module_file;
pub mod modules;
pub mod netlink;
pub mod probes;
pub mod running;
pub mod settings;
pub mod tools;
pub mod traits;
pub mod trigger;
pub mod xz;
