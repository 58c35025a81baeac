//! `depmod` when it cannot write, is killed, or runs concurrently: the old files stay, and no temporary files remain.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

// The builder of small modules belongs to the unit tests of the library; only a part of it is used here.
#[path = "common/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use program::copy_program;
use testing::TinyModule;

const RELEASE: &str = "1.2.3-test";

/// A root directory with an indexed module directory, and the program as `bin/depmod`.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        let everyone = || Permissions::from_mode(0o755);
        fs::set_permissions(fixture.0.path(), everyone()).unwrap();
        fs::create_dir_all(fixture.dir().join("kernel")).unwrap();
        fs::create_dir(fixture.0.path().join("bin")).unwrap();
        // A copy, because an unprivileged user may not be able to search the target directory.
        copy_program(env!("CARGO_BIN_EXE_kmod"), fixture.0.path().join("bin/kmod"));
        fs::set_permissions(fixture.0.path().join("bin/kmod"), everyone()).unwrap();
        symlink("kmod", fixture.depmod()).unwrap();
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            fs::write(fixture.dir().join(list), b"").unwrap();
        }
        // Enough that modules.dep is larger than a block of any shell's `ulimit -f`.
        (0..40).for_each(|number| fixture.module(&format!("a-module-with-a-long-name-{number}.ko")));
        assert!(fixture.command().output().unwrap().status.success());
        fixture
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("lib/modules").join(RELEASE)
    }

    fn depmod(&self) -> PathBuf {
        self.0.path().join("bin/depmod")
    }

    fn module(&self, name: &str) {
        let module = TinyModule::named("x").exports(&[name.trim_end_matches(".ko")]);
        fs::write(self.dir().join("kernel").join(name), module.build()).unwrap();
    }

    fn arguments(&self) -> [PathBuf; 5] {
        ["-C", "/nonexistent", "-b", self.0.path().to_str().unwrap(), RELEASE].map(PathBuf::from)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.depmod());
        command.args(self.arguments()).env_clear();
        command
    }

    /// Returns a command that runs a shell script with the depmod command as its arguments.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(self.depmod()).args(self.arguments());
        command
    }

    /// Returns standard error, with the root as `ROOT`.
    fn stderr(&self, output: &Output) -> String {
        String::from_utf8(output.stderr.clone()).unwrap().replace(self.0.path().to_str().unwrap(), "ROOT")
    }

    /// Returns every file directly in the module directory, with its content.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.dir()).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.path().is_file());
        let mut files: Vec<_> =
            files.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect();
        files.sort();
        files
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_directory_without_write_permission_is_an_error_and_stays_unchanged() {
    let fixture = Fixture::new();
    let before = fixture.files();
    fixture.module("new.ko");
    fs::set_permissions(fixture.dir(), Permissions::from_mode(0o555)).unwrap();
    for arguments in [&[][..], &["--incremental"]] {
        let mut command = fixture.command();
        if is_root() {
            // Root can write anywhere.
            command.uid(65534).gid(65534);
        }
        let output = command.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected =
            format!("depmod: FATAL: could not write ROOT/lib/modules/{RELEASE}/modules.dep: Permission denied\n");
        assert_eq!(fixture.stderr(&output), expected);
        assert_eq!(fixture.files(), before);
    }
    fs::set_permissions(fixture.dir(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_size_limit_is_an_error_and_the_old_files_stay() {
    let fixture = Fixture::new();
    let before = fixture.files();
    fixture.module("new.ko");
    let output = fixture.shell("trap '' XFSZ; ulimit -f 1; exec \"$@\"").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("depmod: FATAL: could not write ROOT/lib/modules/{RELEASE}/modules.dep: File too large\n");
    assert_eq!(fixture.stderr(&output), expected);
    assert_eq!(fixture.files(), before);
}

#[test]
fn a_run_killed_while_writing_leaves_the_old_files_and_the_next_run_cleans_up() {
    let fixture = Fixture::new();
    let before = fixture.files();
    fixture.module("new.ko");
    // While another process has the directory locked, depmod has written its files but renamed none of them. It is killed
    // when it reports that it waits.
    let directory = fs::File::open(fixture.dir()).unwrap();
    flock(&directory, FlockOperation::LockExclusive).unwrap();
    let mut depmod = fixture.command().stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(depmod.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("another process has locked")));
    depmod.kill().unwrap();
    assert_eq!(depmod.wait().unwrap().signal(), Some(libc::SIGKILL));
    drop(directory);
    let (left, kept): (Vec<_>, Vec<_>) =
        fixture.files().into_iter().partition(|(name, _)| name.ends_with(".kmodlab-depmod"));
    assert_eq!(kept, before);
    assert!(left.iter().any(|(name, _)| name.starts_with("modules.dep.")), "{left:?}");
    assert!(fixture.command().output().unwrap().status.success());
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&fixture.files()), names(&before));
    assert!(fs::read_to_string(fixture.dir().join("modules.dep")).unwrap().contains("kernel/new.ko:"));
}

#[test]
fn a_full_disk_is_an_error_and_the_old_files_stay() {
    let fixture = Fixture::new();
    // A small file system is mounted over the module directory in a separate mount namespace. It contains a copy of the
    // directory and is filled to the last byte.
    let script = r#"
        dir=$1; shift
        mkdir "$dir.copy" && cp -a "$dir/." "$dir.copy/" && mount -t tmpfs -o size=1m none "$dir" && cp -a "$dir.copy/." "$dir/" || exit 77
        cat /dev/zero > "$dir/filler" 2>/dev/null
        "$@"; code=$?
        cd "$dir" && rm filler && for file in *; do test -d "$file" || cmp "$file" "$dir.copy/$file" || exit 78; done
        exit $code
    "#;
    let run = || {
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(fixture.dir())
            .arg(fixture.depmod())
            .args(fixture.arguments());
        command.output()
    };
    let output = run();
    let Some(output) = output.ok().filter(|output| is_root() && !matches!(output.status.code(), Some(77))) else {
        eprintln!("skipped: mounting a file system needs root");
        return;
    };
    let stderr = fixture.stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let expected = format!("could not write ROOT/lib/modules/{RELEASE}/modules.dep: No space left on device\n");
    assert_eq!(stderr, format!("depmod: FATAL: {expected}"));
}

#[test]
fn files_of_others_that_look_like_temporary_files_stay() {
    let fixture = Fixture::new();
    let others = ["modules.dep.20240131.1", "modules.alias.0.0", "modules.kmodlab-cache.7.3", "modules.dep.bin.1.0"];
    others.iter().for_each(|name| fs::write(fixture.dir().join(name), b"kept").unwrap());
    assert!(fixture.command().output().unwrap().status.success());
    let files = fixture.files();
    for name in others {
        assert!(files.contains(&(name.to_owned(), b"kept".to_vec())), "{name}");
    }
}

#[test]
fn the_umask_applies_to_the_lists_and_the_cache() {
    let fixture = Fixture::new();
    for (umask, expected) in [(0o022, 0o644), (0o077, 0o600), (0o027, 0o640), (0o000, 0o644)] {
        let mut command = fixture.shell(&format!("umask {umask:o}; exec \"$@\""));
        assert!(command.arg("--incremental").output().unwrap().status.success());
        for name in ["modules.dep", "modules.dep.bin", "modules.devname", "modules.kmodlab-cache"] {
            let mode = fs::metadata(fixture.dir().join(name)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, expected, "{name} with umask {umask:o}");
        }
        // The next run has to write the cache too.
        fs::remove_file(fixture.dir().join("modules.kmodlab-cache")).unwrap();
    }
}

#[test]
fn a_foreign_lock_is_reported_after_a_second() {
    let fixture = Fixture::new();
    let lock = fs::File::open(fixture.dir()).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let start = std::time::Instant::now();
    let output = fixture.command().output().unwrap();
    assert!(output.status.success() && start.elapsed().as_secs() >= 2);
    insta::assert_snapshot!(
        fixture.stderr(&output),
        @"depmod: WARNING: another process has locked ROOT/lib/modules/1.2.3-test; waiting up to 2 more seconds"
    );
    // A lock that is released within the second is not.
    let output = std::thread::scope(|scope| {
        let run = scope.spawn(|| fixture.command().output().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(lock);
        run.join().unwrap()
    });
    assert_eq!(fixture.stderr(&output), "");
}

#[test]
fn concurrent_runs_leave_the_same_files_as_one_run() {
    let fixture = Fixture::new();
    let alone = fixture.files();
    for _ in 0..5 {
        let mut runs: Vec<_> = (0..4).map(|_| fixture.command().spawn().unwrap()).collect();
        runs.iter_mut().for_each(|run| assert!(run.wait().unwrap().success()));
        assert_eq!(fixture.files(), alone);
    }
}

#[test]
fn a_link_loop_and_a_path_beyond_the_limit_end() {
    let fixture = Fixture::new();
    symlink("..", fixture.dir().join("kernel/loop")).unwrap();
    symlink("loop", fixture.dir().join("kernel/loop2")).unwrap();
    // Deeper than PATH_MAX: created level by level.
    let mut deep = fs::File::open(fixture.dir().join("kernel")).unwrap();
    let level = "d".repeat(250);
    for _ in 0..20 {
        let (mode, flags) = (rustix::fs::Mode::RWXU, rustix::fs::OFlags::DIRECTORY);
        rustix::fs::mkdirat(&deep, &level, mode).unwrap();
        deep = rustix::fs::openat(&deep, &level, flags, mode).unwrap().into();
    }
    let output = fixture.command().output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stderr = fixture.stderr(&output);
    assert!(stderr.lines().count() == 1 && stderr.trim_end().ends_with(": File name too long"), "{stderr}");
    assert_eq!(lines(&fixture.dir().join("modules.dep")), 40);
    remove_deep(&fixture.dir().join("kernel"), &level);
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

/// Removes nested directories from the inside out, since removing the temporary directory by path may fail.
fn remove_deep(top: &Path, level: &str) {
    let mut open = vec![fs::File::open(top).unwrap()];
    let flags = rustix::fs::OFlags::DIRECTORY;
    while let Ok(next) = rustix::fs::openat(open.last().unwrap(), level, flags, rustix::fs::Mode::empty()) {
        open.push(next.into());
    }
    while open.pop().is_some() && !open.is_empty() {
        rustix::fs::unlinkat(open.last().unwrap(), level, rustix::fs::AtFlags::REMOVEDIR).unwrap();
    }
}
