//! What `--kernel` and `--subject` name.

use super::args::{Common, GuestArgs};
use super::error::CliError;
use super::setup;
use crate::event::SkippedKernel;
use anyhow::anyhow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use vm_images::{
    BuildError, BuiltTree, Cache, Catalogue, FetchError, Kernel, Options, Progress, Subject, SubjectError,
};

/// The kernel that this machine runs.
const HOST: &str = "host";

/// What `--kernel` says, before anything is fetched.
pub(super) enum KernelArg {
    /// A kernel of the user's own, already looked at.
    Image(Box<Kernel>),
    /// A kernel tree, likewise.
    Tree(Box<BuiltTree>),
    /// A name of the catalogue.
    Named(String),
}

/// Reads `--kernel` and `--modules`; wrong ones are found here, without fetching.
pub(super) fn kernel_args(args: &GuestArgs, catalogue: &Catalogue) -> Result<Vec<KernelArg>, CliError> {
    let mut kernels = Vec::new();
    let mut takes_modules = false;
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
            takes_modules = true;
            let kernel = Kernel::from_image(path, args.modules.as_deref()).map_err(CliError::usage)?;
            kernels.push(KernelArg::Image(Box::new(kernel)));
        }
    }
    if args.modules.is_some() && !takes_modules {
        return Err(CliError::usage(anyhow!("--modules belongs to a bzImage that is given by its path")));
    }
    Ok(kernels)
}

/// The kernel that this machine runs, as distributions install it.
fn host_kernel() -> Result<Kernel, CliError> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let modules = Path::new("/lib/modules").join(&release);
    let images = [Path::new("/boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = images.iter().find(|path| path.exists()).ok_or_else(|| {
        let places: Vec<String> = images.iter().map(|path| path.display().to_string()).collect();
        CliError::usage(anyhow!(
            "--kernel {HOST}: the kernel that runs here, {release}, is in neither of {}: give its bzImage by its path",
            places.join(", ")
        ))
    })?;
    let mut kernel = Kernel::from_image(image, modules.is_dir().then_some(&*modules)).map_err(CliError::usage)?;
    HOST.clone_into(&mut kernel.name);
    Ok(kernel)
}

/// Fetches or builds what is not there. A kernel that cannot be had is left out with its reason.
pub(super) fn kernels(
    args: Vec<KernelArg>,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Vec<Result<Kernel, SkippedKernel>>, CliError> {
    args.into_iter()
        .map(|kernel| match kernel {
            KernelArg::Image(kernel) => Ok(Ok(*kernel)),
            KernelArg::Tree(tree) => tree.kernel(&options.cache).map(Ok).map_err(CliError::inconclusive),
            KernelArg::Named(name) => named_kernel(catalogue, &name, options),
        })
        .collect()
}

/// One kernel of the catalogue, fetched or built.
pub(super) fn named_kernel(
    catalogue: &Catalogue,
    name: &str,
    options: &Options<'_>,
) -> Result<Result<Kernel, SkippedKernel>, CliError> {
    let left_out = |reason: String| Ok(Err(SkippedKernel { name: name.to_owned(), reason }));
    if catalogue.resolve(name).map_err(CliError::usage)?.is_built() {
        return match vm_images::build(name, options) {
            Ok(kernel) => Ok(Ok(kernel)),
            Err(BuildError::Unavailable { reason, .. })
            | Err(BuildError::Fetch(FetchError::Unavailable { reason, .. })) => left_out(reason),
            Err(error) => Err(CliError::inconclusive(error)),
        };
    }
    match vm_images::fetch(catalogue, name, options) {
        Ok(kernel) => Ok(Ok(kernel)),
        Err(FetchError::Unavailable { reason, .. }) => left_out(reason),
        Err(error) => Err(CliError::inconclusive(error)),
    }
}

/// The kernel of a command that takes one.
pub(super) fn only(found: Vec<Result<Kernel, SkippedKernel>>) -> Result<Kernel, CliError> {
    match <[_; 1]>::try_from(found) {
        Ok([Ok(kernel)]) => Ok(kernel),
        Ok([Err(SkippedKernel { name, reason })]) => Err(CliError::inconclusive(anyhow!("{name}: {reason}"))),
        Err(several) => Err(CliError::usage(anyhow!("one kernel is wanted, not {}", several.len()))),
    }
}

/// The subject of a command that takes one.
pub(super) fn only_subject(common: &Common, args: &GuestArgs, options: &Options<'_>) -> Result<Subject, CliError> {
    match &args.subject[..] {
        [text] => subject(common, args, text, options),
        several => Err(CliError::usage(anyhow!("one subject is wanted, not {}", several.len()))),
    }
}

/// The subjects that `--subject` names.
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
        SubjectError::Fetch(FetchError::Unavailable { .. }) => CliError::inconclusive(error),
        error => CliError::usage(error),
    })
}

/// Options for fetching, with this listener; `stop` ends it early.
pub(super) fn options<'a>(
    common: &Common,
    cache: &Cache,
    progress: &'a (dyn Fn(Progress) + Sync),
    stop: &'a AtomicBool,
) -> Options<'a> {
    let (offline, mirror) = (common.offline, common.mirror.clone());
    Options { cache: cache.clone(), offline, refresh: false, mirror, progress, stop }
}

/// The built-in catalogue.
pub(super) fn catalogue() -> Result<Catalogue, CliError> {
    Catalogue::builtin().map_err(CliError::inconclusive)
}

/// A program for a guest's shell, if it is on the host: path and where it goes.
pub(super) fn host_program(name: &str) -> Option<PathBuf> {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}
