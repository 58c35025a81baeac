//! A kernel with files and a report, for the tests of the executor.

use super::{ModelKernel, Report};
use crate::name::ModuleName;
use crate::object::Compression;
use std::path::PathBuf;

/// The lines of a report.
#[derive(Default)]
pub(super) struct Lines(pub(super) Vec<String>);

impl Report for Lines {
    fn action(&mut self, line: &[u8]) {
        self.0.push(String::from_utf8_lossy(line).into_owned());
    }
    fn ignored(&mut self, failure: &dyn std::fmt::Display) {
        self.0.push(format!("ignored: {failure}"));
    }
    fn masked(&mut self, text: &dyn std::fmt::Display) {
        self.0.push(format!("masked: {text}"));
    }
}

pub(super) fn name(text: &str) -> ModuleName {
    ModuleName::new(text.as_bytes()).unwrap()
}

/// Returns a kernel with uncompressed module files `/m/NAME.ko`.
pub(super) fn kernel(files: &[&str]) -> ModelKernel {
    let mut kernel = ModelKernel::default();
    for file in files {
        kernel.files.insert(PathBuf::from(format!("/m/{file}.ko")), Compression::None);
    }
    kernel
}
