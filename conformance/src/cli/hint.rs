//! What a user can do about an error of a library. Libraries do not know the command line, so the advice is here.

use crate::catalogue::deviations::kernels::RangeError;
use crate::catalogue::deviations::{DeviationsError, Problem};
use crate::catalogue::select::{SelectError, UnknownId};
use crate::catalogue::suggest::nearest;
use crate::run::pair::PairError;
use crate::run::shard::ShardError;
use harness::{BootError, HarnessError};
use std::error::Error;
use vm_images::modules::SelectError as ModulesError;
use vm_images::{
    BuildError, CacheError, CatalogueError, FetchError, GitError, KernelError, LivePatchError, SubjectError, TreeError,
};

/// Builds the guest programs.
pub(super) const SETUP: &str = "ci/setup";

/// Returns the hints for an error and its causes; `offline` says that downloads are turned off.
pub(super) fn of(error: &(dyn Error + 'static), offline: bool) -> Vec<String> {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.filter_map(|error| of_one(error, offline)).collect()
}

/// Returns the hint for one error, without its causes.
fn of_one(error: &(dyn Error + 'static), offline: bool) -> Option<String> {
    /// Applies a function to the error if it has the type that the function expects.
    fn apply<E: Error + 'static>(
        error: &(dyn Error + 'static),
        hint: impl FnOnce(&E) -> Option<String>,
    ) -> Option<String> {
        error.downcast_ref().and_then(hint)
    }
    apply(error, unknown_id)
        .or_else(|| apply(error, selection))
        .or_else(|| apply(error, deviations))
        .or_else(|| apply(error, shard))
        .or_else(|| apply(error, catalogue))
        .or_else(|| apply(error, |error| fetch(error, offline)))
        .or_else(|| apply(error, |error| build(error, offline)))
        .or_else(|| apply(error, git))
        .or_else(|| apply(error, |error| subject(error, offline)))
        .or_else(|| apply(error, kernel))
        .or_else(|| apply(error, live_patch))
        .or_else(|| apply(error, tree))
        .or_else(|| apply(error, modules))
        .or_else(|| apply(error, harness))
        .or_else(|| apply(error, boot))
        .or_else(|| apply(error, pair))
        .or_else(|| apply(error, |_: &CacheError| Some("--cache selects another directory".to_owned())))
}

fn live_patch(error: &LivePatchError) -> Option<String> {
    match error {
        LivePatchError::NotBuilt { .. } => Some("build it with ci/rust-kmod".to_owned()),
        _ => None,
    }
}

fn unknown_id(error: &UnknownId) -> Option<String> {
    Some(match &error.nearest {
        Some(id) => format!("did you mean {id}?"),
        None => "`kmodlab list` lists all behaviours".to_owned(),
    })
}

fn selection(error: &SelectError) -> Option<String> {
    match error {
        SelectError::Id(error) => unknown_id(error),
        SelectError::Filter(_) => None,
        SelectError::NoCheck { .. } | SelectError::NoCheckInGroup(_) => {
            Some("`kmodlab list --all` also lists the behaviours without a check".to_owned())
        }
        SelectError::Nothing => Some("IDs and --filter together select the behaviours that match both".to_owned()),
    }
}

fn deviations(error: &DeviationsError) -> Option<String> {
    let nearest = match &error.problem {
        Problem::Unknown { nearest, .. } | Problem::NoSubject { nearest, .. } => nearest.as_deref(),
        Problem::Kernels(RangeError::Probe { name, known }) => nearest(name, known.iter().copied()),
        Problem::Kernels(RangeError::Value { value, known, .. }) => nearest(value, known.iter().copied()),
        Problem::Empty("reason") => return Some("say why the deviation is known".to_owned()),
        _ => None,
    };
    nearest.map(|name| format!("did you mean {name}?"))
}

fn shard(error: &ShardError) -> Option<String> {
    error.is_from_environment().then(|| "--shard K/N overrides the environment; --shard all ignores it".to_owned())
}

fn catalogue(error: &CatalogueError) -> Option<String> {
    let CatalogueError::Unknown { what, name, known } = error else { return None };
    Some(match nearest(name, known.iter().map(String::as_str)) {
        Some(known) => format!("did you mean {known}?"),
        None => format!("`kmodlab {what} list` lists the known {what}s; any other {what} is given by its path"),
    })
}

/// Returns the hint for a kernel or subject that is not available.
fn unavailable(offline: bool) -> String {
    let hint = if offline { "omit --offline to download it" } else { "--mirror URI selects another Debian archive" };
    hint.to_owned()
}

fn fetch(error: &FetchError, offline: bool) -> Option<String> {
    match error {
        FetchError::Unavailable { .. } => Some(unavailable(offline)),
        FetchError::Catalogue(error) => catalogue(error),
        _ => None,
    }
}

fn build(error: &BuildError, offline: bool) -> Option<String> {
    match error {
        BuildError::Unavailable { .. } if offline => Some("omit --offline to download it".to_owned()),
        BuildError::NoSource { .. } => Some(unavailable(offline)),
        BuildError::Catalogue(error) => catalogue(error),
        BuildError::Git(error) => git(error),
        _ => None,
    }
}

fn git(error: &GitError) -> Option<String> {
    match error {
        GitError::NotARepository { .. } => Some(
            "`kmodlab kernel build --tree DIR` builds a tree without git and prints its result for --base".to_owned(),
        ),
        GitError::Uncommitted { .. } => Some("commit the changes, or put them aside with `git stash`".to_owned()),
        _ => None,
    }
}

fn subject(error: &SubjectError, offline: bool) -> Option<String> {
    match error {
        SubjectError::NotExecutable { path } => Some(format!("make it executable: chmod +x {}", path.display())),
        SubjectError::MissingLibrary { .. } => {
            Some("--subject-lib DIR adds a directory to search; a static program needs no libraries".to_owned())
        }
        SubjectError::NoCommand { path } if path.is_dir() => {
            Some("the directory must contain at least one of these programs".to_owned())
        }
        SubjectError::NoCommand { .. } => {
            Some("name the file after the command that it implements, e.g. my-modprobe".to_owned())
        }
        SubjectError::OursNotBuilt { .. } => Some(build_guest_programs()),
        SubjectError::Unavailable { .. } => Some(unavailable(offline)),
        SubjectError::Catalogue(error) => catalogue(error),
        _ => None,
    }
}

fn kernel(error: &KernelError) -> Option<String> {
    match error {
        KernelError::OtherRelease { release, .. } => {
            Some(format!("--modules expects the module directory of {release}, usually lib/modules/{release}"))
        }
        KernelError::NoModules { release, .. } => {
            Some(format!("--modules expects a directory like lib/modules/{release}"))
        }
        _ => None,
    }
}

fn tree(error: &TreeError) -> Option<String> {
    match error {
        TreeError::NoTree { .. } => {
            Some("give the path of the bzImage itself, and its module directory with --modules".to_owned())
        }
        TreeError::NotBuilt { .. } => {
            Some("run `make bzImage modules` in it, or give the build directory that `make O=` used".to_owned())
        }
        TreeError::Stale { .. } => Some("run `make bzImage modules` in the tree".to_owned()),
        TreeError::Kernel(error) => kernel(error),
        _ => None,
    }
}

fn modules(error: &ModulesError) -> Option<String> {
    matches!(error, ModulesError::NoModules { .. }).then(|| "give its module directory with --modules".to_owned())
}

fn harness(error: &HarnessError) -> Option<String> {
    match error {
        HarnessError::QemuMissing { .. } => {
            Some(format!("`apt-get install qemu-system-x86` or {SETUP} installs it; --qemu selects another program"))
        }
        HarnessError::QemuUnusable { .. } => Some("--qemu selects another program".to_owned()),
        HarnessError::NotOurs { .. } => Some("remove it, or select another cache directory with --cache".to_owned()),
        _ => None,
    }
}

fn boot(error: &BootError) -> Option<String> {
    match error {
        BootError::Harness(error) => harness(error),
        BootError::Version { .. } => Some(build_guest_programs()),
        _ => None,
    }
}

fn pair(error: &PairError) -> Option<String> {
    match error {
        PairError::Kernel(error) => kernel(error),
        PairError::Modules(error) => modules(error),
        PairError::Boot(error) => boot(error),
        PairError::Harness(error) => harness(error),
        PairError::Initramfs(_) | PairError::Traits(_) => None,
    }
}

/// Returns the advice for guest programs that are missing or outdated.
pub(super) fn build_guest_programs() -> String {
    format!("{SETUP} builds the guest programs; --guest-dir selects another directory")
}
