//! Finds the libraries of a program where its loader would look, by reading headers, never by running anything.

use super::elf::{self, ElfError, Needs};
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs;
use std::path::{Path, PathBuf};

/// The first directory that Debian's loader searches; every library is put there in the guest.
const GUEST_DIR: &str = "/lib/x86_64-linux-gnu";

/// The directories that the loaders of common distributions search.
const DEFAULT_DIRS: [&str; 7] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

/// The directories to search.
#[derive(Clone, Debug)]
pub(super) struct SearchPath {
    /// Directories searched first.
    first: Vec<PathBuf>,
    /// The root directory: `/`, or that of an unpacked package. Symlinks that leave it are not followed.
    root: PathBuf,
}

impl SearchPath {
    /// Searches the given directories, then those of the host.
    pub fn host(first: &[PathBuf]) -> SearchPath {
        SearchPath { first: first.to_vec(), root: PathBuf::from("/") }
    }

    /// Searches only an unpacked package.
    pub fn package(root: &Path) -> SearchPath {
        SearchPath { first: Vec::new(), root: root.to_owned() }
    }

    fn below_root(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Returns a usable library with symlinks resolved. A file outside the root is not usable.
    fn usable(&self, path: &Path) -> Option<(PathBuf, Vec<u8>, Needs)> {
        let real = path.canonicalize().ok()?;
        let inside =
            self.first.iter().any(|dir| path.starts_with(dir)) || real.starts_with(self.root.canonicalize().ok()?);
        if !inside || !real.is_file() {
            return None;
        }
        let bytes = fs::read(&real).ok()?;
        let needs = elf::needs(&bytes).ok()?;
        Some((real, bytes, needs))
    }
}

/// A library for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Library {
    /// The file of the host.
    pub host: PathBuf,
    /// Its path in the guest.
    pub guest: String,
    /// Symlinks to it in the other directories that its loader may search.
    pub links: Vec<String>,
}

/// The libraries of a program could not be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The program itself cannot be read.
    Program(ElfError),
    /// A library or the loader was not found.
    Library { name: String, needed_by: String },
}

/// Finds all libraries of a program, including its loader. `program` is its path on the host.
pub(super) fn find(program: &Path, bytes: &[u8], search_path: &SearchPath) -> Result<Vec<Library>, Missing> {
    let needs = elf::needs(bytes).map_err(Missing::Program)?;
    let mut found: BTreeMap<String, Library> = BTreeMap::new();
    let mut todo = vec![(program.to_owned(), needs)];
    while let Some((user, needs)) = todo.pop() {
        if let Some(path) = &needs.interpreter {
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            if let Entry::Vacant(place) = found.entry(name.clone()) {
                let Some((host, mut library, more)) = find_loader(path, &name, search_path) else {
                    return Err(Missing::Library { name: path.clone(), needed_by: user.display().to_string() });
                };
                library.links.push(path.clone());
                place.insert(library);
                todo.push((host, more));
            }
        }
        let wanted =
            needs.libraries.iter().map(|name| (name, true)).chain(needs.optional.iter().map(|name| (name, false)));
        for (name, required) in wanted {
            if found.contains_key(name) {
                continue;
            }
            match find_library(name, &user, &needs.search, search_path) {
                Some((host, library, more)) => {
                    found.insert(name.clone(), library);
                    todo.push((host, more));
                }
                None if required => {
                    return Err(Missing::Library { name: name.clone(), needed_by: user.display().to_string() });
                }
                None => {}
            }
        }
    }
    Ok(found.into_values().map(tidy).collect())
}

fn find_loader(path: &str, name: &str, search_path: &SearchPath) -> Option<(PathBuf, Library, Needs)> {
    // Loader and C library must match: a directory with one of them usually contains the other.
    let first = search_path.first.iter().map(|dir| dir.join(name));
    let exact = std::iter::once(search_path.below_root(Path::new(path)));
    let usual = DEFAULT_DIRS.iter().map(|dir| search_path.below_root(&Path::new(dir).join(name)));
    let (host, _, needs) = first.chain(exact).chain(usual).find_map(|candidate| search_path.usable(&candidate))?;
    let library = Library { host: host.clone(), guest: format!("{GUEST_DIR}/{name}"), links: Vec::new() };
    Some((host, library, needs))
}

fn find_library(
    name: &str,
    user: &Path,
    search: &[String],
    search_path: &SearchPath,
) -> Option<(PathBuf, Library, Needs)> {
    let origin = user.parent().unwrap_or(Path::new("/"));
    let library = |host: PathBuf, seen: Option<&Path>| {
        let links = seen.map(|path| path.display().to_string()).into_iter().collect();
        Library { host, guest: format!("{GUEST_DIR}/{name}"), links }
    };
    for dir in &search_path.first {
        if let Some((host, _, needs)) = search_path.usable(&dir.join(name)) {
            return Some((host.clone(), library(host, None), needs));
        }
    }
    for dir in search {
        let own = ["$ORIGIN", "${ORIGIN}"].iter().find_map(|word| dir.strip_prefix(word));
        let candidate = match own {
            Some(rest) => origin.join(rest.trim_start_matches('/')).join(name),
            None => search_path.below_root(&Path::new(dir).join(name)),
        };
        if let Some((host, _, needs)) = search_path.usable(&candidate) {
            let seen = own.is_none().then(|| Path::new(dir).join(name));
            return Some((host.clone(), library(host, seen.as_deref()), needs));
        }
    }
    for dir in DEFAULT_DIRS {
        let seen = Path::new(dir).join(name);
        if let Some((host, _, needs)) = search_path.usable(&search_path.below_root(&seen)) {
            return Some((host.clone(), library(host, Some(&seen)), needs));
        }
    }
    None
}

/// Adds a symlink in /lib64, which loaders other than Debian's search, and removes duplicates.
fn tidy(mut library: Library) -> Library {
    let name = library.guest.rsplit('/').next().unwrap_or_default().to_owned();
    library.links.push(format!("/lib64/{name}"));
    library.links.retain(|link| *link != library.guest && link.starts_with('/'));
    library.links.sort();
    library.links.dedup();
    library
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Root(tempfile::TempDir);

    impl Root {
        fn new() -> Root {
            Root(tempfile::tempdir().unwrap())
        }

        fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        }

        fn find(&self, program: &Path, first: &[PathBuf]) -> Result<Vec<String>, Missing> {
            let search_path = SearchPath { first: first.to_vec(), root: self.0.path().to_owned() };
            let found = find(program, &fs::read(program).unwrap(), &search_path)?;
            let short =
                |path: &Path| path.strip_prefix(self.0.path().canonicalize().unwrap()).unwrap().display().to_string();
            Ok(found
                .iter()
                .map(|one| format!("{} = {} [{}]", one.guest, short(&one.host), one.links.join(" ")))
                .collect())
        }
    }

    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

    #[test]
    fn libraries_of_libraries_are_found_in_the_usual_directories() {
        let root = Root::new();
        root.put("usr/lib/x86_64-linux-gnu/liba.so.1", &elf::sample_program(None, &["libc.so.6"], None));
        root.put("lib/x86_64-linux-gnu/libc.so.6", &elf::sample_program(Some(LOADER), &["ld-linux-x86-64.so.2"], None));
        root.put("lib64/ld-linux-x86-64.so.2", &elf::sample_program(None, &[], None));
        let program = root.put("bin/modprobe", &elf::sample_program(Some(LOADER), &["liba.so.1"], None));
        assert_eq!(
            root.find(&program, &[]).unwrap(),
            [
                "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 = lib64/ld-linux-x86-64.so.2 [/lib64/ld-linux-x86-64.so.2]",
                "/lib/x86_64-linux-gnu/liba.so.1 = usr/lib/x86_64-linux-gnu/liba.so.1 [/lib64/liba.so.1 /usr/lib/x86_64-linux-gnu/liba.so.1]",
                "/lib/x86_64-linux-gnu/libc.so.6 = lib/x86_64-linux-gnu/libc.so.6 [/lib64/libc.so.6]",
            ]
        );
    }

    #[test]
    fn a_missing_library_is_reported_with_the_file_that_needs_it() {
        let root = Root::new();
        let library = root.put("lib/libb.so.1", &elf::sample_program(None, &["libgone.so.9"], None));
        let program = root.put("bin/modprobe", &elf::sample_program(None, &["libb.so.1"], None));
        let library = library.canonicalize().unwrap().display().to_string();
        assert_eq!(
            root.find(&program, &[]),
            Err(Missing::Library { name: "libgone.so.9".to_owned(), needed_by: library })
        );
    }

    #[test]
    fn the_users_directory_is_searched_before_those_of_the_program_and_the_host() {
        let root = Root::new();
        for dir in ["own", "opt/lib", "lib"] {
            root.put(&format!("{dir}/libx.so"), &elf::sample_program(None, &[], None));
        }
        let program = root.put("opt/bin/modprobe", &elf::sample_program(None, &["libx.so"], Some("$ORIGIN/../lib")));
        let own = root.0.path().join("own");
        assert_eq!(
            root.find(&program, &[own]).unwrap(),
            ["/lib/x86_64-linux-gnu/libx.so = own/libx.so [/lib64/libx.so]"]
        );
        assert_eq!(
            root.find(&program, &[]).unwrap(),
            ["/lib/x86_64-linux-gnu/libx.so = opt/lib/libx.so [/lib64/libx.so]"]
        );
    }

    #[test]
    fn a_symlink_that_leaves_a_package_is_not_followed() {
        let root = Root::new();
        let outside = Root::new();
        let target = outside.put("libx.so", &elf::sample_program(None, &[], None));
        fs::create_dir_all(root.0.path().join("lib")).unwrap();
        std::os::unix::fs::symlink(target, root.0.path().join("lib/libx.so")).unwrap();
        let program = root.put("bin/modprobe", &elf::sample_program(None, &["libx.so"], None));
        assert!(matches!(root.find(&program, &[]), Err(Missing::Library { .. })));
    }

    #[test]
    fn a_file_that_is_not_a_library_is_skipped() {
        let root = Root::new();
        root.put("lib/x86_64-linux-gnu/libx.so", b"/* GNU ld script */");
        root.put("usr/lib/libx.so", &elf::sample_program(None, &[], None));
        let program = root.put("bin/modprobe", &elf::sample_program(None, &["libx.so"], None));
        assert_eq!(
            root.find(&program, &[]).unwrap(),
            ["/lib/x86_64-linux-gnu/libx.so = usr/lib/libx.so [/lib64/libx.so /usr/lib/libx.so]"]
        );
    }
}
