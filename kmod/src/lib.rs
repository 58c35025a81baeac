//! Linux module tools as a library: what modprobe, depmod, insmod, rmmod, lsmod and modinfo read, decide and do.
//!
//! The core is pure: bytes in, values out. Effects stand at the edge, in `execute`, `depmod` and `commands`, and every
//! input is taken for hostile: nothing that is read from a file may panic, recurse or loop without bound.
//!
//! ```text
//!   name     module names and alias patterns: normalise, limit, match
//!   index    the .bin tries: one reader, one writer
//!   tree     a module directory, read lazily
//!   config   modprobe.d, depmod.d, the kernel command line
//!   object   a module file: compression, ELF, .modinfo, symbols, signature
//!   resolve  (tree, config, request) -> Plan, the ordered steps          pure
//!   execute  a Plan carried out through `trait Kernel`                   effects
//!   depmod   scan -> graph -> write                                      effects
//!   request  kmod's other half, seen from the kernel: helper path, limit, message
//!   log      stderr, syslog, /dev/kmsg
//!   commands one file a command: arguments, messages, exit codes
//! ```

pub mod cmdline;
pub mod commands;
pub mod config;
pub mod depmod;
pub mod execute;
mod file;
mod hash;
pub mod index;
pub mod log;
pub mod name;
pub mod object;
pub mod request;
pub mod resolve;
pub mod sys;
pub mod tree;
