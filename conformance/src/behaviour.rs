//! What a behaviour is: one named, sourced statement with a check.

use crate::lab::{Lab, LabError};
use serde::Serialize;
use std::fmt;

/// What a check returns. Facts go into the lab; an error means that there is nothing to judge.
pub type Check = Result<(), LabError>;

/// Behaviours of one subject; the file under `behaviours/` has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The path in `/proc/sys/kernel/modprobe`.
    Path,
    /// Module directories: missing, damaged, with dependencies.
    Dep,
    /// The limit on concurrent requests.
    Loop,
    /// What the tools do when they load a module.
    Load,
    /// What they do when they remove one.
    Unload,
    /// What their configuration makes of it.
    Config,
    /// The module tools themselves, in a guest.
    Tool,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Path => "path",
            Group::Dep => "dep",
            Group::Loop => "loop",
            Group::Load => "load",
            Group::Unload => "unload",
            Group::Config => "config",
            Group::Tool => "tool",
        })
    }
}

/// Whose behaviour it is, and so how often it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// The kernel's: once for each kernel.
    Kernel,
    /// The kernel and the subject together: each pair.
    Both,
}

/// What a behaviour cannot do without. An unmet need is a skip that says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The subject has this command.
    Command(&'static str),
    /// The kernel has this module, in its module directory.
    Module(&'static str),
    /// The kernel was configured so, such as `CONFIG_UNIX=m`.
    Config(&'static str),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Command(name) => write!(f, "a subject with {name}"),
            Need::Module(name) => write!(f, "a kernel with the module {name}"),
            Need::Config(option) => write!(f, "a kernel with {option}"),
        }
    }
}

/// One entry of the catalogue.
#[derive(Debug)]
pub struct Behaviour {
    /// What users type; stable.
    pub id: &'static str,
    /// The id in the catalogue of docs/facts/kernel.md; accepted wherever an id is.
    pub catalogue: &'static str,
    /// Where it belongs.
    pub group: Group,
    /// What a user may rely on.
    pub statement: &'static str,
    /// Where the statement comes from: a kernel file and function, a commit, a manual, a document.
    pub source: &'static str,
    /// Whose it is.
    pub about: About,
    /// What it cannot do without.
    pub needs: &'static [Need],
    /// The check.
    pub check: fn(&mut Lab<'_>) -> Check,
}
