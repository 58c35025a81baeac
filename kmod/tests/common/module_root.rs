//! A root directory with a module directory, and the module tools that run on it.

// Not every test file uses all of it.
#![allow(dead_code)]

// The builder of small modules belongs to the unit tests of the library; only a part of it is used here.
#[path = "../../src/object/testing.rs"]
pub mod testing;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testing::TinyModule;

/// The release whose modules the directory has.
pub const RELEASE: &str = "1.2.3-test";

/// A root directory with a module directory.
pub struct Root(tempfile::TempDir);

impl Root {
    /// Creates the directory with modules: path, exports, imports.
    pub fn new(modules: &[(&str, &[&str], &[&str])]) -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            root.put(list, b"");
        }
        for (path, exports, imports) in modules {
            root.put(path, &TinyModule::named("x").exports(exports).imports(imports).build());
        }
        root
    }

    /// Returns the root directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the module directory.
    pub fn dir(&self) -> PathBuf {
        self.path().join("lib/modules").join(RELEASE)
    }

    /// Writes a file of the module directory.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes a small module into the module directory.
    pub fn module(&self, path: &str) {
        self.put(path, &TinyModule::named("x").build());
    }

    /// Creates a symbolic link in the module directory.
    pub fn link(&self, target: &str, path: &str) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Returns a list of the module directory.
    pub fn list(&self, name: &str) -> String {
        fs::read_to_string(self.dir().join(name)).unwrap()
    }

    /// Returns a tool with arguments and an empty environment.
    pub fn command(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmod"));
        command.arg0(tool).args(arguments).env_clear();
        command
    }

    /// Runs a tool; returns exit status, standard output and standard error, with the root as `ROOT`.
    pub fn run(&self, tool: &str, arguments: &[&str]) -> String {
        self.shown(&self.command(tool, arguments).output().unwrap())
    }

    /// Formats the result of a command like [`Root::run`].
    pub fn shown(&self, output: &Output) -> String {
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(self.path().to_str().unwrap(), "ROOT");
        format!("{:?}\n{}--\n{}", output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs depmod on this root, without the configuration of the host.
    pub fn depmod(&self, arguments: &[&str]) -> String {
        let root = self.path().to_str().unwrap();
        self.run("depmod", &[&["-C", "/nonexistent", "-b", root], arguments].concat())
    }

    /// Runs depmod on this root with a configuration; returns what it prints and modules.dep.
    pub fn depmod_with(&self, config: &str) -> String {
        let file = self.path().join("depmod.conf");
        fs::write(&file, config).unwrap();
        let root = self.path().to_str().unwrap();
        let printed = self.run("depmod", &["-C", file.to_str().unwrap(), "-b", root, RELEASE]);
        printed + "--\n" + &self.list("modules.dep")
    }

    /// Runs modprobe on this root, without the configuration of the host.
    pub fn modprobe(&self, arguments: &[&str]) -> String {
        let root = self.path().to_str().unwrap();
        self.run("modprobe", &[&["-C", "/nonexistent", "-d", root, "-S", RELEASE], arguments].concat())
    }
}

/// Returns the sorted names in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
