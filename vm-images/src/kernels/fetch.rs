//! Fetches a kernel by name, from the cache or from a distribution's packages.

use super::kernel::Kernel;
use super::store::{self, Fetched, StoreError};
use crate::cache::{Cache, CacheError, write_json};
use crate::catalogue::{Catalogue, CatalogueError, KernelEntry};
use crate::options::{Options, Progress};
use crate::packages::apt::AptError;
use crate::packages::index::{Index, Package, matches};
use crate::packages::offer::{self, Offer};
use crate::packages::record::{self, PackageVersion, Pointer};

/// A kernel could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not available on this machine: a reason to skip, not to fail.
    #[error("{name} is not available: {reason}")]
    Unavailable {
        /// The name of the kernel.
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
    /// The packages do not contain a usable kernel.
    #[error(transparent)]
    Store(#[from] StoreError),
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
        return store::built(entry, options)?.ok_or_else(|| FetchError::Unavailable {
            name: entry.name.clone(),
            reason: format!("not built yet (build it with `kmodlab kernel build {}`)", entry.name),
        });
    }
    let locked = catalogue.lock().get(&entry.name);
    let kernels = Fetched { area: options.cache.area("kernels")? };
    if !options.refresh || options.offline {
        if let Some(kernel) = kernels.find(&entry.name, locked, options.offline) {
            return Ok(with_notes_reported(kernel, options));
        }
    }
    if options.offline {
        let reason = "it is not in the cache, and fetching is disabled".to_owned();
        return Err(FetchError::Unavailable { name: entry.name.clone(), reason });
    }
    let _lock = options.lock("fetch")?;
    // The previous holder of the lock may have fetched it.
    if let Some(kernel) = kernels.find(&entry.name, locked, false).filter(|_| !options.refresh) {
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
    if !kernels.has(&dir) {
        let new = options.cache.new_dir()?;
        offer.unpack(&parts, &new.path().join(store::ROOT), options)?;
        store::record(new.path(), &package)?;
        options.cache.publish(new, &kernels.area.join(&dir))?;
    }
    let pointer = Pointer { locked: locked.cloned(), dir, notes };
    write_json(&kernels.area.join(format!("{}.json", entry.name)), &pointer)?;
    let kernel = kernels.find(&entry.name, locked, false).ok_or_else(|| StoreError::Incomplete {
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
        return Offer::open(&entry.suites, keep, options).map_err(|error| match error {
            AptError::Unavailable(reason) => FetchError::Unavailable { name: entry.name.clone(), reason },
            error => error.into(),
        });
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
