//! The modules in a guest, and the load order of a module and its dependencies.

use crate::check::lab::{LabError, Pair};
use kmod::name::ModuleName;
use kmod::tree::Tree;

/// The modules that the behaviours need. They are put into each guest together with their dependencies. A module that
/// the kernel does not have is left out, and the behaviours that need it are skipped.
pub const STANDARD: &[&str] = &[
    "8021q",
    "af_alg",
    "algif_hash",
    "binfmt_misc",
    "dummy",
    "inet_diag",
    "ip_tables",
    "loop",
    "netconsole",
    "nfnetlink",
    "nls_utf8",
    "squashfs",
    "test_kmod",
];

/// The lab's own module, the live patch of a kernel. Checks that list all modules leave it out.
pub const OWN: &str = vm_images::live_patch::MODULE;

/// `MODULE_INIT_COMPRESSED_FILE`, `include/uapi/linux/module.h`.
const COMPRESSED_FILE: u32 = 4;

/// Returns the flags with which finit_module(2) accepts this file.
#[must_use]
pub fn finit_flags(path: &str) -> u32 {
    if path.ends_with(".ko") { 0 } else { COMPRESSED_FILE }
}

/// Returns the guest paths of a module's dependencies, followed by that of the module itself.
///
/// # Errors
/// [`LabError::Need`] if the guest has no such module.
pub fn load_order(pair: &Pair, name: &str) -> Result<Vec<String>, LabError> {
    let missing = || LabError::Need(format!("a kernel with the module {name}"));
    let failed = |error: &dyn std::fmt::Display| LabError::Unexpected(format!("cannot look up {name}: {error}"));
    let host = pair.modules.as_ref().ok_or_else(missing)?;
    let module = ModuleName::new(name.as_bytes()).map_err(|error| failed(&error))?;
    let entry = Tree::new(host).module(&module).map_err(|error| failed(&error))?.ok_or_else(missing)?;
    let files = entry.deps.iter().rev().chain([&entry.path]);
    files
        .map(|file| {
            let inside = file.strip_prefix(host).map_err(|error| failed(&error))?;
            Ok(format!("/lib/modules/{}/{}", pair.release, inside.display()))
        })
        .collect()
}
