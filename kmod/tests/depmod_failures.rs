//! `depmod` where it cannot write, is killed, or is not alone: the old files stay, and nothing else does.

// A failed unwrap is a failed test, in helpers too.
#![allow(clippy::unwrap_used)]

// The maker of tiny modules belongs to the library's own tests; not all that it can do is needed here.
#[path = "common/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use program::copy_program;
use testing::TinyModule;

const RELEASE: &str = "1.2.3-test";

/// A root with a module directory whose lists are of an earlier run, and the program as `bin/depmod`.
struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        let everyone = || Permissions::from_mode(0o755);
        fs::set_permissions(lab.0.path(), everyone()).unwrap();
        fs::create_dir_all(lab.dir().join("kernel")).unwrap();
        fs::create_dir(lab.0.path().join("bin")).unwrap();
        // A copy, since who may not write may not look into the target directory either.
        copy_program(env!("CARGO_BIN_EXE_kmod"), lab.0.path().join("bin/kmod"));
        fs::set_permissions(lab.0.path().join("bin/kmod"), everyone()).unwrap();
        symlink("kmod", lab.depmod()).unwrap();
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            fs::write(lab.dir().join(list), b"").unwrap();
        }
        // So many that modules.dep has more than a block of any shell's `ulimit -f`.
        (0..40).for_each(|number| lab.module(&format!("a-module-with-a-long-name-{number}.ko")));
        assert!(lab.command().output().unwrap().status.success());
        lab
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

    /// A shell command that ends in `exec "$@"`, with depmod as what it executes.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(self.depmod()).args(self.arguments());
        command
    }

    /// Standard error, with the root taken out.
    fn told(&self, output: &Output) -> String {
        String::from_utf8(output.stderr.clone()).unwrap().replace(self.0.path().to_str().unwrap(), "ROOT")
    }

    /// Every file of the directory itself, with its bytes.
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
fn a_directory_that_may_not_be_written_is_told_and_left_alone() {
    let lab = Lab::new();
    let before = lab.files();
    lab.module("new.ko");
    fs::set_permissions(lab.dir(), Permissions::from_mode(0o555)).unwrap();
    for arguments in [&[][..], &["--incremental"]] {
        let mut command = lab.command();
        if is_root() {
            // Root may write anywhere.
            command.uid(65534).gid(65534);
        }
        let output = command.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected =
            format!("depmod: FATAL: could not write ROOT/lib/modules/{RELEASE}/modules.dep: Permission denied\n");
        assert_eq!(lab.told(&output), expected);
        assert_eq!(lab.files(), before);
    }
    fs::set_permissions(lab.dir(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_that_cannot_grow_is_told_and_the_old_ones_stay() {
    let lab = Lab::new();
    let before = lab.files();
    lab.module("new.ko");
    let output = lab.shell("trap '' XFSZ; ulimit -f 1; exec \"$@\"").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("depmod: FATAL: could not write ROOT/lib/modules/{RELEASE}/modules.dep: File too large\n");
    assert_eq!(lab.told(&output), expected);
    assert_eq!(lab.files(), before);
}

#[test]
fn a_run_that_is_killed_while_it_writes_leaves_the_old_files_and_the_next_one_cleans_up() {
    let lab = Lab::new();
    let before = lab.files();
    lab.module("new.ko");
    // Without the trap the signal of the limit kills, in the middle of a write.
    let output = lab.shell("ulimit -f 1; exec \"$@\"").output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGXFSZ));
    let (left, kept): (Vec<_>, Vec<_>) = lab.files().into_iter().partition(|(name, _)| name.ends_with(".0"));
    assert_eq!(kept, before);
    assert!(!left.is_empty() && left.iter().all(|(name, _)| name.starts_with("modules.dep.")), "{left:?}");
    assert!(lab.command().output().unwrap().status.success());
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&lab.files()), names(&before));
    assert!(fs::read_to_string(lab.dir().join("modules.dep")).unwrap().contains("kernel/new.ko:"));
}

#[test]
fn a_full_disk_is_told_and_the_old_files_stay() {
    let lab = Lab::new();
    // A small file system over the module directory, in a mount namespace of this command's own: it holds a copy of the
    // directory, and is then filled to the last byte.
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
        command.args(["-m", "sh", "-c", script, "sh"]).arg(lab.dir()).arg(lab.depmod()).args(lab.arguments());
        command.output()
    };
    let output = run();
    let Some(output) = output.ok().filter(|output| is_root() && !matches!(output.status.code(), Some(77))) else {
        eprintln!("skipped: a file system of its own needs root");
        return;
    };
    let told = lab.told(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let expected = format!("could not write ROOT/lib/modules/{RELEASE}/modules.dep: No space left on device\n");
    assert_eq!(told, format!("depmod: FATAL: {expected}"));
}

#[test]
fn many_at_once_leave_what_one_alone_leaves() {
    let lab = Lab::new();
    let alone = lab.files();
    for _ in 0..5 {
        let mut runs: Vec<_> = (0..4).map(|_| lab.command().spawn().unwrap()).collect();
        runs.iter_mut().for_each(|run| assert!(run.wait().unwrap().success()));
        assert_eq!(lab.files(), alone);
    }
}

#[test]
fn a_link_to_above_and_a_path_beyond_the_limit_end() {
    let lab = Lab::new();
    symlink("..", lab.dir().join("kernel/loop")).unwrap();
    symlink("loop", lab.dir().join("kernel/loop2")).unwrap();
    // Deeper than a path can tell: made step by step.
    let mut deep = fs::File::open(lab.dir().join("kernel")).unwrap();
    let step = "d".repeat(250);
    for _ in 0..20 {
        let (mode, flags) = (rustix::fs::Mode::RWXU, rustix::fs::OFlags::DIRECTORY);
        rustix::fs::mkdirat(&deep, &step, mode).unwrap();
        deep = rustix::fs::openat(&deep, &step, flags, mode).unwrap().into();
    }
    let output = lab.command().output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told = lab.told(&output);
    assert!(told.lines().count() == 1 && told.trim_end().ends_with(": File name too long"), "{told}");
    assert_eq!(lines(&lab.dir().join("modules.dep")), 40);
    remove_deep(&lab.dir().join("kernel"), &step);
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

/// From the inside out, as the temporary directory's own removal may not come so deep.
fn remove_deep(top: &Path, step: &str) {
    let mut way = vec![fs::File::open(top).unwrap()];
    let flags = rustix::fs::OFlags::DIRECTORY;
    while let Ok(next) = rustix::fs::openat(way.last().unwrap(), step, flags, rustix::fs::Mode::empty()) {
        way.push(next.into());
    }
    while way.pop().is_some() && !way.is_empty() {
        rustix::fs::unlinkat(way.last().unwrap(), step, rustix::fs::AtFlags::REMOVEDIR).unwrap();
    }
}
