//! Builds a kernel from a distribution's source package: tinyconfig and a fragment of `configs/`.
//!
//! Everything happens in the cache. The next build continues an interrupted one; after a successful build only the
//! kernel, its modules and its configuration are kept.

pub mod fragments;
mod make;
pub mod tree;

use crate::cache::{CacheError, ContentId, lock_file, read_json, touch, write_json};
use crate::catalogue::{Catalogue, CatalogueError, KernelEntry};
use crate::child;
use crate::kernels::build::fragments::{fragment, merge, without_effect};
use crate::kernels::build::make::Make;
use crate::kernels::fetch::{self, FetchError};
use crate::kernels::kernel::{Kernel, KernelError};
use crate::options::{Options, Progress};
use crate::packages::apt::AptError;
use crate::packages::offer::{self, Offer};
use crate::packages::record::{self, PackageVersion, Pointer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs that a build needs: package and program.
const NEEDS: [(&str, &str); 8] = [
    ("make", "make"),
    ("gcc", "gcc"),
    ("binutils", "ld"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("tar", "tar"),
    ("xz-utils", "xz"),
];

/// Why a kernel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It cannot be built on this machine: a reason to skip, not to fail.
    #[error("cannot build {name}: {reason}")]
    Unavailable {
        /// The name of the kernel or the tree.
        name: String,
        /// The reason.
        reason: String,
    },
    /// A file or directory that the user named cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A step failed.
    #[error("building {name}: `{command}` failed; see {}\n{tail}", log.display())]
    Failed {
        /// The name of the kernel or the tree.
        name: String,
        /// The command.
        command: String,
        /// The file with its output.
        log: PathBuf,
        /// The last lines of the output.
        tail: String,
    },
    /// Options in the fragment do not exist in this source or have unmet dependencies.
    #[error("{name}: these lines of configs/{config} had no effect: {}", lines.join(", "))]
    Config {
        /// The name of the kernel.
        name: String,
        /// The fragment.
        config: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// The name is unknown.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The source package.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The result of the build is not a kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Returns the kernel if it was built before with the current fragment.
pub(crate) fn cached(entry: &KernelEntry, options: &Options<'_>) -> Result<Option<Kernel>, CacheError> {
    let area = options.cache.area("built")?;
    let pointer: Option<Pointer> = read_json(&area.join(pointer_name(entry)));
    Ok(pointer.and_then(|pointer| {
        let dir = area.join(&pointer.dir);
        touch(&dir);
        fetch::read_stored(&dir, &entry.name, pointer.notes)
    }))
}

/// The name contains a hash of the options in the fragment, so that a changed option leads to a new build.
fn pointer_name(entry: &KernelEntry) -> String {
    let text = entry.config.as_deref().and_then(fragment).unwrap_or_default();
    format!("{}-{}.json", entry.name, &options_id(text)[..16])
}

/// Hashes the options of a fragment without its comments.
fn options_id(text: &str) -> String {
    ContentId::new().with(merge(&[text.to_owned()])).finish()
}

/// Builds the kernel called `name` (such as `5.10-modular-unix`) of the built-in catalogue, or takes it from the cache.
/// A build takes minutes and runs under `nice`.
pub fn build(name: &str, options: &Options<'_>) -> Result<Kernel, BuildError> {
    let catalogue = Catalogue::builtin()?;
    let entry = catalogue.resolve(name)?;
    let unavailable = |reason: String| BuildError::Unavailable { name: entry.name.clone(), reason };
    let (Some(source), Some(config)) = (&entry.source, &entry.config) else {
        return Ok(fetch::fetch(&catalogue, name, options)?);
    };
    if let Some(kernel) = cached(entry, options)? {
        return Ok(kernel);
    }
    let text = fragment(config).ok_or_else(|| unavailable(format!("configs/{config} does not exist")))?;
    let missing = missing_tools(|tool| found_in_path(tool, std::env::var_os("PATH").as_deref()));
    if !missing.is_empty() {
        return Err(unavailable(missing_packages(&missing)));
    }
    let log = options.cache.area("logs")?.join(format!("build-{}.log", entry.name));
    // The log is also the lock: a make that outlives this process inherits it and so keeps others out.
    let log_file =
        lock_file(&log, options.stop, |lock| (options.progress)(Progress::Waiting { lock: lock.to_owned() }))?;
    if let Some(kernel) = cached(entry, options)? {
        return Ok(kernel);
    }
    let work = options.cache.area("building")?.join(pointer_name(entry).trim_end_matches(".json"));
    let (package, notes) = unpack_source(&catalogue, entry, source, &work, options)?;
    (options.progress)(Progress::Building { kernel: entry.name.clone(), log: log.clone() });
    log_file.set_len(0).map_err(CacheError::new("empty", &log))?;
    let (source_tree, objects) = (work.join("source"), work.join("objects"));
    let make = Make::new(&entry.name, (&source_tree, &objects), (&log, &log_file), options);
    let job = Job { work: &work, make };
    job.configure(config, text)?;
    job.compile()?;
    job.install()?;

    let dir = format!("{}_{}", entry.name, record::directory_name(&package));
    let area = options.cache.area("built")?;
    let result = options.cache.new_dir()?;
    let root = result.path().join("root");
    fs::rename(work.join("install"), &root).map_err(CacheError::new("move the built kernel to", &root))?;
    fetch::store_built(result.path(), &package)?;
    let target = area.join(format!("{dir}_{}", &options_id(text)[..8]));
    // A build of the same contents whose pointer was lost; replace it.
    let _ = fs::remove_dir_all(&target);
    options.cache.publish(result, &target)?;
    let dir = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    write_json(&area.join(pointer_name(entry)), &Pointer { locked: Some(package), dir, notes })?;
    fs::remove_dir_all(&work).map_err(CacheError::new("remove", &work))?;
    cached(entry, options)?.ok_or_else(|| unavailable("it was built, but is not in the cache".to_owned()))
}

/// The reason of a [`BuildError::Unavailable`] for missing packages.
pub(crate) fn missing_packages(packages: &[&str]) -> String {
    format!("missing packages: {}", packages.join(" "))
}

/// Returns the packages of [`NEEDS`] whose program is missing.
pub(crate) fn missing_tools(found: impl Fn(&str) -> bool) -> Vec<&'static str> {
    NEEDS.iter().filter(|(_, tool)| !found(tool)).map(|(package, _)| *package).collect()
}

pub(crate) fn found_in_path(tool: &str, path: Option<&std::ffi::OsStr>) -> bool {
    path.is_some_and(|path| std::env::split_paths(path).any(|dir| dir.join(tool).is_file()))
}

/// Fetches the source tree to `work/source` unless it is complete already.
fn unpack_source(
    catalogue: &Catalogue,
    entry: &KernelEntry,
    source: &str,
    work: &Path,
    options: &Options<'_>,
) -> Result<(PackageVersion, Vec<String>), BuildError> {
    let done = work.join("source.json");
    if let Some(pointer) = read_json::<Pointer>(&done) {
        if let Some(package) = pointer.locked {
            return Ok((package, pointer.notes));
        }
    }
    let unavailable = |reason: String| BuildError::Unavailable { name: entry.name.clone(), reason };
    if options.offline {
        return Err(unavailable(format!("{source} is not in the cache, and fetching is disabled")));
    }
    let _lock = options.lock("fetch")?;
    let offer = Offer::open(&entry.name, &entry.suites, |name| name == source, options)?;
    let lock = catalogue.lock().get(&entry.name);
    let locked = lock.map(|lock| offer::locked(&offer.index, lock)).transpose().map_err(FetchError::from)?.flatten();
    let mut notes = Vec::new();
    let parts = match locked {
        Some(parts) => parts,
        None => {
            let newest = offer
                .index
                .newest(source)
                .ok_or_else(|| unavailable(format!("{} has no {source}", entry.suites.join(", "))))?;
            notes.extend(lock.and_then(|lock| offer::drift(&offer.index, lock, newest)));
            vec![newest]
        }
    };
    let Some(package) = record::record(&parts) else {
        return Err(unavailable(format!("{source} was not found")));
    };
    // A tree without source.json is incomplete.
    let _ = fs::remove_dir_all(work);
    let package_dir = options.cache.new_dir()?;
    offer.unpack(&parts, package_dir.path(), options)?;
    let tarball = package_dir.path().join(format!("usr/src/{source}.tar.xz"));
    let tree = work.join("source");
    fs::create_dir_all(&tree).map_err(CacheError::new("create", &tree))?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(&tarball).arg("--strip-components=1").arg("--directory").arg(&tree);
    let output = child::output(tar.stdin(Stdio::null()), options.stop).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => interrupted(),
        _ => FetchError::from(AptError::Run { command: "tar", source: error }).into(),
    })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(FetchError::from(AptError::Failed { command: "tar", message }).into());
    }
    let pointer = Pointer { locked: Some(package.clone()), dir: String::new(), notes: notes.clone() };
    write_json(&done, &pointer)?;
    Ok((package, notes))
}

pub(crate) fn interrupted() -> BuildError {
    BuildError::Fetch(FetchError::Apt(AptError::Interrupted))
}

/// A build in `work/source`, `work/objects` and `work/install`.
struct Job<'a> {
    work: &'a Path,
    make: Make<'a>,
}

impl Job<'_> {
    fn configure(&self, config: &str, text: &str) -> Result<(), BuildError> {
        let fragment = self.work.join("source/kernel/configs/kmodlab.config");
        fs::write(&fragment, text).map_err(CacheError::new("write", &fragment))?;
        let path = self.work.join("objects/.config");
        let lost = || fs::read_to_string(&path).map(|made| without_effect(text, &made));
        // An interrupted build continues with its configuration if that was complete.
        let mut lines = lost().unwrap_or_else(|_| vec![String::new()]);
        if !lines.is_empty() {
            self.make.run(&["tinyconfig", "kmodlab.config"])?;
            lines = lost().map_err(CacheError::new("read", &path))?;
        }
        if lines.is_empty() {
            return Ok(());
        }
        Err(BuildError::Config { name: self.make.name.to_owned(), config: config.to_owned(), lines })
    }

    fn compile(&self) -> Result<(), BuildError> {
        self.make.all()
    }

    /// Fills `work/install` with the layout of a distribution's package: boot/ and lib/modules/.
    fn install(&self) -> Result<(), BuildError> {
        let install = self.work.join("install");
        let _ = fs::remove_dir_all(&install);
        // Do not run the host's depmod: our own creates the index of the modules that go into a guest.
        self.make.run(&[&format!("INSTALL_MOD_PATH={}", install.display()), "DEPMOD=true", "modules_install"])?;
        let objects = self.work.join("objects");
        let release = objects.join("include/config/kernel.release");
        let release = fs::read_to_string(&release).map_err(CacheError::new("read", &release))?;
        let release = release.trim();
        let boot = install.join("boot");
        fs::create_dir_all(&boot).map_err(CacheError::new("create", &boot))?;
        for (from, to) in
            [("arch/x86/boot/bzImage", format!("vmlinuz-{release}")), (".config", format!("config-{release}"))]
        {
            let (from, to) = (objects.join(from), boot.join(to));
            fs::copy(&from, &to).map_err(CacheError::new("copy", &from))?;
        }
        // They point into a tree that is removed after the build.
        for link in ["build", "source"] {
            let _ = fs::remove_file(install.join("lib/modules").join(release).join(link));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_reported_by_package() {
        assert_eq!(missing_tools(|tool| tool != "ld" && tool != "xz"), ["binutils", "xz-utils"]);
        assert!(missing_tools(|_| true).is_empty());
        assert!(!found_in_path("make", None));
    }

    #[test]
    fn a_comment_in_a_fragment_does_not_lead_to_a_new_build() {
        assert_eq!(options_id("# a comment\nCONFIG_A=y\n"), options_id("CONFIG_A=y\n"));
        assert_ne!(options_id("CONFIG_A=y\n"), options_id("CONFIG_A=m\n"));
    }

    #[test]
    fn a_kernel_with_a_fragment_has_its_own_name() {
        let catalogue = Catalogue::builtin().unwrap();
        let name = |name| pointer_name(catalogue.resolve(name).unwrap());
        assert_ne!(name("5.10-modular-unix"), name("5.10").replace("5.10", "5.10-modular-unix"));
    }
}
