//! An isolated environment for one run: a cache, a temporary and a current directory, and a mark on all its processes.
//! Kernels and the data read from them, which are slow to obtain and never change, are linked from the user's cache.

use crate::support::{kmodlab, run, vm_or_skip};
use conformance::report::document::Report;
use conformance::run::event::Row;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The areas of a cache that a run only reads once they are filled.
pub const LINKED: [&str; 4] = ["kernels", "facts", "indexes", "modules"];
/// Far longer than any test takes; a test that reaches it has found a hang.
const LIMIT: Duration = Duration::from_secs(300);

pub struct Sandbox {
    dir: tempfile::TempDir,
    /// A mark on the kernel's command line and in the environment of every process.
    pub mark: String,
}

impl Sandbox {
    /// Returns `None`, after a message, if no guest can be booted on this machine.
    pub fn open() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let usual = filled_cache()?;
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mark = format!("kmodlab.fault={}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        for name in ["cache/v1", "tmp", "here"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        for area in LINKED {
            std::os::unix::fs::symlink(usual.join(area), dir.path().join("cache/v1").join(area)).unwrap();
        }
        Some(Self { dir, mark })
    }

    /// A sandbox whose cache contains no kernel.
    pub fn empty() -> Option<Self> {
        let sandbox = Self::open()?;
        LINKED.iter().for_each(|area| std::fs::remove_file(sandbox.cache(area)).unwrap());
        Some(sandbox)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An area of the cache.
    pub fn cache(&self, area: &str) -> PathBuf {
        self.path("cache/v1").join(area)
    }

    /// Creates a shell script in the sandbox. A child process writes it: a descriptor of this process, open for writing, could
    /// be inherited by a child that another test starts at that moment, and execve(2) would fail with ETXTBSY.
    pub fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let written = Command::new("sh")
            .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#, "sh"])
            .arg(&path)
            .arg(text)
            .status();
        assert!(written.unwrap().success());
        path
    }

    /// Makes a command run in the sandbox.
    pub fn command(&self, mut command: Command) -> Command {
        command
            .current_dir(self.path("here"))
            .env("TMPDIR", self.path("tmp"))
            .env("KMODLAB_FAULT", &self.mark)
            .env("KMODLAB_CACHE", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    /// `kmodlab run` with these arguments.
    pub fn lab(&self, args: &[&str]) -> Command {
        let mut command = self.command(kmodlab());
        command.args(["run", "--append", &self.mark]).args(args);
        command
    }

    /// Runs `kmodlab run` to its end and checks that nothing is left.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = self.lab(args);
        let output = self.finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        self.nothing_is_left();
        output
    }

    /// Waits for the end of a run.
    pub fn finish(&self, mut child: Child) -> Output {
        let deadline = Instant::now() + LIMIT;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            let (out, err) = (scope.spawn(|| read(out)), scope.spawn(|| read(err)));
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                if Instant::now() > deadline {
                    child.kill().unwrap();
                    panic!("the run hangs and was killed");
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
        })
    }

    /// Runs one behaviour; returns the exit code and its row.
    pub fn row(&self, args: &[&str]) -> (Option<i32>, Row) {
        let output = self.run(&[&["path.newline", "--json", "-"], args].concat());
        let report: Report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let [row] = &report.results[..] else { panic!("{report:#?}") };
        (output.status.code(), row.clone())
    }

    /// The processes of this sandbox.
    pub fn processes(&self) -> Vec<String> {
        let marked =
            |path: PathBuf| std::fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&self.mark));
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let ours = entries.filter(|entry| {
            let is_other = entry.file_name() != *std::process::id().to_string();
            is_other && (marked(entry.path().join("environ")) || marked(entry.path().join("cmdline")))
        });
        ours.map(|entry| {
            let cmdline = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&cmdline).replace('\0', " ");
            format!("{}: {text}", entry.file_name().to_string_lossy())
        })
        .collect()
    }

    /// Waits for a process whose command line contains all these words.
    pub fn await_process(&self, words: &[&str]) -> String {
        self.await_some("a process", || {
            let found = self.processes();
            found.into_iter().find(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    /// Waits until `found` returns a value.
    pub fn await_some<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(value) = found() {
                return value;
            }
            assert!(Instant::now() < deadline, "{what} did not happen in time");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Checks that no process, no temporary file and no incomplete entry is left.
    pub fn nothing_is_left(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
        for place in ["tmp", "here", "cache/v1/tmp"] {
            assert_eq!(names(&self.path(place)), Vec::<String>::new(), "in {place}");
        }
        assert!(names(&self.cache("templates/work")).iter().all(|name| name == "gate"));
        for name in names(&self.cache("templates")) {
            let dir = self.cache("templates").join(&name);
            assert!(
                !dir.is_dir() || name == "work" || dir.join("meta.json").exists(),
                "{name} is an incomplete template"
            );
        }
        let archives = names(&self.cache("initramfs"));
        assert!(archives.iter().all(|name| name.ends_with(".cpio")), "{archives:?}");
    }
}

/// The names in a directory; none if it does not exist.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn read(pipe: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).unwrap();
    }
    bytes
}

/// The user's cache, after a run that fills it with the default kernel and the data read from it.
fn filled_cache() -> Option<&'static Path> {
    static CACHE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let fill = || {
        if !vm_or_skip() {
            return None;
        }
        let output = run(&["run", "path.newline"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let dir = vm_images::Cache::default_dir(|name| std::env::var_os(name)).unwrap();
        Some(dir.canonicalize().unwrap().join("v1"))
    };
    CACHE.get_or_init(fill).as_deref()
}
