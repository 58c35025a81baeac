//! Subjects from packages: a program and the libraries of its distribution, unpacked into the cache.

use super::SubjectError;
use super::builder::{SubjectBuilder, contains};
use super::libraries::SearchPath;
use super::subject::{COMMANDS, Subject};
use crate::cache::{read_json, touch, write_json};
use crate::catalogue::{Catalogue, SubjectEntry};
use crate::options::{Options, Progress};
use crate::packages::apt::AptError;
use crate::packages::index::{Package, is_library};
use crate::packages::offer::{self, Offer};
use crate::packages::record::{self, PackageVersion, Pointer};
use std::fs;
use std::path::{Path, PathBuf};

/// A subject of the catalogue in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The version and the downloaded files.
    pub package: PackageVersion,
    /// The directory with the unpacked packages. Belongs to the cache and is never written to.
    pub root: PathBuf,
    /// Notes for the user, such as a version that differs from the locked one.
    pub notes: Vec<String>,
}

/// Fetches a subject of the catalogue unless it is in the cache, and returns its location.
///
/// # Errors
/// [`SubjectError`] if there is no such subject, or it is not available.
pub fn unpacked(name: &str, options: &Options<'_>) -> Result<Unpacked, SubjectError> {
    let catalogue = Catalogue::builtin()?;
    let entry = catalogue.subject(name)?;
    let area = options.cache.area("subjects")?;
    let (root, notes) = obtain(entry, catalogue.lock().get(name), &area, options)?;
    let package = root.parent().and_then(|dir| read_json(&dir.join(META)));
    let package = package.ok_or_else(|| {
        let reason = format!("{META} is missing beside {} (remove the directory to fetch it again)", root.display());
        SubjectError::Unavailable { name: name.to_owned(), reason }
    })?;
    Ok(Unpacked { package, root, notes })
}

impl Subject {
    /// Fetches a subject of the catalogue, such as `kmod-30`, `kmod-34` or `busybox`. Packages are unpacked into the cache
    /// with their libraries, never installed.
    pub fn fetch(name: &str, options: &Options<'_>) -> Result<Subject, SubjectError> {
        let catalogue = Catalogue::builtin()?;
        let entry = catalogue.subject(name)?;
        let Unpacked { root, notes, .. } = unpacked(name, options)?;
        for note in &notes {
            (options.progress)(Progress::Note(format!("{name}: {note}")));
        }
        let mut subject = from_root(entry, &root)?;
        subject.notes = notes;
        Ok(subject)
    }
}

const META: &str = "package.json";

/// Returns the directory with the unpacked packages, downloading them if necessary.
fn obtain(
    entry: &SubjectEntry,
    locked: Option<&PackageVersion>,
    area: &Path,
    options: &Options<'_>,
) -> Result<(PathBuf, Vec<String>), SubjectError> {
    let find = |any: bool| {
        let pointer: Pointer = read_json(&area.join(format!("{}.json", entry.name)))?;
        let root = area.join(&pointer.dir).join("root");
        touch(&area.join(&pointer.dir));
        ((any || pointer.locked.as_ref() == locked) && root.is_dir()).then_some((root, pointer.notes))
    };
    if let Some(found) = find(options.offline).filter(|_| !options.refresh || options.offline) {
        return Ok(found);
    }
    let unavailable = |reason: String| SubjectError::Unavailable { name: entry.name.clone(), reason };
    if options.offline {
        return Err(unavailable("it is not in the cache, and fetching is disabled".to_owned()));
    }
    let _lock = options.lock("fetch")?;
    if let Some(found) = find(false).filter(|_| !options.refresh) {
        return Ok(found);
    }
    let keep = |name: &str| name == entry.package || is_library(name);
    let offer = Offer::open(&entry.suites, keep, options).map_err(|error| match error {
        AptError::Unavailable(reason) => unavailable(reason),
        error => error.into(),
    })?;
    let mut notes = offer.missing.clone();
    let preferred = locked.filter(|_| !options.refresh);
    let still = preferred.map(|lock| offer::locked(&offer.index, lock)).transpose()?.flatten();
    let parts: Vec<&Package> = match still {
        Some(parts) => parts,
        None => {
            let program = offer
                .index
                .newest(&entry.package)
                .ok_or_else(|| unavailable(format!("{} offers no {}", entry.suites.join(", "), entry.package)))?;
            // A new version of one of its libraries is not worth a note.
            notes.extend(locked.and_then(|lock| offer::drift(&offer.index, lock, program)));
            offer.index.with_libraries(program, &entry.also)
        }
    };
    let package = record::record(&parts).ok_or_else(|| unavailable("no package was selected".to_owned()))?;
    let dir = record::directory_name(&package);
    if !area.join(&dir).exists() {
        let new = options.cache.new_dir()?;
        offer.unpack(&parts, &new.path().join("root"), options)?;
        write_json(&new.path().join(META), &package)?;
        options.cache.publish(new, &area.join(&dir))?;
    }
    let pointer = Pointer { locked: locked.cloned(), dir, notes };
    write_json(&area.join(format!("{}.json", entry.name)), &pointer)?;
    find(false).ok_or_else(|| unavailable("it was fetched, but is not in the cache".to_owned()))
}

/// Examines the subject in an unpacked root. Its program is below `/` or `/usr`.
fn from_root(entry: &SubjectEntry, root: &Path) -> Result<Subject, SubjectError> {
    let program = [root.join(&entry.program), root.join("usr").join(&entry.program)]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| SubjectError::NoCommand { path: root.join(&entry.program) })?;
    let bytes = fs::read(&program).map_err(|source| SubjectError::Read { path: program.clone(), source })?;
    let commands: Vec<&str> = COMMANDS.into_iter().filter(|command| contains(&bytes, command.as_bytes())).collect();
    let mut builder = SubjectBuilder::new(SearchPath::package(root));
    // kmod is put beside its symlinks; other programs stay where their distribution puts them.
    let guest = if entry.program == "bin/kmod" { "/sbin/kmod".to_owned() } else { format!("/{}", entry.program) };
    builder.multi_call(&program, &guest, &commands)?;
    builder.traits = Some(entry.traits.clone());
    builder.finish(&entry.name)
}
