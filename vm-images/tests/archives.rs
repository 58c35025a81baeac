//! Unusable archives: the errors, and that an untrusted archive is never used. No network: the archives are directories.

use std::fs;
use std::path::Path;
use std::process::Command;
use vm_images::{AptError, Cache, Catalogue, FetchError, Options, Subject, SubjectError};

fn options(dir: &Path) -> Options<'static> {
    let mut options = Options::new(Cache::open(dir.join("cache")).expect("a cache in a temporary directory"));
    options.mirror = Some(format!("file:{}", dir.join("debian").display()));
    options
}

fn have_apt() -> bool {
    Command::new("apt-get").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_missing_archive_makes_kernels_and_subjects_unavailable() {
    let temp = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::builtin().unwrap();
    let options = options(temp.path());
    for name in ["5.10", "newest"] {
        let error = vm_images::fetch(&catalogue, name, &options).unwrap_err();
        assert!(matches!(error, FetchError::Unavailable { .. }), "{error}");
    }
    let error = Subject::fetch("kmod-30", &options).unwrap_err();
    assert!(matches!(error, SubjectError::Unavailable { .. }), "{error}");
}

#[test]
fn an_unsigned_archive_is_an_error() {
    if !have_apt() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let suite = temp.path().join("debian/dists/bookworm");
    let packages = "Package: linux-image-6.1.0-99-cloud-amd64\nVersion: 6.1.999-1\nArchitecture: amd64\nSize: 1\n\
                    SHA256: 00\nFilename: x.deb\n\n";
    fs::create_dir_all(suite.join("main/binary-amd64")).unwrap();
    fs::write(suite.join("main/binary-amd64/Packages"), packages).unwrap();
    let release = "Suite: bookworm\nCodename: bookworm\nComponents: main\nArchitectures: amd64\n";
    fs::write(suite.join("Release"), release).unwrap();
    let error = vm_images::fetch(&Catalogue::builtin().unwrap(), "6.1", &options(temp.path())).unwrap_err();
    assert!(matches!(error, FetchError::Apt(AptError::Untrusted { .. })), "{error}");
}

/// Needs the network: `cargo test -p vm-images -- --ignored`.
#[test]
#[ignore = "downloads 30 MB into a temporary cache"]
fn the_default_kernel_is_fetched_and_then_found_offline() {
    let temp = tempfile::tempdir().unwrap();
    let mut options = Options::new(Cache::open(temp.path()).unwrap());
    let catalogue = Catalogue::builtin().unwrap();
    let fetched = vm_images::fetch(&catalogue, "default", &options).unwrap();
    options.offline = true;
    assert_eq!(vm_images::fetch(&catalogue, "default", &options).unwrap(), fetched);
    let facts = fetched.facts(&options.cache).unwrap();
    assert!(facts.contains(b"cannot be processed, kmod busy with"));
    let tree = vm_images::modules::select(&fetched, &["8021q", "loop"], &options.cache).unwrap();
    assert!(tree.modules.iter().any(|name| name == "garp"), "{:?}", tree.modules);
    assert_eq!(tree.missing, Vec::<String>::new());
}
