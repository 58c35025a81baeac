//! Looks up the kernels and subjects of the arguments, and obtains them.

use super::args::Common;
use super::error::CliError;
use super::setup;
use crate::run::event::SkippedKernel;
use crate::run::request::{KernelSource, PatchedSource, Request, RevisionSource, SubjectSource};
use anyhow::anyhow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use vm_images::{
    BuildError, BuiltTree, Cache, Catalogue, FetchError, Kernel, LivePatchOptions, Options, OptionsError, Progress,
    RevisionBuild, Subject, SubjectError,
};

/// The name of the kernel that this machine runs.
pub(super) const HOST: &str = "host";

/// Looks up the kernels with these names, and `modules` for those given as images. Reports invalid ones without fetching
/// anything.
pub(super) fn kernel_sources(
    names: &[String],
    modules: Option<&Path>,
    catalogue: &Catalogue,
) -> Result<Vec<KernelSource>, CliError> {
    let kernels = names
        .iter()
        .map(|text| match live_patch_of(text)? {
            None => kernel_source(text, modules, catalogue),
            Some((kernel, options)) => {
                let kernel = kernel_source(kernel, modules, catalogue)?;
                Ok(KernelSource::Patched(Box::new(PatchedSource { name: text.clone(), kernel, options })))
            }
        })
        .collect::<Result<Vec<_>, CliError>>()?;
    let has_image = names.iter().any(|text| {
        let text = live_patch_of(text).ok().flatten().map_or(&**text, |(kernel, _)| kernel);
        text != HOST && Path::new(text).is_file()
    });
    if modules.is_some() && !has_image {
        return Err(CliError::usage(anyhow!("--modules requires a kernel given as the path of a bzImage"))
            .hint("kernels in the catalogue and kernel trees have their own modules"));
    }
    Ok(kernels)
}

/// Splits the name of a kernel with request_module() in Rust, `KERNEL+rust` or `KERNEL+rust:OPTION,…`. None for the name of
/// another kernel.
fn live_patch_of(text: &str) -> Result<Option<(&str, LivePatchOptions)>, CliError> {
    if Path::new(text).exists() {
        return Ok(None);
    }
    let Some((kernel, rest)) = text.rsplit_once("+rust") else { return Ok(None) };
    let options = match (rest, rest.strip_prefix(':')) {
        ("", _) => LivePatchOptions::default(),
        (_, Some(options)) => options.parse().map_err(|error: OptionsError| {
            CliError::usage(anyhow::Error::new(error).context(format!("invalid kernel '{text}'")))
        })?,
        (_, None) => return Ok(None),
    };
    Ok(Some((kernel, options)))
}

fn kernel_source(text: &str, modules: Option<&Path>, catalogue: &Catalogue) -> Result<KernelSource, CliError> {
    let path = Path::new(text);
    if text == HOST {
        Ok(KernelSource::Image(Box::new(host_kernel()?)))
    } else if !text.contains('/') && !path.exists() {
        catalogue.resolve(text).map_err(CliError::usage)?;
        Ok(KernelSource::Named(text.to_owned()))
    } else if path.is_dir() {
        Ok(KernelSource::Tree(Box::new(BuiltTree::look(path).map_err(CliError::usage)?)))
    } else {
        Ok(KernelSource::Image(Box::new(Kernel::from_image(path, modules).map_err(CliError::usage)?)))
    }
}

/// Returns the subjects with these names; `libraries` are directories that are searched first.
pub(super) fn subject_sources(names: &[String], libraries: &[PathBuf]) -> Vec<SubjectSource> {
    let source = |text: &String| {
        if text == "ours" {
            SubjectSource::Ours
        } else if text.contains('/') || Path::new(text).exists() {
            SubjectSource::Path { path: text.into(), libraries: libraries.to_vec(), traits: None }
        } else {
            SubjectSource::Named(text.clone())
        }
    };
    names.iter().map(source).collect()
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
    sources: &[KernelSource],
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Vec<Result<Kernel, UnavailableKernel>>, CliError> {
    sources.iter().map(|source| kernel(source, catalogue, options)).collect()
}

fn kernel(
    source: &KernelSource,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Result<Kernel, UnavailableKernel>, CliError> {
    match source {
        KernelSource::Image(kernel) => Ok(Ok((**kernel).clone())),
        KernelSource::Tree(tree) => tree.clone().kernel(&options.cache).map(Ok).map_err(CliError::inconclusive),
        KernelSource::Revision(source) => revision(source, options).map(Ok),
        KernelSource::Named(name) => named_kernel(catalogue, name, options),
        KernelSource::Patched(patched) => match kernel(&patched.kernel, catalogue, options)? {
            Ok(kernel) => {
                let kernel = kernel.with_live_patch(&patched.name, patched.options, &options.cache);
                kernel.map(Ok).map_err(CliError::usage)
            }
            Err(mut unavailable) => {
                unavailable.skipped.name.clone_from(&patched.name);
                Ok(Err(unavailable))
            }
        },
    }
}

/// Builds a revision of a git repository. The kernel is called like the revision.
fn revision(source: &RevisionSource, options: &Options<'_>) -> Result<Kernel, CliError> {
    let RevisionSource { repository, revision, fragments, make_args } = source;
    let build = RevisionBuild { repository, revision, fragments, make_args };
    let dir = vm_images::build_revision(&build, options).map_err(build_failed)?;
    let tree = BuiltTree::look(&dir).map_err(CliError::inconclusive)?.named(&revision.to_string());
    tree.kernel(&options.cache).map_err(CliError::inconclusive)
}

/// Returns the error of a command whose kernel could not be built from its tree.
pub(super) fn build_failed(error: BuildError) -> CliError {
    match error {
        BuildError::Unavailable { .. } | BuildError::Read { .. } => CliError::usage(error),
        error => CliError::inconclusive(error),
    }
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
pub(super) fn accept_only_one(command: &str, request: &Request) -> Result<(), CliError> {
    for (what, given) in [("kernel", request.kernels.len()), ("subject", request.subjects.len())] {
        if given > 1 {
            return Err(CliError::usage(anyhow!("{command} accepts only one {what} ({given} given)")));
        }
    }
    Ok(())
}

/// Obtains the kernel and the subject of a command that runs on exactly one of each.
pub(super) fn only_pair(
    common: &Common,
    request: &Request,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<(Kernel, Subject), CliError> {
    let kernel = only(kernels(&request.kernels, catalogue, options)?)?;
    match &request.subjects[..] {
        [source] => Ok((kernel, subject(common, source, options)?)),
        several => Err(CliError::usage(anyhow!("expected one subject, got {}", several.len()))),
    }
}

/// Returns the kernel of a command that runs on exactly one.
pub(super) fn only(found: Vec<Result<Kernel, UnavailableKernel>>) -> Result<Kernel, CliError> {
    match <[_; 1]>::try_from(found) {
        Ok([kernel]) => kernel.map_err(|kernel| kernel.error),
        Err(several) => Err(CliError::usage(anyhow!("expected one kernel, got {}", several.len()))),
    }
}

/// Obtains subjects.
pub(super) fn subjects(
    common: &Common,
    sources: &[SubjectSource],
    options: &Options<'_>,
) -> Result<Vec<Subject>, CliError> {
    sources.iter().map(|source| subject(common, source, options)).collect()
}

fn subject(common: &Common, source: &SubjectSource, options: &Options<'_>) -> Result<Subject, CliError> {
    let subject = match source {
        SubjectSource::Ours => Subject::ours(&setup::guest_dir(common)?),
        SubjectSource::Path { path, libraries, traits } => {
            let subject = Subject::from_path(path, libraries);
            match traits {
                Some(traits) => subject.map(|subject| subject.with_traits(traits)),
                None => subject,
            }
        }
        SubjectSource::Named(name) => Subject::fetch(name, options),
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
