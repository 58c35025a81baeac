//! The entry of a behaviour: its statement, its source, what it needs, and its check.

use crate::check::lab::{Lab, LabError};
use crate::check::traits;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of a check. Facts are recorded in the lab; an error means that the behaviour cannot be judged.
pub type Check = Result<(), LabError>;

/// A group of behaviours. Its file in `behaviours/` has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The path in `/proc/sys/kernel/modprobe`.
    Path,
    /// The environment in which a helper starts.
    Env,
    /// The limit on concurrent requests.
    Loop,
    /// Module directories: missing, damaged, dependencies.
    Dep,
    /// The names that system calls request.
    Name,
    /// What callers and the kernel log report about a failure.
    Error,
    /// The system calls that load and remove modules.
    Module,
    /// Loading with the tools.
    Load,
    /// Removal with the tools.
    Unload,
    /// The configuration of the tools.
    Config,
    /// The tools as programs.
    Tool,
    /// The loop guard.
    Guard,
    /// Hostile input.
    Hostile,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Path => "path",
            Group::Env => "env",
            Group::Name => "name",
            Group::Error => "error",
            Group::Module => "module",
            Group::Guard => "guard",
            Group::Hostile => "hostile",
            Group::Dep => "dep",
            Group::Loop => "loop",
            Group::Load => "load",
            Group::Unload => "unload",
            Group::Config => "config",
            Group::Tool => "tool",
        })
    }
}

impl Group {
    /// Returns what the behaviours of the group are about.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            Group::Path => "the path in /proc/sys/kernel/modprobe",
            Group::Env => "the environment in which the kernel starts a helper",
            Group::Loop => "the limit on concurrent requests",
            Group::Dep => "module directories: missing, damaged, dependencies",
            Group::Name => "the names that system calls request",
            Group::Error => "what callers and the kernel log report about a failure",
            Group::Module => "the system calls that load and remove modules",
            Group::Load => "loading with the tools",
            Group::Unload => "removal with the tools",
            Group::Config => "the configuration of the tools",
            Group::Tool => "the tools as programs",
            Group::Guard => "the loop guard",
            Group::Hostile => "hostile input",
        }
    }

    /// Returns where the checks of the group are, relative to the repository.
    #[must_use]
    pub fn sources(self) -> String {
        let file = format!("conformance/src/catalogue/behaviours/{self}.rs");
        match self {
            Group::Path | Group::Env | Group::Loop | Group::Name | Group::Error | Group::Load | Group::Guard => {
                format!("{file} and {self}/")
            }
            Group::Dep | Group::Module | Group::Unload | Group::Config | Group::Tool | Group::Hostile => file,
        }
    }
}

/// What a behaviour tests, which decides how often it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// The kernel alone: once per kernel.
    Kernel,
    /// The kernel together with the subject: once per pair.
    Both,
}

/// A requirement of a behaviour. If it is not met, the behaviour is skipped and the reason names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The subject has this command.
    Command(&'static str),
    /// The subject has this trait.
    Trait(&'static str),
    /// The kernel has this module in its module directory.
    Module(&'static str),
    /// The kernel has this configuration option, such as `CONFIG_UNIX=m`.
    Config(&'static str),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Command(name) => write!(f, "a subject with {name}"),
            Need::Trait(name) => f.write_str(&traits::need(name)),
            Need::Module(name) => write!(f, "a kernel with the module {name}"),
            Need::Config(option) => write!(f, "a kernel with {option}"),
        }
    }
}

/// Returns all needs of a behaviour as one text: those of the subject, then those of the kernel.
#[must_use]
pub fn needs_text(needs: &[Need]) -> String {
    let (mut commands, mut traits) = (Vec::new(), Vec::new());
    let (mut modules, mut options) = (Vec::new(), Vec::new());
    for need in needs {
        match need {
            Need::Command(name) => commands.push(*name),
            Need::Trait(name) => traits.push(traits::need(name)),
            Need::Module(name) => modules.push(*name),
            Need::Config(option) => options.push(*option),
        }
    }
    let module = if modules.len() == 1 { "a kernel with the module" } else { "a kernel with the modules" };
    let text = |what: &str, names: &[&str]| enumerated(names).map(|names| format!("{what} {names}"));
    let subject = text("a subject with", &commands).into_iter().chain(traits);
    let kernel = [text(module, &modules), text("a kernel with", &options)];
    subject.chain(kernel.into_iter().flatten()).collect::<Vec<_>>().join("; ")
}

/// Returns `a, b and c`, or nothing if there are no names.
fn enumerated(names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [name] => Some((*name).to_owned()),
        [names @ .., last] => Some(format!("{} and {last}", names.join(", "))),
    }
}

/// How much work a check is, by which the engine orders the rows: expensive ones are started first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Less than a second.
    Quick,
    /// A second or more.
    Slow,
    /// Many processes at a time, which load the host as well.
    Storm,
}

/// How a behaviour is checked.
#[derive(Clone, Copy, Debug)]
pub enum Checked {
    /// By this function.
    By(fn(&mut Lab<'_>) -> Check),
    /// Not yet; the reason.
    Missing(&'static str),
}

/// One entry of the catalogue.
#[derive(Debug)]
pub struct Entry {
    /// The id that users type; stable.
    pub id: &'static str,
    /// The id in the catalogue of docs/facts/kernel.md; accepted wherever an id is accepted.
    pub catalogue: &'static str,
    /// The group.
    pub group: Group,
    /// The promise that users can rely on.
    pub statement: &'static str,
    /// The source of the statement: a kernel file and function, a commit, a manual page or a document.
    pub source: &'static str,
    /// What it tests.
    pub about: About,
    /// How much work the check is.
    pub cost: Cost,
    /// Its requirements.
    pub needs: &'static [Need],
    /// The probes on which the statement or the observations depend.
    pub probes: &'static [&'static str],
    /// The check.
    pub check: Checked,
}
