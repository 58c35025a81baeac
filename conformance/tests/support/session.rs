//! Runs `kmodlab` in a temporary directory and records what it prints, for snapshots of whole texts.

use regex_lite::Regex;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary directory with a recorded session.
///
/// The environment is empty except for PATH, HOME and the cache, so that the texts are the same on every machine. The
/// directory contains `bin/`, which is first in PATH and has a QEMU that only prints its version, and `guest/` with guest
/// programs that do nothing. The cache is `cache/`.
pub struct Session {
    dir: tempfile::TempDir,
    env: Vec<(&'static str, &'static str)>,
    text: String,
}

impl Session {
    pub fn new() -> Session {
        let session = Session { dir: tempfile::tempdir().unwrap(), env: Vec::new(), text: String::new() };
        session.program("bin/qemu-system-x86_64", "echo QEMU emulator version 7.2.0");
        session.file("guest/agent", "");
        super::tiny_program(&session.path("guest/kmod"), super::EXIT_0);
        session
    }

    /// Returns the path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Creates a file and its directory.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> &Session {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
        self
    }

    /// Creates a directory.
    pub fn directory(&self, name: &str) -> &Session {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self
    }

    /// Creates an executable shell script.
    pub fn program(&self, name: &str, script: &str) -> &Session {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        super::write_script(&path, script);
        self
    }

    /// Sets a variable of the environment of the commands that follow.
    pub fn env(&mut self, name: &'static str, value: &'static str) -> &mut Session {
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value));
        self
    }

    /// Runs `kmodlab` with these arguments, separated by spaces; an argument in single quotes may contain spaces. Records
    /// the command, its output and its exit code.
    pub fn run(&mut self, args: &str) -> &mut Session {
        let tmp = self.dir.path().canonicalize().unwrap();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tmp.join("bin").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmodlab"));
        command.args(arguments(args)).current_dir(&tmp).env_clear();
        command.envs([("PATH", path.as_str()), ("HOME", "/nonexistent"), ("KMODLAB_CACHE", "cache")]);
        command.envs(self.env.iter().copied());
        let output = command.output().unwrap();
        let variables: String = self.env.iter().map(|(name, value)| format!("{name}={value} ")).collect();
        let (stdout, stderr) = (printed(&output.stdout, &tmp), printed(&output.stderr, &tmp));
        let code = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
        self.text.push_str(&format!("$ {variables}kmodlab {args}\n{stdout}{stderr}[exit code {code}]\n\n"));
        self
    }

    /// Returns the recorded session.
    pub fn transcript(&self) -> &str {
        self.text.trim_end()
    }
}

/// Splits a command line at spaces; text in single quotes is one argument.
fn arguments(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        match number % 2 {
            0 => arguments.extend(part.split_whitespace().map(str::to_owned)),
            _ => arguments.push(part.to_owned()),
        }
    }
    arguments
}

/// Returns output with placeholders for what differs from run to run.
fn printed(output: &[u8], tmp: &Path) -> String {
    let text = String::from_utf8_lossy(output).replace(&tmp.display().to_string(), "TMP");
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let seconds = Regex::new(r"\bin \d+\.\d s\b").unwrap();
    seconds.replace_all(&text, "in SECONDS s").into_owned()
}

/// Asserts that a session or a help text is as in its snapshot.
#[allow(unused_macros, reason = "not every test program has such a text")]
macro_rules! assert_text {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => true }, {
            insta::assert_snapshot!($name, $text);
        })
    };
}
#[allow(unused_imports, reason = "not every test program has such a text")]
pub(crate) use assert_text;
