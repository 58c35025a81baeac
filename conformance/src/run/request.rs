//! A request: what a command asks for, with everything resolved. Each default of a run is here, once.

use crate::catalogue::behaviours;
use crate::catalogue::entry::Entry;
use crate::catalogue::probes::ProbeOverride;
use crate::run::gate::Gate;
use crate::run::judge::Judging;
use crate::run::shard::Shard;
use harness::{Profile, WallLimits};
use std::path::PathBuf;
use std::time::Duration;
use vm_images::{BuiltTree, Kernel, LivePatchOptions, Repository, Revision};

/// What to run on which kernels with which subjects, how guests are booted, and how rows are judged.
pub struct Request {
    /// The kernels, in the order of reports.
    pub kernels: Vec<KernelSource>,
    /// The subjects, in the order of reports.
    pub subjects: Vec<SubjectSource>,
    /// How guests are booted.
    pub guest: GuestOptions,
    /// The rows to run.
    pub selection: Selection,
    /// How the rows are run.
    pub flow: Flow,
    /// What rows are judged by.
    pub judging: Judging,
    /// What the run must have judged to be a success.
    pub gate: Gate,
    /// The directory in which to save the console of each guest.
    pub keep: Option<PathBuf>,
}

impl Request {
    /// Returns a request for these kernels and subjects with defaults for everything else. At most `jobs` guests run at a
    /// time.
    #[must_use]
    pub fn new(kernels: Vec<KernelSource>, subjects: Vec<SubjectSource>, judging: Judging, jobs: usize) -> Request {
        let (guest, selection, flow) = (GuestOptions::default(), Selection::default(), Flow::new(jobs));
        Request { kernels, subjects, guest, selection, flow, judging, gate: Gate::default(), keep: None }
    }
}

/// A kernel that can be obtained.
#[derive(Clone, Debug)]
pub enum KernelSource {
    /// An image given by its path; already read.
    Image(Box<Kernel>),
    /// A kernel tree; already read.
    Tree(Box<BuiltTree>),
    /// A revision of a git repository, which is built.
    Revision(Box<RevisionSource>),
    /// A name in the catalogue.
    Named(String),
    /// A kernel with request_module() in Rust.
    Patched(Box<PatchedSource>),
}

/// A kernel with a live patch.
#[derive(Clone, Debug)]
pub struct PatchedSource {
    /// The name given by the user.
    pub name: String,
    /// The kernel.
    pub kernel: KernelSource,
    /// The options of the live patch.
    pub options: LivePatchOptions,
}

/// A revision to build.
#[derive(Clone, Debug)]
pub struct RevisionSource {
    /// The repository.
    pub repository: Repository,
    /// The revision.
    pub revision: Revision,
    /// The fragments of its configuration.
    pub fragments: Vec<String>,
    /// Additional arguments of make.
    pub make_args: Vec<String>,
}

/// A subject that can be obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectSource {
    /// This project's module tools.
    Ours,
    /// A program, or a directory of programs.
    Path {
        /// The program or directory.
        path: PathBuf,
        /// The directories to search first for libraries.
        libraries: Vec<PathBuf>,
        /// Its traits; `None` if they are unknown.
        traits: Option<Vec<String>>,
    },
    /// A name in the catalogue.
    Named(String),
}

/// How guests are booted.
#[derive(Clone, Debug)]
pub struct GuestOptions {
    /// The profile of the boot.
    pub profile: Profile,
    /// The accelerator.
    pub accelerator: AcceleratorChoice,
    /// Whether guests run in virtual time.
    pub virtual_time: bool,
    /// Parameters to append to the kernel command line.
    pub append: Vec<String>,
    /// Whether each guest is booted instead of cloned.
    pub cold: bool,
    /// The time limits of boots and clones.
    pub limits: WallLimits,
    /// The values of probes that the user sets.
    pub probes: Vec<ProbeOverride>,
}

impl Default for GuestOptions {
    fn default() -> Self {
        GuestOptions {
            profile: Profile::Faithful,
            accelerator: AcceleratorChoice::Tcg,
            virtual_time: true,
            append: Vec::new(),
            cold: false,
            limits: WallLimits::default(),
            probes: Vec::new(),
        }
    }
}

/// The accelerator to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceleratorChoice {
    /// Emulation.
    Tcg,
    /// KVM, or an error if it does not boot a guest.
    Kvm,
    /// KVM if it boots a guest, else emulation.
    Auto,
}

/// The rows to run.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The behaviours.
    pub behaviours: Vec<&'static Entry>,
    /// The part of the rows to run; `None` for all.
    pub shard: Option<Shard>,
}

impl Default for Selection {
    /// Selects everything.
    fn default() -> Self {
        Selection { behaviours: behaviours::all(), shard: None }
    }
}

/// How often, in which order and how long the rows of a run are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The maximum number of retries of a failed or inconclusive row, each in a new guest.
    pub retries: u32,
    /// The number of runs of each row. Repeated rows are not retried.
    pub repeat: u32,
    /// Whether to start no more work after the first failed or inconclusive row.
    pub fail_fast: bool,
    /// The seed that shuffles the order of the rows. Without one, the most expensive are first.
    pub seed: Option<u64>,
    /// The maximum number of guests at a time.
    pub jobs: usize,
    /// The wall-clock limit of one row.
    pub limit: Duration,
}

impl Flow {
    /// Row by row without retries, with at most `jobs` guests at a time.
    #[must_use]
    pub const fn new(jobs: usize) -> Flow {
        Flow { retries: 0, repeat: 1, fail_fast: false, seed: None, jobs, limit: Duration::from_secs(120) }
    }
}
