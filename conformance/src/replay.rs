//! Bodies of the fuzz targets that need no guest. Each takes the fuzzer's bytes and panics when a promise is broken;
//! the targets in `fuzz/` call them, and plain tests run them over `fuzz/seeds` and `fuzz/regressions`, so that a
//! stable toolchain replays every input that ever mattered.
//!
//! ```text
//!   names   module_name: names, aliases, patterns, and what the kernel makes of a name
//!   deps    modules_dep: modules.dep as text and as index, and the plans that follow from it
//! ```

mod deps;
mod names;

pub use deps::modules_dep;
pub use names::module_name;

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target that has its body here, by its name in `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, Body)] = &[("module_name", module_name), ("modules_dep", modules_dep)];
