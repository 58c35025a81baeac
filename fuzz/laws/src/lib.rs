//! The bodies of the fuzz targets. Each is a function of the fuzzer's bytes that panics when a promise is broken. The
//! targets in `fuzz/` call them, and `tests/replay.rs` runs them on `fuzz/seeds` and `fuzz/regressions`, so that a stable
//! toolchain replays all known inputs. docs/guide/fuzzing.md lists the promises.
//!
//! Each body is in the file of its target's name, except two:
//!
//! ```text
//!   names   module_name: names, aliases, patterns, and the name and path of a request
//!   deps    modules_dep: modules.dep as text and as an index, and the plans for its modules
//! ```

mod arguments;
mod cmdline;
mod decompress;
mod depmod_cache;
mod depmod_d;
mod depmod_tree;
mod deps;
mod elf;
mod file;
mod index;
mod kernel_reason;
mod modinfo;
mod modprobe_d;
mod modprobe_options;
mod module_lists;
mod names;
mod pattern;
mod proc_modules;
mod protocol;
mod request;
mod resolve;
mod signature;
mod symbols;
mod sys;

pub use arguments::arguments;
pub use cmdline::cmdline;
pub use decompress::decompress;
pub use depmod_cache::depmod_cache;
pub use depmod_d::depmod_d;
pub use depmod_tree::depmod_tree;
pub use deps::modules_dep;
pub use index::index;
pub use kernel_reason::kernel_reason;
pub use modinfo::modinfo;
pub use modprobe_d::modprobe_d;
pub use modprobe_options::modprobe_options;
pub use module_lists::module_lists;
pub use names::module_name;
pub use proc_modules::proc_modules;
pub use protocol::protocol;
pub use request::request;
pub use resolve::resolve;
pub use signature::signature;
pub use symbols::symbols;

/// The body of a target.
pub type Body = fn(&[u8]);

/// All targets, by their names in `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, Body)] = &[
    ("arguments", arguments),
    ("cmdline", cmdline),
    ("decompress", decompress),
    ("depmod_cache", depmod_cache),
    ("depmod_d", depmod_d),
    ("depmod_tree", depmod_tree),
    ("index", index),
    ("kernel_reason", kernel_reason),
    ("modinfo", modinfo),
    ("modprobe_d", modprobe_d),
    ("modprobe_options", modprobe_options),
    ("module_lists", module_lists),
    ("module_name", module_name),
    ("modules_dep", modules_dep),
    ("proc_modules", proc_modules),
    ("protocol", protocol),
    ("request", request),
    ("resolve", resolve),
    ("signature", signature),
    ("symbols", symbols),
];
