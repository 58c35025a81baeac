//! The modules that a lab's guest carries, and the order in which the kernel wants one's dependencies.

use crate::lab::{LabError, Pair};
use kmod::name::ModuleName;
use kmod::tree::Tree;

/// The modules that the catalogue's behaviours need, with their dependencies; what a kernel lacks is
/// left out, and the behaviours that need it are skipped.
pub const STANDARD: &[&str] = &["8021q", "af_alg", "dummy", "ip_tables", "loop", "nls_utf8", "squashfs"];

/// `MODULE_INIT_COMPRESSED_FILE`, `include/uapi/linux/module.h`.
const COMPRESSED_FILE: u32 = 4;

/// Flags with which finit_module(2) takes this file.
#[must_use]
pub fn finit_flags(path: &str) -> u32 {
    if path.ends_with(".ko") { 0 } else { COMPRESSED_FILE }
}

/// Guest paths of a module's dependencies and then of the module itself.
///
/// # Errors
/// [`LabError::Need`] if the guest has no such module.
pub fn load_order(pair: &Pair, name: &str) -> Result<Vec<String>, LabError> {
    let lacking = || LabError::Need(format!("a kernel with the module {name}"));
    let broken = |error: &dyn std::fmt::Display| LabError::Unexpected(format!("looking up {name}: {error}"));
    let host = pair.modules.as_ref().ok_or_else(lacking)?;
    let module = ModuleName::new(name.as_bytes()).map_err(|error| broken(&error))?;
    let entry = Tree::new(host).module(&module).map_err(|error| broken(&error))?.ok_or_else(lacking)?;
    let files = entry.deps.iter().rev().chain([&entry.path]);
    files
        .map(|file| {
            let inside = file.strip_prefix(host).map_err(|error| broken(&error))?;
            Ok(format!("/lib/modules/{}/{}", pair.release, inside.display()))
        })
        .collect()
}
