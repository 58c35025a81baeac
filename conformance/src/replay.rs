//! Bodies of the fuzz targets that need no guest. Each takes the fuzzer's bytes and panics when a promise is broken;
//! the targets in `fuzz/` call them, and plain tests run them over `fuzz/seeds` and `fuzz/regressions`, so that a
//! stable toolchain replays every input that ever mattered.
//!
//! ```text
//!   names   module_name: names, aliases, patterns, and what the kernel makes of a name
//!   deps    modules_dep: modules.dep as text and as index, and the plans that follow from it
//! ```
//!
//! Every other body is in the file of its target's name.

mod arguments;
mod cmdline;
mod decompress;
mod depmod_cache;
mod depmod_d;
mod deps;
mod elf;
mod file;
mod filter;
mod index;
mod kernel_reason;
mod modinfo;
mod modprobe_d;
mod modprobe_options;
mod module_lists;
mod names;
mod proc_modules;
mod resolve;
mod signature;
mod symbols;

pub use arguments::arguments;
pub use cmdline::cmdline;
pub use decompress::decompress;
pub use depmod_cache::depmod_cache;
pub use depmod_d::depmod_d;
pub use deps::modules_dep;
pub use filter::filter;
pub use index::index;
pub use kernel_reason::kernel_reason;
pub use modinfo::modinfo;
pub use modprobe_d::modprobe_d;
pub use modprobe_options::modprobe_options;
pub use module_lists::module_lists;
pub use names::module_name;
pub use proc_modules::proc_modules;
pub use resolve::resolve;
pub use signature::signature;
pub use symbols::symbols;

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target that has its body here, by its name in `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, Body)] = &[
    ("arguments", arguments),
    ("cmdline", cmdline),
    ("decompress", decompress),
    ("depmod_cache", depmod_cache),
    ("depmod_d", depmod_d),
    ("filter", filter),
    ("index", index),
    ("kernel_reason", kernel_reason),
    ("modinfo", modinfo),
    ("modprobe_d", modprobe_d),
    ("modprobe_options", modprobe_options),
    ("module_lists", module_lists),
    ("module_name", module_name),
    ("modules_dep", modules_dep),
    ("proc_modules", proc_modules),
    ("resolve", resolve),
    ("signature", signature),
    ("symbols", symbols),
];
