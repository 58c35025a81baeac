//! Builds a kernel from a distribution's source package: tinyconfig and a fragment of `configs/`, with its base.
//!
//! Everything happens in the cache. The next build continues an interrupted one; after a successful build only the
//! kernel, its modules and its configuration are kept.

use super::make::Make;
use super::{BuildError, programs};
use crate::cache::{CacheError, lock_file, read_json, write_json};
use crate::catalogue::{Catalogue, KernelEntry};
use crate::child;
use crate::kernels::fragments::{fragment, merged, without_effect};
use crate::kernels::kernel::Kernel;
use crate::kernels::store;
use crate::options::{Options, Progress};
use crate::packages::apt::AptError;
use crate::packages::offer::{self, Offer};
use crate::packages::record::{self, PackageVersion, Pointer};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Builds the kernel called `name` (such as `5.10-modular-unix`) of the built-in catalogue, or takes it from the cache.
/// A build takes minutes and runs under `nice`.
pub fn build(name: &str, options: &Options<'_>) -> Result<Kernel, BuildError> {
    let catalogue = Catalogue::builtin()?;
    let entry = catalogue.resolve(name)?;
    let unavailable = |reason: String| BuildError::Unavailable { name: entry.name.clone(), reason };
    let (Some(source), Some(config)) = (&entry.source, &entry.config) else {
        return Err(unavailable("it is a package, which is fetched".to_owned()));
    };
    if let Some(kernel) = store::built(entry, options)? {
        return Ok(kernel);
    }
    let missing = || unavailable(format!("configs/{config} does not exist"));
    let (own, text) = (fragment(config).ok_or_else(missing)?, merged(config).ok_or_else(missing)?);
    programs::check(&entry.name)?;
    let log = options.cache.area("logs")?.join(format!("build-{}.log", entry.name));
    // The log is also the lock: a make that outlives this process inherits it and so keeps others out.
    let log_file =
        lock_file(&log, options.stop, |lock| (options.progress)(Progress::Waiting { lock: lock.to_owned() }))?;
    if let Some(kernel) = store::built(entry, options)? {
        return Ok(kernel);
    }
    let work = options.cache.area("building")?.join(store::pointer_name(entry).trim_end_matches(".json"));
    let (package, notes) = unpack_source(&catalogue, entry, source, &work, options)?;
    (options.progress)(Progress::Building { kernel: entry.name.clone(), log: log.clone() });
    log_file.set_len(0).map_err(CacheError::new("empty", &log))?;
    let (source_tree, objects) = (work.join("source"), work.join("objects"));
    let make = Make::new(&entry.name, (&source_tree, &objects), (&log, &log_file), options);
    let job = Job { work: &work, make };
    job.configure(config, own, &text)?;
    job.make.all()?;
    job.install()?;

    let dir = format!("{}_{}", entry.name, record::directory_name(&package));
    let area = options.cache.area("built")?;
    let result = options.cache.new_dir()?;
    let root = result.path().join(store::ROOT);
    fs::rename(work.join("install"), &root).map_err(CacheError::new("move the built kernel to", &root))?;
    store::record(result.path(), &package)?;
    let target = area.join(format!("{dir}_{}", &store::options_id(&text)[..8]));
    // A build of the same contents whose pointer was lost; replace it.
    let _ = fs::remove_dir_all(&target);
    options.cache.publish(result, &target)?;
    let dir = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    write_json(&area.join(store::pointer_name(entry)), &Pointer { locked: Some(package), dir, notes })?;
    fs::remove_dir_all(&work).map_err(CacheError::new("remove", &work))?;
    store::built(entry, options)?.ok_or_else(|| unavailable("it was built, but is not in the cache".to_owned()))
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
    let offer = Offer::open(&entry.suites, |name| name == source, options).map_err(|error| match error {
        AptError::Unavailable(reason) => BuildError::NoSource { name: entry.name.clone(), reason },
        error => error.into(),
    })?;
    let lock = catalogue.lock().get(&entry.name);
    let locked = lock.map(|lock| offer::locked(&offer.index, lock)).transpose()?.flatten();
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
        io::ErrorKind::Interrupted => AptError::Interrupted,
        _ => AptError::Run { command: "tar", source: error },
    })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(AptError::Failed { command: "tar", message }.into());
    }
    let pointer = Pointer { locked: Some(package.clone()), dir: String::new(), notes: notes.clone() };
    write_json(&done, &pointer)?;
    Ok((package, notes))
}

/// A build in `work/source`, `work/objects` and `work/install`.
struct Job<'a> {
    work: &'a Path,
    make: Make<'a>,
}

impl Job<'_> {
    /// Configures with the fragments `text`. Each line of the entry's own fragment must be effective; the fragment that it is
    /// based on is for kernels of several versions, of which some do not know all its options.
    fn configure(&self, config: &str, own: &str, text: &str) -> Result<(), BuildError> {
        let fragment = self.work.join("source/kernel/configs/kmodlab.config");
        fs::write(&fragment, text).map_err(CacheError::new("write", &fragment))?;
        let path = self.work.join("objects/.config");
        let lost = || fs::read_to_string(&path).map(|made| without_effect(own, &made));
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
