//! The plan of a load: the steps, and what prevents them.

use super::graph::Graph;
use crate::config::{Mask, MaskProblem};
use crate::name::ModuleName;
use crate::tree::TreeError;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// The options of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadRequest {
    /// Options for the module itself, after those of the configuration.
    pub arguments: Vec<u8>,
    /// Ignore the install command and the soft dependencies of the module itself, but not those of its dependencies.
    pub ignore_commands: bool,
    /// Do not load a blacklisted module even if it is requested by its name.
    pub use_blacklist: bool,
    /// The file to load instead of the one in the module directory.
    pub file: Option<PathBuf>,
}

/// How a module is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// From this file.
    Insert(PathBuf),
    /// By this install command; `$CMDLINE_OPTS` is replaced by the options.
    Run(Vec<u8>),
    /// There is no file. A built-in module needs none; for other modules this is an error.
    None,
}

/// A name that is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// The name.
    pub module: ModuleName,
    /// The line that masks it.
    pub mask: Mask,
}

/// A module of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadStep {
    /// The module.
    pub module: ModuleName,
    /// How it is loaded.
    pub action: Action,
    /// Its options, in the form that the kernel expects.
    pub options: Vec<u8>,
    /// Whether the request fails without it: true for the requested module and its dependencies, false for modules that are
    /// needed by soft dependencies only.
    pub required: bool,
    /// Whether it is built into the kernel: then there is nothing to do.
    pub builtin: bool,
    /// Its names that are masked: its own one, and those in its file if they are different. [`LoadPlan::masked`] has those of
    /// its dependencies, too.
    pub masks: Vec<Masked>,
    /// Why the names in its file are not known. A module that may be masked under them must not be loaded.
    pub unknown_names: Option<String>,
}

/// The plan for a [`Hit`](super::Hit).
#[derive(Debug)]
pub struct LoadPlan {
    /// The requested module.
    pub module: ModuleName,
    /// The module is blacklisted: nothing is loaded, without an error.
    pub blacklisted: bool,
    /// The steps, in order. Empty if the module is blacklisted.
    pub steps: Vec<LoadStep>,
    /// Damaged indexes. The plan was made without them.
    pub problems: Vec<TreeError>,
    /// The part of kmod.d that could not be read: no module may be loaded.
    pub mask_problem: Option<MaskProblem>,
    /// There is not enough memory for the steps; there are none.
    pub out_of_memory: bool,
    /// The dependencies of the steps, by their positions.
    pub(super) graph: Graph,
    /// The position in `graph` of each step, and the reverse.
    pub(super) nodes: Vec<usize>,
    pub(super) step_of: Vec<Option<usize>>,
}

impl LoadPlan {
    /// Returns the masked names of a step and of all its dependencies, sorted by name. It may be loaded only if the modules of
    /// all these names are loaded already.
    #[must_use]
    pub fn masked(&self, step: usize) -> Vec<&Masked> {
        // Most systems have no masks.
        if self.steps.iter().all(|step| step.masks.is_empty()) {
            return Vec::new();
        }
        let Some(&node) = self.nodes.get(step) else { return Vec::new() };
        let steps = self.graph.closure(node).into_iter().filter_map(|node| self.step_of.get(node).copied().flatten());
        let mut masked: Vec<&Masked> =
            steps.filter_map(|step| self.steps.get(step)).flat_map(|step| &step.masks).collect();
        masked.sort_by(|a, b| a.module.cmp(&b.module));
        masked
    }
}

impl LoadStep {
    /// Returns the line that modprobe prints for the step: `insmod PATH OPTIONS`, `install COMMAND OPTIONS`, `builtin NAME`.
    /// There is a space after PATH even without options: programs that parse these lines expect it.
    #[must_use]
    pub fn line(&self) -> Option<Vec<u8>> {
        let parts: [&[u8]; 4] = match &self.action {
            Action::Insert(path) => [b"insmod ", path.as_os_str().as_bytes(), b" ", &self.options],
            Action::Run(command) => [b"install ", command, b" ", &self.options],
            Action::None if self.builtin => [b"builtin ", self.module.as_bytes(), b"", b""],
            Action::None => return None,
        };
        Some(parts.concat())
    }
}
