//! Looks up the kernels and subjects of the arguments.

use super::args::{Common, GuestArgs};
use super::error::CliError;
use super::setup;
use crate::run::event::SkippedKernel;
use anyhow::anyhow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use vm_images::{
    BuildError, BuiltTree, Cache, Catalogue, FetchError, Kernel, Options, Progress, Subject, SubjectError,
};

/// The name of the kernel that this machine runs.
pub(super) const HOST: &str = "host";

/// A kernel from the arguments, before anything is fetched.
pub(super) enum KernelArg {
    /// An image given by its path; already read.
    Image(Box<Kernel>),
    /// A kernel tree; already read.
    Tree(Box<BuiltTree>),
    /// A name in the catalogue.
    Named(String),
}

/// Looks up `--kernel` and `--modules`. Reports invalid ones without fetching anything.
pub(super) fn kernel_args(args: &GuestArgs, catalogue: &Catalogue) -> Result<Vec<KernelArg>, CliError> {
    let mut kernels = Vec::new();
    let mut has_image = false;
    for text in &args.kernel {
        let path = Path::new(text);
        if text == HOST {
            kernels.push(KernelArg::Image(Box::new(host_kernel()?)));
        } else if !text.contains('/') && !path.exists() {
            catalogue.resolve(text).map_err(CliError::usage)?;
            kernels.push(KernelArg::Named(text.clone()));
        } else if path.is_dir() {
            let tree = BuiltTree::look(path).map_err(CliError::usage)?;
            kernels.push(KernelArg::Tree(Box::new(tree)));
        } else {
            has_image = true;
            let kernel = Kernel::from_image(path, args.modules.as_deref()).map_err(CliError::usage)?;
            kernels.push(KernelArg::Image(Box::new(kernel)));
        }
    }
    if args.modules.is_some() && !has_image {
        return Err(CliError::usage(anyhow!("--modules requires a kernel given as the path of a bzImage"))
            .hint("kernels in the catalogue and kernel trees have their own modules"));
    }
    Ok(kernels)
}

/// Finds the kernel that this machine runs where distributions install it.
fn host_kernel() -> Result<Kernel, CliError> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let modules = Path::new("/lib/modules").join(&release);
    let images = [Path::new("/boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = images.iter().find(|path| path.exists()).ok_or_else(|| {
        let paths: Vec<String> = images.iter().map(|path| path.display().to_string()).collect();
        CliError::usage(anyhow!("cannot find the kernel of this machine, {release}: tried {}", paths.join(" and ")))
            .hint("give the path of its bzImage")
    })?;
    let mut kernel = Kernel::from_image(image, modules.is_dir().then_some(&*modules)).map_err(CliError::usage)?;
    HOST.clone_into(&mut kernel.name);
    Ok(kernel)
}

/// A kernel that is not available here: a run skips it, other commands fail.
pub(super) struct UnavailableKernel {
    pub skipped: SkippedKernel,
    pub error: CliError,
}

/// Fetches or builds kernels that are not in the cache.
pub(super) fn kernels(
    args: Vec<KernelArg>,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Vec<Result<Kernel, UnavailableKernel>>, CliError> {
    args.into_iter()
        .map(|kernel| match kernel {
            KernelArg::Image(kernel) => Ok(Ok(*kernel)),
            KernelArg::Tree(tree) => tree.kernel(&options.cache).map(Ok).map_err(CliError::inconclusive),
            KernelArg::Named(name) => named_kernel(catalogue, &name, options),
        })
        .collect()
}

/// Fetches or builds a kernel of the catalogue.
pub(super) fn named_kernel(
    catalogue: &Catalogue,
    name: &str,
    options: &Options<'_>,
) -> Result<Result<Kernel, UnavailableKernel>, CliError> {
    // The hint of the error, which a skipped kernel does not print.
    let advice = if options.offline { "; omit --offline to download it" } else { "" };
    let unavailable = |reason: &str, error: anyhow::Error| {
        let skipped = SkippedKernel { name: name.to_owned(), reason: format!("{reason}{advice}") };
        Ok(Err(UnavailableKernel { skipped, error: CliError::inconclusive(error) }))
    };
    if catalogue.resolve(name).map_err(CliError::usage)?.is_built() {
        return match vm_images::build(name, options) {
            Ok(kernel) => Ok(Ok(kernel)),
            Err(error) => match &error {
                BuildError::Unavailable { reason, .. } | BuildError::NoSource { reason, .. } => {
                    unavailable(&reason.clone(), error.into())
                }
                _ => Err(CliError::inconclusive(error)),
            },
        };
    }
    match vm_images::fetch(catalogue, name, options) {
        Ok(kernel) => Ok(Ok(kernel)),
        Err(error) => match &error {
            FetchError::Unavailable { reason, .. } => unavailable(&reason.clone(), error.into()),
            _ => Err(CliError::inconclusive(error)),
        },
    }
}

/// Rejects several kernels or subjects.
pub(super) fn accept_only_one(command: &str, args: &GuestArgs) -> Result<(), CliError> {
    for (what, given) in [("kernel", args.kernel.len()), ("subject", args.subject.len())] {
        if given > 1 {
            return Err(CliError::usage(anyhow!("{command} accepts only one {what} ({given} given)")));
        }
    }
    Ok(())
}

/// Returns the kernel of a command that runs on exactly one.
pub(super) fn only(found: Vec<Result<Kernel, UnavailableKernel>>) -> Result<Kernel, CliError> {
    match <[_; 1]>::try_from(found) {
        Ok([kernel]) => kernel.map_err(|kernel| kernel.error),
        Err(several) => Err(CliError::usage(anyhow!("expected one kernel, got {}", several.len()))),
    }
}

/// Returns the subject of a command that runs with exactly one.
pub(super) fn only_subject(common: &Common, args: &GuestArgs, options: &Options<'_>) -> Result<Subject, CliError> {
    match &args.subject[..] {
        [text] => subject(common, args, text, options),
        several => Err(CliError::usage(anyhow!("expected one subject, got {}", several.len()))),
    }
}

/// Looks up `--subject`.
pub(super) fn subjects(common: &Common, args: &GuestArgs, options: &Options<'_>) -> Result<Vec<Subject>, CliError> {
    args.subject.iter().map(|text| subject(common, args, text, options)).collect()
}

fn subject(common: &Common, args: &GuestArgs, text: &str, options: &Options<'_>) -> Result<Subject, CliError> {
    let subject = if text == "ours" {
        Subject::ours(&setup::guest_dir(common)?)
    } else if text.contains('/') || Path::new(text).exists() {
        Subject::from_path(Path::new(text), &args.subject_lib)
    } else {
        Subject::fetch(text, options)
    };
    subject.map_err(|error| match error {
        SubjectError::Unavailable { .. } => CliError::inconclusive(error),
        error => CliError::usage(error),
    })
}

/// Returns the options for fetching and building; `stop` ends both early.
pub(super) fn options<'a>(
    common: &Common,
    cache: &Cache,
    progress: &'a (dyn Fn(Progress) + Sync),
    stop: &'a AtomicBool,
) -> Options<'a> {
    let (offline, mirror) = (common.offline, common.mirror.clone());
    Options { cache: cache.clone(), offline, refresh: false, mirror, progress, stop }
}

/// Returns the built-in catalogue.
pub(super) fn catalogue() -> Result<Catalogue, CliError> {
    Catalogue::builtin().map_err(CliError::inconclusive)
}

/// Finds a program of the host.
pub(super) fn host_program(name: &str) -> Option<PathBuf> {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}
