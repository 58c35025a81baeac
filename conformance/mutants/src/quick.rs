//! Quick builds: compile one object file and link, without descending into every directory, which takes longer than both.

use crate::build::{make, succeed};
use crate::work::{Kernel, WorkError, failed, remove, replace};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source file whose object file is checked to build the same image as a whole build.
const SAMPLE: &str = "kernel/umh.c";

/// An object file that is linked into the image.
#[derive(Debug)]
pub struct Object {
    /// The file, relative to the directory of the objects.
    path: PathBuf,
    /// The command that compiles it, as kbuild has stored it.
    command: String,
    /// Its contents without a fault.
    original: Vec<u8>,
}

impl Object {
    /// Returns the object file of a source file; none if there is not exactly one, or if it belongs to a module.
    ///
    /// # Errors
    /// [`WorkError`] if the object file cannot be read.
    pub fn of(kernel: &Kernel, source: &str) -> Result<Option<Object>, WorkError> {
        let Some(stem) = source.strip_suffix(".c") else {
            return Ok(None);
        };
        let objects = kernel.dir.join("objects");
        let (directory, name) = stem.rsplit_once('/').unwrap_or((".", stem));
        let stored = fs::read_to_string(objects.join(directory).join(format!(".{name}.o.cmd"))).unwrap_or_default();
        let Some(command) = command(&stored).filter(|command| !command.contains(" -DMODULE ")) else {
            return Ok(None);
        };
        let path = PathBuf::from(format!("{stem}.o"));
        let original = fs::read(objects.join(&path)).map_err(failed("read", &path))?;
        Ok(Some(Object { path, command, original }))
    }

    /// Compiles the object file and links the image.
    ///
    /// # Errors
    /// [`WorkError`] if that fails.
    pub fn build(&self, kernel: &Kernel, jobs: &str) -> Result<(), WorkError> {
        let objects = kernel.dir.join("objects");
        succeed("sh", Command::new("sh").args(["-e", "-c", &self.command]).current_dir(&objects))?;
        // The archive contains only the names of the object files. A new archive is linked again.
        let archive = objects.join("built-in.a");
        let contents = fs::read(&archive).map_err(failed("read", &archive))?;
        replace(&archive, contents)?;
        // The top-level Makefile descends into build-dir, which is `.` unless it is set here to a small directory.
        make(kernel, &["build-dir=ipc", "bzImage"], jobs)
    }

    /// Restores the object file.
    ///
    /// # Errors
    /// [`WorkError`] if it cannot be written.
    pub fn restore(&self, kernel: &Kernel) -> Result<(), WorkError> {
        replace(&kernel.dir.join("objects").join(&self.path), &self.original)
    }
}

/// Returns the command in a `.cmd` file, which is written for make.
fn command(stored: &str) -> Option<String> {
    let line = stored.lines().next()?;
    let (name, command) = line.split_once(" := ")?;
    let known = name.starts_with("savedcmd_") || name.starts_with("cmd_");
    known.then(|| command.replace("$(pound)", "#").replace("$$", "$"))
}

/// Returns whether quick builds can be used: all object files are without a fault, and a quick build without a fault makes
/// the image that a whole build has made.
///
/// # Errors
/// [`WorkError`] if files cannot be read or written, or a whole build fails.
pub fn is_usable(kernel: &Kernel, jobs: &str) -> Result<bool, WorkError> {
    let objects = kernel.dir.join("objects");
    let (faulty, stored) = (objects.join("faulty"), objects.join("quick"));
    if faulty.exists() {
        make(kernel, &["bzImage", "modules"], jobs)?;
        remove(&faulty)?;
    }
    let answer = |same: bool| format!("{} {same}", kernel.base_id());
    let known = fs::read_to_string(&stored).unwrap_or_default();
    if let Some(same) = [true, false].into_iter().find(|same| known == answer(*same)) {
        return Ok(same);
    }
    let same = match Object::of(kernel, SAMPLE)? {
        Some(sample) => sample.build(kernel, jobs).is_ok() && is_base(kernel, &objects)?,
        None => false,
    };
    replace(&stored, answer(same))?;
    Ok(same)
}

fn is_base(kernel: &Kernel, objects: &Path) -> Result<bool, WorkError> {
    let read = |path: PathBuf| fs::read(&path).map_err(failed("read", &path));
    Ok(read(objects.join("arch/x86/boot/bzImage"))? == read(kernel.dir.join("base/bzImage"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_command_is_read_as_the_shell_gets_it() {
        let stored = "savedcmd_kernel/umh.o := gcc -DA='\"$(pound)\"' -c $$x ; objtool kernel/umh.o\n\nsource := x\n";
        assert_eq!(command(stored).as_deref(), Some("gcc -DA='\"#\"' -c $x ; objtool kernel/umh.o"));
        assert_eq!(command("cmd_kernel/umh.o := gcc\n").as_deref(), Some("gcc"));
        assert_eq!(command("deps_kernel/umh.o := x\n"), None);
        assert_eq!(command(""), None);
    }
}
