//! Copies of the built program.

use std::path::Path;
use std::process::Command;

/// Copies a program that will be executed. A child process writes it: were it open for writing in this process, a child
/// that another thread starts at that moment would hold it open still, and execve(2) fail with ETXTBSY.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let status = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().unwrap();
    assert!(status.success(), "cp {} {}: {status}", from.as_ref().display(), to.as_ref().display());
}
