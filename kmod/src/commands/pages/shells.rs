//! A tool's completions for bash, zsh and fish. Each file stands alone: it needs nothing but its shell, and the usual
//! programs for the names of modules.

mod bash;
mod fish;
mod zsh;

pub use bash::bash;
pub use fish::fish;
pub use zsh::zsh;

use super::{Entry, Value};

const FIRST_LINE: &str = "Written by kmodlab from the option table of";

// Names that hold anything but these bytes are left out: a shell might do what they say.

/// Modules by name, from the list of a release in `$release`.
const MODULES: &str =
    r"sed -n 's,^\([^:]*/\)*\([-_A-Za-z0-9]*\)\.ko[.a-z]*:.*,\2,p' /lib/modules/$release/modules.dep 2>/dev/null";
const LOADED: &str = r"sed -n 's/^\([-_A-Za-z0-9]*\) .*/\1/p' /proc/modules 2>/dev/null";
const RELEASES: &str = "ls /lib/modules 2>/dev/null | grep -x '[-+._~A-Za-z0-9]*'";
/// Parameters of the module or file in `$first`.
const PARAMETERS: &str = r#"modinfo -F parm -- "$first" 2>/dev/null | sed -n 's/^\([-_A-Za-z0-9]*\):.*/\1/p'"#;

fn names(entry: &Entry) -> impl Iterator<Item = String> {
    entry.short.map(|short| format!("-{short}")).into_iter().chain([format!("--{}", entry.long)])
}

/// The options whose value is of a kind, as they are typed.
fn of_kind(entries: &[Entry], kind: Value) -> Vec<String> {
    entries.iter().filter(|entry| entry.kind() == Some(kind)).flat_map(names).collect()
}
