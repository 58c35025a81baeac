//! The built program under all its names, and a small module directory.

// Not every test file uses everything.
#![allow(dead_code)]

pub mod program;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The release of the module directory.
pub const RELEASE: &str = "1.2.3-test";

/// A temporary directory with `bin/`, `lib/modules/1.2.3-test/` and `conf/`, removed on drop.
pub struct Lab {
    dir: TempDir,
}

/// The outcome of a program. Its texts show the directory of the lab as `LAB`.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Lab {
    /// Creates a lab with modules `leaf`, `mid` (needs leaf), `top` (needs mid and leaf), `al` (with an alias) and the
    /// built-in module `bi`.
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

    /// Returns a path inside the lab.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the module directory.
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

    /// Prepares a program of `bin/` to run in the lab, without the environment variables that it reads.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path("bin").join(name));
        command
            .current_dir(self.dir.path())
            .env_remove("MODPROBE_OPTIONS")
            .env_remove("MODPROBE_MODULE")
            .env_remove("KMOD_LOG");
        command
    }

    /// Runs `modprobe` on the lab.
    pub fn modprobe<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Outcome {
        self.execute(self.modprobe_command().args(arguments))
    }

    /// Prepares `modprobe` to run on the lab.
    pub fn modprobe_command(&self) -> Command {
        let mut command = self.command("modprobe");
        command.arg("-d").arg(self.dir.path()).args(["-S", RELEASE, "-C"]).arg(self.path("conf"));
        command
    }

    /// Runs a program of `bin/`.
    pub fn run<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Outcome {
        self.execute(self.command(name).args(arguments))
    }

    /// Runs a command to completion.
    pub fn execute(&self, command: &mut Command) -> Outcome {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(self.dir.path().to_str().unwrap(), "LAB");
        Outcome { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

impl Outcome {
    /// Returns exit status, output and messages as one text, for snapshots.
    pub fn transcript(&self) -> String {
        format!("{:?}\n{}--\n{}", self.code, self.out, self.err)
    }
}

/// Prepares a directory for chroot(2) that contains only the program and its shared libraries. Returns `None`, after printing the
/// reason, if that is not possible.
pub fn empty_root(lab: &Lab) -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: chroot(2) needs root");
        return None;
    }
    let root = lab.path("root");
    fs::create_dir(&root).unwrap();
    program::copy_program(env!("CARGO_BIN_EXE_kmod"), root.join("modprobe"));
    let Ok(ldd) = Command::new("ldd").arg(env!("CARGO_BIN_EXE_kmod")).output() else {
        eprintln!("skipped: ldd is not installed, which finds the libraries of the program");
        return None;
    };
    for library in String::from_utf8_lossy(&ldd.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        program::copy_program(library, target);
    }
    Some(root)
}

/// Returns every file below a directory with its content.
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
