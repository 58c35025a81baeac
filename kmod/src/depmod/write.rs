//! Writes the output files. All of them are written under temporary names and then renamed, so that an error before the first
//! rename leaves the directory unchanged, and a reader sees the old file or the new one, never a part.
//!
//! Several runs at once use separate temporary files, and only one run renames at a time, so that the resulting files come from
//! one run. The writer locks its temporary files (flock). An unlocked one was left by a run that was killed; the next run removes
//! it.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::output::Output;
use super::{DepmodError, Notice, cache};

/// The mode of the output files before the umask, as in C kmod.
const MODE: u32 = 0o644;

/// The end of every temporary name. No other program writes files with this suffix, so that the next run can remove them.
const TEMPORARY: &str = "kmodlab-depmod";

/// How often, and in which interval, the lock of the directory is tried: three seconds in all.
const LOCK_ATTEMPTS: u32 = 300;
const LOCK_INTERVAL: Duration = Duration::from_millis(10);
/// The number of failed attempts after which the wait is reported: one second.
const REPORTED_ATTEMPT: u32 = 100;

/// Writes all files into a directory, which is created if it does not exist. Returns their paths.
pub(super) fn write(
    dir: &Path,
    outputs: &[Output],
    notify: &mut dyn FnMut(Notice),
) -> Result<Vec<PathBuf>, DepmodError> {
    make_directory(dir).map_err(|cause| DepmodError::CreateDirectory { path: dir.to_owned(), cause })?;
    remove_leftovers(dir, outputs);
    let failed = |output: &Output| {
        let path = dir.join(output.name);
        |cause| DepmodError::Write { path, cause }
    };
    // Dropping a pending file removes it.
    let mut pending_files = Vec::with_capacity(outputs.len());
    for output in outputs {
        let mut pending = Pending::new(dir, output.name).map_err(failed(output))?;
        pending.fill(&output.bytes).map_err(failed(output))?;
        pending_files.push(pending);
    }
    let _released_when_closed = lock_directory(dir, notify);
    // A rename onto a directory would fail: report it before the first rename.
    for output in outputs {
        let path = dir.join(output.name);
        if fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir()) {
            return Err(DepmodError::Write { path, cause: io::Error::from_raw_os_error(libc::EISDIR) });
        }
    }
    let mut written = Vec::with_capacity(outputs.len());
    for (output, pending) in outputs.iter().zip(&mut pending_files) {
        let path = dir.join(output.name);
        pending.rename(&path).map_err(|cause| DepmodError::Rename { path: path.clone(), cause })?;
        written.push(path);
    }
    Ok(written)
}

/// Waits until no other depmod renames. The wait is bounded, since everyone who can read a directory can lock it, and renames
/// take milliseconds. Without a lock, as on a file system without locks, depmod goes on.
fn lock_directory(dir: &Path, notify: &mut dyn FnMut(Notice)) -> Option<File> {
    let directory = File::open(dir).ok()?;
    for attempt in 0..LOCK_ATTEMPTS {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                if attempt == REPORTED_ATTEMPT {
                    notify(Notice::Locked { path: dir.to_owned() });
                }
                std::thread::sleep(LOCK_INTERVAL);
            }
            _ => break,
        }
    }
    Some(directory)
}

pub(super) fn make_directory(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

/// Removes the temporary files of runs that were killed, which are unlocked.
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
        let is_abandoned = is_file && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Another file may have taken the name in the meantime.
        if is_abandoned && is_at(&file, &entry.path()) {
            let _the_next_run_tries_again = fs::remove_file(entry.path());
        }
    }
}

/// Returns whether a path still refers to an open file.
fn is_at(file: &File, path: &Path) -> bool {
    let inode = |data: io::Result<Metadata>| data.map(|data| (data.dev(), data.ino())).ok();
    inode(fs::symlink_metadata(path)) == inode(file.metadata())
}

/// Returns whether a suffix is `.PID.ATTEMPT.kmodlab-depmod`.
fn is_temporary_suffix(suffix: &[u8]) -> bool {
    let mut parts = suffix.split(|&byte| byte == b'.');
    let is_number = |part: Option<&[u8]>| part.is_some_and(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit));
    parts.next() == Some(b"")
        && is_number(parts.next())
        && is_number(parts.next())
        && parts.next() == Some(TEMPORARY.as_bytes())
        && parts.next().is_none()
}

/// A file under a temporary name, removed unless it was renamed.
#[derive(Debug)]
pub(super) struct Pending {
    file: File,
    path: Option<PathBuf>,
}

impl Pending {
    /// Creates an empty file in a directory.
    pub(super) fn new(dir: &Path, name: &str) -> io::Result<Self> {
        // Several runs at once must not write to each other's files: each uses the first free name.
        for attempt in 0..1000 {
            let path = dir.join(format!("{name}.{}.{attempt}.{TEMPORARY}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path) {
                Ok(file) => {
                    // Another run may find the file before it is locked, consider it abandoned, and remove it. (Any
                    // other error of flock means that the file system has no locks.)
                    let is_lost = flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK);
                    if !is_lost && is_at(&file, &path) {
                        return Ok(Self { file, path: Some(path) });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
    }

    /// Returns the mtime, by the file system's clock.
    pub(super) fn time(&self) -> Option<(i64, i64)> {
        self.file.metadata().ok().map(|data| (data.mtime(), data.mtime_nsec()))
    }

    pub(super) fn fill(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
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
    use std::os::unix::fs::PermissionsExt as _;

    fn write(dir: &Path, outputs: &[Output]) -> Result<Vec<PathBuf>, DepmodError> {
        super::write(dir, outputs, &mut drop)
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_wait_for_a_lock_is_bounded() {
        let top = tempfile::tempdir().unwrap();
        let other = File::open(top.path()).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        write(top.path(), &[Output { name: "a", bytes: b"1".to_vec() }]).unwrap();
        assert_eq!(fs::read(top.path().join("a")).unwrap(), b"1");
    }

    #[test]
    fn files_have_at_most_mode_0644_and_no_temporary_file_remains() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("made/below");
        let outputs = [Output { name: "b", bytes: b"2".to_vec() }, Output { name: "a", bytes: b"1".to_vec() }];
        assert_eq!(write(&dir, &outputs).unwrap(), [dir.join("b"), dir.join("a")]);
        assert_eq!(names(&dir), ["a", "b"]);
        assert_eq!(fs::read(dir.join("b")).unwrap(), b"2");
        assert_eq!(fs::metadata(dir.join("a")).unwrap().permissions().mode() & !MODE & 0o7777, 0);
    }

    #[test]
    fn a_write_error_leaves_the_directory_unchanged() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("a-file");
        fs::write(&dir, b"").unwrap();
        let below = dir.join("below");
        let error = write(&below, &[]).unwrap_err().to_string();
        assert_eq!(error, format!("could not create directory {}: Not a directory", below.display()));
        let old = top.path().join("old");
        fs::write(&old, b"old").unwrap();
        let long: &'static str = Box::leak("x".repeat(300).into_boxed_str());
        let outputs = [Output { name: "old", bytes: b"new".to_vec() }, Output { name: long, bytes: Vec::new() }];
        assert!(matches!(write(top.path(), &outputs), Err(DepmodError::Write { .. })));
        assert_eq!(fs::read(&old).unwrap(), b"old");
        assert_eq!(names(top.path()), ["a-file", "old"]);
    }

    #[test]
    fn a_directory_with_the_name_of_a_list_is_an_error_before_any_rename() {
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
    fn only_unlocked_temporary_files_are_removed() {
        let top = tempfile::tempdir().unwrap();
        let unrelated =
            ["a.x.0", "a.1", "a.1.2.3", "b.1.0", "aa.1.0", "a.1."].map(|name| format!("{name}.{TEMPORARY}"));
        let unrelated = unrelated.into_iter().chain(["a.7.0".to_owned(), "a.20240131.1".to_owned()]);
        let unrelated: Vec<String> = unrelated.collect();
        let abandoned = ["a.7.0", "modules.kmodlab-cache.7.3"].map(|name| format!("{name}.{TEMPORARY}"));
        for name in unrelated.iter().chain(&abandoned) {
            fs::write(top.path().join(name), b"").unwrap();
        }
        // A locked one, and a link with the name of one.
        let live = Pending::new(top.path(), "a").unwrap();
        let link = format!("a.9.9.{TEMPORARY}");
        std::os::unix::fs::symlink(&unrelated[0], top.path().join(&link)).unwrap();
        write(top.path(), &[Output { name: "a", bytes: b"1".to_vec() }]).unwrap();
        let live = live.path.as_ref().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = unrelated;
        expected.extend([live, link, "a".to_owned()]);
        expected.sort();
        assert_eq!(names(top.path()), expected);
    }

    #[test]
    fn concurrent_runs_leave_the_files_of_one_run() {
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
    fn a_temporary_file_of_a_killed_run_does_not_block_the_next_run() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join(format!("a.{}.0.{TEMPORARY}", std::process::id())), b"").unwrap();
        write(top.path(), &[Output { name: "a", bytes: b"1".to_vec() }]).unwrap();
        assert_eq!(fs::read(top.path().join("a")).unwrap(), b"1");
    }
}
