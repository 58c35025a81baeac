//! The built program under its names, and a small module directory for it to read.

// Not every test file uses all of it.
#![allow(dead_code)]

pub mod program;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The release whose modules the directory has.
pub const RELEASE: &str = "1.2.3-test";

/// A directory with `bin/`, `lib/modules/1.2.3-test/` and `conf/`; gone when dropped.
pub struct Lab {
    dir: TempDir,
}

/// What a program did, its directory written as `LAB`.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Lab {
    /// With modules `leaf`, `mid` (needs leaf), `top` (needs mid and leaf), `al` (alias `pci:*`) and the built-in `bi`.
    pub fn new() -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(lab.tree()).unwrap();
        fs::create_dir_all(lab.path("conf")).unwrap();
        fs::create_dir_all(lab.path("bin")).unwrap();
        for name in ["modprobe", "insmod", "rmmod", "lsmod", "modinfo", "depmod", "kmod", "other"] {
            symlink(env!("CARGO_BIN_EXE_kmod"), lab.path("bin").join(name)).unwrap();
        }
        lab.index("modules.dep", "k/leaf.ko:\nk/mid.ko.xz: k/leaf.ko\nk/top.ko: k/mid.ko.xz k/leaf.ko\nk/al.ko:\n");
        lab.index("modules.alias", "alias pci:v*d00000001sv* al\nalias two leaf\nalias two al\n");
        lab.index("modules.symbols", "alias symbol:leaf_do leaf\n");
        lab.index("modules.builtin", "kernel/bi.ko\n");
        lab
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The module directory.
    pub fn tree(&self) -> PathBuf {
        self.path("lib/modules").join(RELEASE)
    }

    /// Writes a file of the module directory.
    pub fn index(&self, name: &str, text: &str) {
        fs::write(self.tree().join(name), text).unwrap();
    }

    /// Writes a configuration file.
    pub fn config(&self, name: &str, text: &str) -> &Self {
        fs::write(self.path("conf").join(name), text).unwrap();
        self
    }

    /// A program by its name, in this directory, with nothing of our environment that concerns it.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path("bin").join(name));
        command
            .current_dir(self.dir.path())
            .env_remove("MODPROBE_OPTIONS")
            .env_remove("MODPROBE_MODULE")
            .env_remove("KMOD_LOG");
        command
    }

    /// `modprobe` on this directory.
    pub fn modprobe<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Done {
        self.done(self.modprobe_command().args(arguments))
    }

    /// The same, to be changed.
    pub fn modprobe_command(&self) -> Command {
        let mut command = self.command("modprobe");
        command.arg("-d").arg(self.dir.path()).args(["-S", RELEASE, "-C"]).arg(self.path("conf"));
        command
    }

    /// Any program.
    pub fn run<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Done {
        self.done(self.command(name).args(arguments))
    }

    /// Runs a command to its end.
    pub fn done(&self, command: &mut Command) -> Done {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(self.dir.path().to_str().unwrap(), "LAB");
        Done { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

impl Done {
    /// Code, output and messages in one text, for snapshots.
    pub fn all(&self) -> String {
        format!("{:?}\n{}--\n{}", self.code, self.out, self.err)
    }
}

/// A directory to chroot into with the program, the libraries that it needs, and nothing else. None, after a word why, when
/// that cannot be done.
pub fn empty_root(lab: &Lab) -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: chroot(2) needs root");
        return None;
    }
    let root = lab.path("root");
    fs::create_dir(&root).unwrap();
    program::copy_program(env!("CARGO_BIN_EXE_kmod"), root.join("modprobe"));
    let Ok(ldd) = Command::new("ldd").arg(env!("CARGO_BIN_EXE_kmod")).output() else {
        eprintln!("skipped: no ldd to find the libraries of the program with");
        return None;
    };
    for library in String::from_utf8_lossy(&ldd.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        program::copy_program(library, target);
    }
    Some(root)
}

/// Every file under a directory with its bytes.
pub fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.is_file() {
                files.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
