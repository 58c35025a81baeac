//! Small module files, read by modinfo, modprobe and insmod.

use crate::inputs::{compressed, lab_with, path_of, plain};
use crate::run::{ALL, check};

/// Runs the tools that read one module file on each of these. Of the small ones, modinfo reads all in one process.
fn check_each(modules: &[(&str, Vec<u8>)]) {
    let lab = lab_with(modules);
    let paths: Vec<String> = modules.iter().map(|(name, _)| path_of(name)).collect();
    let all: Vec<&str> = paths.iter().map(String::as_str).collect();
    check(&lab, ALL, &[("modinfo", &all)]);
    for path in &all {
        check(&lab, ALL, &[("modprobe", &["--show-exports", path]), ("insmod", &["-f", path])]);
    }
}

#[test]
fn uncompressed_modules_are_read_within_limits() {
    check_each(&plain());
}

#[test]
fn compressed_modules_are_read_within_limits() {
    check_each(&compressed());
}
