//! Putting the files in their places: all of them are written under temporary names first, so that whatever goes wrong before the
//! first rename leaves the directory as it was, and a reader sees an old file or a new one, never a part.
//!
//! Several depmods at once: each has temporary files of its own, and only one renames at a time, so that the files that are there
//! in the end are of one run. A temporary file is locked (flock) by whoever writes it; one that nobody locks was left by a
//! run that was killed, and the next run removes it.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::output::Output;
use super::{DepmodError, cache};

/// What everyone may read, whatever the umask of who runs depmod.
const MODE: u32 = 0o644;

/// How often another depmod is asked whether it is done, and how long between: three seconds in all.
const TURN_ATTEMPTS: u32 = 300;
const TURN_PAUSE: Duration = Duration::from_millis(10);

/// Writes all files into a directory, which is made when it does not exist. Gives their paths.
pub(super) fn write(dir: &Path, outputs: &[Output]) -> Result<Vec<PathBuf>, DepmodError> {
    make_directory(dir).map_err(|source| DepmodError::Write { path: dir.to_owned(), source })?;
    remove_leftovers(dir, outputs);
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
    let _released_when_closed = take_turn(dir);
    // What can be known of a rename that will fail is told before the first one.
    for output in outputs {
        let path = dir.join(output.name);
        if fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir()) {
            return Err(DepmodError::Write { path, source: io::Error::from_raw_os_error(libc::EISDIR) });
        }
    }
    let mut written = Vec::with_capacity(outputs.len());
    for (output, pending) in outputs.iter().zip(&mut waiting) {
        let path = dir.join(output.name);
        pending.rename(&path).map_err(|source| DepmodError::Rename { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}

/// Waits until no other depmod renames. Not for ever: everyone who may read a directory may lock it, and renames take
/// milliseconds. Whoever gets no lock, as on a file system that has none, is on its own.
fn take_turn(dir: &Path) -> Option<File> {
    let turn = File::open(dir).ok()?;
    for _ in 0..TURN_ATTEMPTS {
        match flock(&turn, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(TURN_PAUSE),
            _ => break,
        }
    }
    Some(turn)
}

pub(super) fn make_directory(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

/// Removes temporary files of runs that were killed: those that nobody locks.
fn remove_leftovers(dir: &Path, outputs: &[Output]) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let ours = |name: &OsStr| {
        let name = name.as_bytes();
        let mut files = outputs.iter().map(|output| output.name).chain([cache::FILE]);
        files.any(|file| name.strip_prefix(file.as_bytes()).is_some_and(is_temporary_suffix))
    };
    for entry in entries.flatten().filter(|entry| ours(&entry.file_name())) {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(entry.path()) else { continue };
        let is_file = file.metadata().is_ok_and(|data| data.is_file());
        let is_left = is_file && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Meanwhile another file may have got its name.
        if is_left && is_at(&file, &entry.path()) {
            let _the_next_run_tries_again = fs::remove_file(entry.path());
        }
    }
}

/// Whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> bool {
    let inode = |data: io::Result<Metadata>| data.map(|data| (data.dev(), data.ino())).ok();
    inode(fs::symlink_metadata(path)) == inode(file.metadata())
}

/// `.PID.ATTEMPT`
fn is_temporary_suffix(suffix: &[u8]) -> bool {
    let mut parts = suffix.split(|&byte| byte == b'.');
    let is_number = |part: Option<&[u8]>| part.is_some_and(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit));
    parts.next() == Some(b"") && is_number(parts.next()) && is_number(parts.next()) && parts.next().is_none()
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
                Ok(file) => {
                    // Another depmod may have taken it for a leftover before it was locked, and is about to remove it or has
                    // done so. (Any other failure: the file system has no locks.)
                    let taken = flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK);
                    if !taken && is_at(&file, &path) {
                        return Ok(Self { file, path: Some(path) });
                    }
                }
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
    fn a_lock_that_is_never_released_does_not_keep_depmod_for_ever() {
        let top = tempfile::tempdir().unwrap();
        let other = File::open(top.path()).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        write(top.path(), &[Output { name: "a", bytes: b"1".to_vec() }]).unwrap();
        assert_eq!(fs::read(top.path().join("a")).unwrap(), b"1");
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
    fn a_directory_in_the_place_of_a_list_is_told_before_anything_is_renamed() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("a"), b"old").unwrap();
        fs::create_dir(top.path().join("b")).unwrap();
        let outputs = [Output { name: "a", bytes: b"new".to_vec() }, Output { name: "b", bytes: Vec::new() }];
        let error = write(top.path(), &outputs).unwrap_err().to_string();
        assert!(error.ends_with("/b: Is a directory"), "{error}");
        assert_eq!(fs::read(top.path().join("a")).unwrap(), b"old");
        assert_eq!(names(top.path()), ["a", "b"]);
    }

    #[test]
    fn leftovers_that_nobody_writes_are_removed_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let leave = ["a.x.0", "a.1", "a.1.2.3", "b.1.0", "aa.1.0", "a.1."];
        for name in leave.iter().chain(&["a.7.0", "modules.kmodlab-cache.7.3"]) {
            fs::write(top.path().join(name), b"").unwrap();
        }
        // A live one, and one that is none.
        let live = Pending::new(top.path(), "a").unwrap();
        std::os::unix::fs::symlink("a.x.0", top.path().join("a.9.9")).unwrap();
        write(top.path(), &[Output { name: "a", bytes: b"1".to_vec() }]).unwrap();
        let live = live.path.as_ref().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected: Vec<String> = leave.map(str::to_owned).to_vec();
        expected.extend([live, "a.9.9".to_owned(), "a".to_owned()]);
        expected.sort();
        assert_eq!(names(top.path()), expected);
    }

    #[test]
    fn files_written_by_many_at_once_are_of_one_run() {
        let top = tempfile::tempdir().unwrap();
        let run = |text: &str| {
            let outputs = ["a", "b", "c"].map(|name| Output { name, bytes: text.as_bytes().to_vec() });
            write(top.path(), &outputs).unwrap();
        };
        for _ in 0..20 {
            std::thread::scope(|scope| ["1", "2", "3"].map(|text| scope.spawn(move || run(text))).map(drop));
            let texts: Vec<_> = ["a", "b", "c"].iter().map(|name| fs::read(top.path().join(name)).unwrap()).collect();
            assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        }
        assert_eq!(names(top.path()), ["a", "b", "c"]);
    }

    #[test]
    fn leftovers_of_a_killed_depmod_are_no_hindrance() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join(format!("a.{}.0", std::process::id())), b"").unwrap();
        write(top.path(), &[Output { name: "a", bytes: b"1".to_vec() }]).unwrap();
        assert_eq!(fs::read(top.path().join("a")).unwrap(), b"1");
    }
}
