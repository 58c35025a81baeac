//! Runs the bodies of the fuzz targets on all seeds and regressions, without a fuzzer.

use laws::TARGETS;
use std::fs;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a directory, sorted by name; none if the directory does not exist.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable entry").path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[test]
fn no_seed_or_regression_breaks_a_promise() {
    for (target, body) in TARGETS {
        let seeds = files(&fuzz().join("seeds").join(target));
        assert!(!seeds.is_empty(), "{target} has no seed");
        for input in seeds.into_iter().chain(files(&fuzz().join("regressions").join(target))) {
            let data = fs::read(&input).unwrap();
            // Shows the input if the body panics.
            eprintln!("{}", input.display());
            body(&data);
        }
    }
}

#[test]
fn every_fuzz_target_has_a_body() {
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    let programs = files(&fuzz().join("fuzz_targets"));
    let names: Vec<_> = programs.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, targets);
}
