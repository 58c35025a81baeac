//! Fetches a kernel by name, from the cache or from a distribution's packages.

use crate::cache::{Cache, CacheError, paths_in, read_json, sha256, touch, write_json};
use crate::catalogue::{Catalogue, CatalogueError, KernelEntry};
use crate::kernels::build;
use crate::kernels::bzimage::Header;
use crate::kernels::kernel::{Kernel, KernelError};
use crate::kernels::release::KernelRelease;
use crate::options::{Options, Progress};
use crate::packages::apt::AptError;
use crate::packages::index::{Index, Package, matches};
use crate::packages::offer::{self, Offer};
use crate::packages::record::{self, PackageVersion, Pointer};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// A kernel or subject could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not available on this machine: a reason to skip, not to fail.
    #[error("{name} is not available: {reason}")]
    Unavailable {
        /// The name of the kernel or subject.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The name is unknown.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// apt or dpkg failed, or a download is damaged.
    #[error(transparent)]
    Apt(AptError),
    /// The packages do not contain a complete kernel.
    #[error("the package {package} {version} does not contain {what}")]
    Incomplete {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// The missing part.
        what: String,
    },
    /// The fetched image is not a kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl From<AptError> for FetchError {
    fn from(error: AptError) -> FetchError {
        match error {
            AptError::Cache(error) => FetchError::Cache(error),
            error => FetchError::Apt(error),
        }
    }
}

/// Fetches the kernel called `name` (a name or alias of the catalogue), or takes it from the cache. A kernel that is built
/// from source is only taken from the cache, see [`build()`](crate::build()).
///
/// A kernel in the cache is used until the lock file changes, or until [`Options::refresh`].
pub fn fetch(catalogue: &Catalogue, name: &str, options: &Options<'_>) -> Result<Kernel, FetchError> {
    let entry = catalogue.resolve(name)?;
    if entry.is_built() {
        return build::cached(entry, options)?.ok_or_else(|| FetchError::Unavailable {
            name: entry.name.clone(),
            reason: format!("not built yet (build it with `kmodlab kernel build {}`)", entry.name),
        });
    }
    let locked = catalogue.lock().get(&entry.name);
    let store = Store { area: options.cache.area("kernels")? };
    if !options.refresh || options.offline {
        if let Some(kernel) = store.find(&entry.name, locked, options.offline) {
            return Ok(with_notes_reported(kernel, options));
        }
    }
    if options.offline {
        let reason = "it is not in the cache, and fetching is disabled".to_owned();
        return Err(FetchError::Unavailable { name: entry.name.clone(), reason });
    }
    let _lock = options.lock("fetch")?;
    // The previous holder of the lock may have fetched it.
    if let Some(kernel) = store.find(&entry.name, locked, false).filter(|_| !options.refresh) {
        return Ok(with_notes_reported(kernel, options));
    }
    let offer = open(entry, locked, options)?;
    let (parts, mut notes) =
        choose(&offer.index, entry, &entry.packages, locked, options.refresh)?.map_err(|reason| {
            let reason = [vec![reason], offer.missing.clone()].concat().join("; ");
            FetchError::Unavailable { name: entry.name.clone(), reason }
        })?;
    notes.extend(offer.missing.iter().cloned());
    let Some(package) = record::record(&parts) else {
        return Err(FetchError::Unavailable { name: entry.name.clone(), reason: "no package was selected".to_owned() });
    };
    let dir = record::directory_name(&package);
    if !store.area.join(&dir).join(META).exists() {
        let new = options.cache.new_dir()?;
        offer.unpack(&parts, &new.path().join(ROOT), options)?;
        let stored = Stored::examine(new.path(), &package)?;
        write_json(&new.path().join(META), &stored)?;
        options.cache.publish(new, &store.area.join(&dir))?;
    }
    let pointer = Pointer { locked: locked.cloned(), dir, notes };
    write_json(&store.area.join(format!("{}.json", entry.name)), &pointer)?;
    let kernel = store.find(&entry.name, locked, false).ok_or_else(|| FetchError::Incomplete {
        package: package.package.clone(),
        version: package.version.clone(),
        what: "a kernel that can be read back from the cache".to_owned(),
    })?;
    Ok(with_notes_reported(kernel, options))
}

/// Opens the indexes needed for the choice: `or_suites` only if the others do not offer the first pattern.
fn open(entry: &KernelEntry, locked: Option<&PackageVersion>, options: &Options<'_>) -> Result<Offer, FetchError> {
    let keep = |name: &str| wanted(entry, name);
    if entry.or_suites.is_empty() {
        return Offer::open(&entry.name, &entry.suites, keep, options);
    }
    let mut offer = Offer::default();
    offer.add(&entry.suites, keep, options)?;
    if choose(&offer.index, entry, &entry.packages[..1], locked, options.refresh)?.is_err() {
        offer.add(&entry.or_suites, keep, options)?;
    }
    Ok(offer)
}

fn with_notes_reported(kernel: Kernel, options: &Options<'_>) -> Kernel {
    for note in &kernel.notes {
        (options.progress)(Progress::Note(format!("{}: {note}", kernel.name)));
    }
    kernel
}

/// Returns whether a package matters for this entry: a matching image, or possibly a part of a split kernel.
fn wanted(entry: &KernelEntry, name: &str) -> bool {
    let part =
        ["linux-base-", "linux-binary-", "linux-modules-", "linux-image-"].iter().any(|start| name.starts_with(start));
    part || entry.packages.iter().any(|pattern| matches(pattern, name))
}

type Choice<'a> = Result<(Vec<&'a Package>, Vec<String>), String>;

/// Selects the locked version if it is offered and `newest` is not set, else the newest version whose parts are all
/// offered. The inner error is the reason why there is none.
fn choose<'a>(
    index: &'a Index,
    entry: &KernelEntry,
    patterns: &[String],
    lock: Option<&PackageVersion>,
    newest: bool,
) -> Result<Choice<'a>, AptError> {
    if let Some(lock) = lock.filter(|_| !newest) {
        if let Some(parts) = offer::locked(index, lock)? {
            return Ok(Ok((parts, Vec::new())));
        }
    }
    let mut incomplete = Vec::new();
    for (at, pattern) in patterns.iter().enumerate() {
        for image in index.matching(pattern) {
            match index.kernel_parts(image, &entry.optional) {
                Ok(parts) => {
                    let mut notes: Vec<String> =
                        lock.and_then(|lock| offer::drift(index, lock, image)).into_iter().collect();
                    if at > 0 && lock.is_none() {
                        let (name, version) = (&image.name, &image.version);
                        notes.push(format!("{} is not offered; using {name} {version}", patterns[0]));
                    }
                    return Ok(Ok((parts, notes)));
                }
                Err(part) => incomplete.push(format!("{part}, needed by {}, is missing", image.name)),
            }
        }
    }
    let suites = [&entry.suites[..], &entry.or_suites[..]].concat();
    let mut reason = format!("{} offers no {}", suites.join(", "), patterns.join(" or "));
    if !incomplete.is_empty() {
        reason = format!("{reason} ({})", incomplete.join("; "));
    }
    Ok(Err(reason))
}

const META: &str = "kernel.json";
const ROOT: &str = "root";

/// A kernel in the cache, with paths relative to its directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    release: KernelRelease,
    image: PathBuf,
    modules: Option<PathBuf>,
    config: Option<PathBuf>,
    id: String,
    package: PackageVersion,
}

impl Stored {
    /// Finds the kernel in an unpacked directory.
    pub fn examine(dir: &Path, package: &PackageVersion) -> Result<Stored, FetchError> {
        let incomplete = |what: String| FetchError::Incomplete {
            package: package.package.clone(),
            version: package.version.clone(),
            what,
        };
        let root = dir.join(ROOT);
        let image = ["boot", "usr/lib/linux"]
            .iter()
            .flat_map(|place| paths_in(&root.join(place)))
            .chain(
                ["lib/modules", "usr/lib/modules"]
                    .iter()
                    .flat_map(|place| paths_in(&root.join(place)).into_iter().map(|release| release.join("vmlinuz"))),
            )
            .find(|path| {
                path.is_file() && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"))
            })
            .ok_or_else(|| incomplete("boot/vmlinuz-*".to_owned()))?;
        let bytes = fs::read(&image).map_err(KernelError::read(&image))?;
        let header = Header::parse(&bytes).map_err(|source| KernelError::NotAKernel { path: image.clone(), source })?;
        let release = header.release;
        let find = |places: &[String]| {
            places.iter().map(|place| Path::new(ROOT).join(place)).find(|path| dir.join(path).exists())
        };
        let modules = find(&[format!("lib/modules/{release}"), format!("usr/lib/modules/{release}")])
            .ok_or_else(|| incomplete(format!("lib/modules/{release}")))?;
        let config = find(&[
            format!("boot/config-{release}"),
            format!("lib/modules/{release}/config"),
            format!("usr/lib/modules/{release}/config"),
        ]);
        let image = image.strip_prefix(dir).map(Path::to_owned).unwrap_or(image);
        Ok(Stored { release, image, modules: Some(modules), config, id: sha256(&bytes), package: package.clone() })
    }

    /// Returns the kernel if its files still exist.
    pub fn at(self, dir: &Path, name: &str, notes: Vec<String>) -> Option<Kernel> {
        let kernel = Kernel {
            name: name.to_owned(),
            release: self.release,
            image: dir.join(self.image),
            modules: self.modules.map(|path| dir.join(path)),
            config: self.config.map(|path| dir.join(path)),
            id: self.id,
            package: Some(self.package),
            notes,
        };
        kernel.image.exists().then_some(kernel)
    }
}

/// The kernels in the cache.
struct Store {
    area: PathBuf,
}

impl Store {
    /// Finds the kernel fetched for this name; with `any`, even if the lock file has changed since.
    fn find(&self, name: &str, locked: Option<&PackageVersion>, any: bool) -> Option<Kernel> {
        let pointer: Pointer = read_json(&self.area.join(format!("{name}.json")))?;
        if pointer.locked.as_ref() != locked && !any {
            return None;
        }
        let dir = self.area.join(&pointer.dir);
        touch(&dir);
        read_stored(&dir, name, pointer.notes)
    }
}

/// Reads a kernel stored in the cache.
pub(crate) fn read_stored(dir: &Path, name: &str, notes: Vec<String>) -> Option<Kernel> {
    read_json::<Stored>(&dir.join(META))?.at(dir, name, notes)
}

/// Examines a built kernel in `dir` and writes its record.
pub(crate) fn store_built(dir: &Path, package: &PackageVersion) -> Result<(), FetchError> {
    let stored = Stored::examine(dir, package)?;
    Ok(write_json(&dir.join(META), &stored)?)
}

/// Returns whether the kernel is in the cache. Nothing is downloaded.
pub fn is_cached(catalogue: &Catalogue, name: &str, cache: &Cache) -> Result<bool, FetchError> {
    let mut options = Options::new(cache.clone());
    options.offline = true;
    match fetch(catalogue, name, &options) {
        Ok(_) => Ok(true),
        Err(FetchError::Unavailable { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::index::parse_index;
    use crate::packages::record::PackageFile;

    fn entry(packages: &[&str]) -> KernelEntry {
        KernelEntry {
            name: "k".to_owned(),
            suites: vec!["suite".to_owned()],
            or_suites: Vec::new(),
            optional: Vec::new(),
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
            source: None,
            config: None,
        }
    }

    fn index(packages: &[(&str, &str, &str)]) -> Index {
        let text: String = packages
            .iter()
            .map(|(name, version, depends)| {
                format!(
                    "Package: {name}\nVersion: {version}\nDepends: {depends}\nSize: 1\nSHA256: {name}-{version}\n\n"
                )
            })
            .collect();
        let mut index = Index::default();
        index.add(parse_index(&text, "suite", |_| true));
        index
    }

    fn lock(name: &str, version: &str, sha256: &str) -> PackageVersion {
        let file = PackageFile { package: name.to_owned(), version: version.to_owned(), sha256: sha256.to_owned() };
        PackageVersion {
            suite: "suite".to_owned(),
            package: name.to_owned(),
            version: version.to_owned(),
            files: vec![file],
        }
    }

    fn pick<'a>(index: &'a Index, packages: &[&str], lock: Option<&PackageVersion>) -> Result<Choice<'a>, AptError> {
        let entry = entry(packages);
        choose(index, &entry, &entry.packages, lock, false)
    }

    fn chosen(choice: Choice<'_>) -> (String, Vec<String>) {
        let (parts, notes) = choice.unwrap();
        (parts.iter().map(|part| format!("{} {}", part.name, part.version)).collect::<Vec<_>>().join(", "), notes)
    }

    #[test]
    fn a_kernel_with_a_missing_part_is_skipped() {
        let index = index(&[
            ("image-3", "3", "linux-modules-3 (= 3)"),
            ("image-2", "2", "linux-modules-2 (= 2)"),
            ("linux-modules-2", "2", ""),
        ]);
        let (taken, notes) = chosen(pick(&index, &["image-*"], None).unwrap());
        assert_eq!(taken, "image-2 2, linux-modules-2 2");
        assert!(notes.is_empty());
        assert_eq!(
            pick(&index, &["image-3"], None).unwrap().unwrap_err(),
            "suite offers no image-3 (linux-modules-3 3, needed by image-3, is missing)"
        );
    }

    #[test]
    fn the_locked_version_is_preferred_to_a_newer_one() {
        let index = index(&[("image-1", "1", ""), ("image-2", "2", "")]);
        let lock = lock("image-1", "1", "image-1-1");
        let (taken, notes) = chosen(pick(&index, &["image-*"], Some(&lock)).unwrap());
        assert_eq!((&taken[..], notes), ("image-1 1", vec![]));
    }

    #[test]
    fn the_newest_version_is_used_on_request_with_a_note() {
        let index = index(&[("image-1", "1", ""), ("image-2", "2", "")]);
        let entry = entry(&["image-*"]);
        let pick = |lock| chosen(choose(&index, &entry, &entry.packages, Some(&lock), true).unwrap());
        let (taken, notes) = pick(lock("image-1", "1", "image-1-1"));
        assert_eq!((&taken[..], &notes[0][..]), ("image-2 2", "image-1 1 is locked; using image-2 2"));
        let (taken, notes) = pick(lock("image-2", "2", "image-2-2"));
        assert_eq!((&taken[..], notes), ("image-2 2", vec![]));
    }

    #[test]
    fn a_locked_version_that_is_no_longer_offered_is_replaced_with_a_note() {
        let index = index(&[("image-2", "2", "")]);
        let (taken, notes) = chosen(pick(&index, &["image-*"], Some(&lock("image-1", "1", "x"))).unwrap());
        assert_eq!(taken, "image-2 2");
        assert_eq!(notes, ["image-1 1 is locked but no longer offered; using image-2 2"]);
    }

    #[test]
    fn a_locked_version_with_another_sum_is_an_error() {
        let index = index(&[("image-1", "1", "")]);
        assert_eq!(
            pick(&index, &["image-*"], Some(&lock("image-1", "1", "old"))).unwrap_err().to_string(),
            "image-1 1 has SHA-256 image-1-1, expected old"
        );
    }

    #[test]
    fn a_second_choice_is_used_with_a_note() {
        let index = index(&[("image-6.19", "6.19", "")]);
        let (taken, notes) = chosen(pick(&index, &["image-6.18", "image-6.*"], None).unwrap());
        assert_eq!(
            (&taken[..], &notes[0][..]),
            ("image-6.19 6.19", "image-6.18 is not offered; using image-6.19 6.19")
        );
    }

    #[test]
    fn offline_and_with_an_empty_cache_a_kernel_is_unavailable() {
        let temp = tempfile::tempdir().unwrap();
        let mut options = Options::new(Cache::open(temp.path()).unwrap());
        options.offline = true;
        let catalogue = Catalogue::builtin().unwrap();
        let message = |name| {
            let error = fetch(&catalogue, name, &options).unwrap_err();
            assert!(matches!(error, FetchError::Unavailable { .. }), "{error}");
            error.to_string()
        };
        assert_eq!(message("default"), "6.1 is not available: it is not in the cache, and fetching is disabled");
        assert_eq!(
            message("5.10-modular-unix"),
            "5.10-modular-unix is not available: not built yet (build it with `kmodlab kernel build 5.10-modular-unix`)"
        );
        assert!(!is_cached(&catalogue, "newest", &options.cache).unwrap());
        assert!(matches!(fetch(&catalogue, "4.4", &options), Err(FetchError::Catalogue(_))));
    }
}
