//! Putting the files in their places: all of them are written under temporary names first, so that whatever goes wrong before the
//! first rename leaves the directory as it was, and a reader sees an old file or a new one, never a part.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::DepmodError;
use super::output::Output;

/// What everyone may read, whatever the umask of who runs depmod.
const MODE: u32 = 0o644;

/// Writes all files into a directory, which is made when it does not exist. Gives their paths.
pub(super) fn write(dir: &Path, outputs: &[Output]) -> Result<Vec<PathBuf>, DepmodError> {
    make_directory(dir).map_err(|source| DepmodError::Write { path: dir.to_owned(), source })?;
    let failed = |output: &Output| {
        let path = dir.join(output.name);
        |source| DepmodError::Write { path, source }
    };
    // Dropping one removes its file.
    let mut waiting = Vec::with_capacity(outputs.len());
    for output in outputs {
        let mut pending = Pending::new(dir, output.name).map_err(failed(output))?;
        pending.fill(&output.bytes).map_err(failed(output))?;
        waiting.push(pending);
    }
    let mut written = Vec::with_capacity(outputs.len());
    for (output, pending) in outputs.iter().zip(&mut waiting) {
        let path = dir.join(output.name);
        pending.rename(&path).map_err(|source| DepmodError::Rename { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}

pub(super) fn make_directory(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

/// A file under a name of its own, removed unless it was renamed.
#[derive(Debug)]
pub(super) struct Pending {
    file: File,
    path: Option<PathBuf>,
}

impl Pending {
    /// An empty one in a directory.
    pub(super) fn new(dir: &Path, name: &str) -> io::Result<Self> {
        // Two depmods at once must not write into each other's files: each takes the first name that is free.
        for attempt in 0..1000 {
            let path = dir.join(format!("{name}.{}.{attempt}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path) {
                Ok(file) => return Ok(Self { file, path: Some(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
    }

    /// When it was last changed, by the file system's clock.
    pub(super) fn time(&self) -> Option<(i64, i64)> {
        self.file.metadata().ok().map(|data| (data.mtime(), data.mtime_nsec()))
    }

    pub(super) fn fill(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.set_permissions(Permissions::from_mode(MODE))
    }

    pub(super) fn rename(&mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, to)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _nothing_more_can_be_done = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_readable_by_all_and_nothing_else_is_left() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("made/below");
        let outputs = [Output { name: "b", bytes: b"2".to_vec() }, Output { name: "a", bytes: b"1".to_vec() }];
        assert_eq!(write(&dir, &outputs).unwrap(), [dir.join("b"), dir.join("a")]);
        assert_eq!(names(&dir), ["a", "b"]);
        assert_eq!(fs::read(dir.join("b")).unwrap(), b"2");
        assert_eq!(fs::metadata(dir.join("a")).unwrap().permissions().mode() & 0o7777, 0o644);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_all_as_it_was() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("a-file");
        fs::write(&dir, b"").unwrap();
        assert!(matches!(write(&dir, &[]), Err(DepmodError::Write { .. })));
        let old = top.path().join("old");
        fs::write(&old, b"old").unwrap();
        let long: &'static str = Box::leak("x".repeat(300).into_boxed_str());
        let outputs = [Output { name: "old", bytes: b"new".to_vec() }, Output { name: long, bytes: Vec::new() }];
        assert!(matches!(write(top.path(), &outputs), Err(DepmodError::Write { .. })));
        assert_eq!(fs::read(&old).unwrap(), b"old");
        assert_eq!(names(top.path()), ["a-file", "old"]);
    }

    #[test]
    fn leftovers_of_a_killed_depmod_are_no_hindrance() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join(format!("a.{}.0", std::process::id())), b"").unwrap();
        write(top.path(), &[Output { name: "a", bytes: b"1".to_vec() }]).unwrap();
        assert_eq!(fs::read(top.path().join("a")).unwrap(), b"1");
    }
}
