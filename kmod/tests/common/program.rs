//! Copying programs.

use std::path::Path;
use std::process::Command;

/// Copies a program that will be executed. A child process writes the copy: if this process had it open for writing, a child that
/// another thread starts meanwhile could inherit the descriptor, and execve(2) would fail with ETXTBSY.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let status = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().unwrap();
    assert!(status.success(), "cp {} {}: {status}", from.as_ref().display(), to.as_ref().display());
}
