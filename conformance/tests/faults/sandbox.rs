//! A place of its own for one run: cache, temporary directory and current directory, and a mark that all its processes carry.
//! What is slow to make and never changed (kernels and what was read out of them) is linked from the usual cache.

use crate::support::{kmodlab, run, vm_or_skip};
use conformance::event::Row;
use conformance::report::json::Report;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The areas of a cache that a run only reads once they are filled.
pub const LINKED: [&str; 4] = ["kernels", "facts", "indexes", "modules"];
/// Far more than anything here takes; a test that reaches it has found something that hangs.
const LIMIT: Duration = Duration::from_secs(300);

pub struct Sandbox {
    dir: tempfile::TempDir,
    /// On the kernel's command line, and in the environment of every process.
    pub mark: String,
}

impl Sandbox {
    /// `None`: no guest can be booted here, and that has been said.
    pub fn open() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let usual = usual_cache()?;
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mark = format!("kmodlab.fault={}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        for made in ["cache/v1", "tmp", "here"] {
            std::fs::create_dir_all(dir.path().join(made)).unwrap();
        }
        for area in LINKED {
            std::os::unix::fs::symlink(usual.join(area), dir.path().join("cache/v1").join(area)).unwrap();
        }
        Some(Self { dir, mark })
    }

    /// Without any kernel in the cache.
    pub fn empty() -> Option<Self> {
        let sandbox = Self::open()?;
        LINKED.iter().for_each(|area| std::fs::remove_file(sandbox.cache(area)).unwrap());
        Some(sandbox)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A part of the cache.
    pub fn cache(&self, area: &str) -> PathBuf {
        self.path("cache/v1").join(area)
    }

    /// A program of this shell text, in the sandbox. A child writes it: were it open for writing in this process, a child that
    /// another test starts at that moment would hold it open still, and execve(2) fail with ETXTBSY.
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

    /// Any program, started in the sandbox.
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

    /// Runs it to its end; nothing is left.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = self.lab(args);
        let output = self.finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        self.nothing_is_left();
        output
    }

    /// Waits for a run's end.
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
                    panic!("it hangs; it is killed");
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
        })
    }

    /// One behaviour's row, and the exit code.
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

    /// The first process whose command line holds all these words, as soon as there is one.
    pub fn await_process(&self, words: &[&str]) -> String {
        self.await_some("a process", || {
            let found = self.processes();
            found.into_iter().find(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    /// What `found` finds, as soon as it does.
    pub fn await_some<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(value) = found() {
                return value;
            }
            assert!(Instant::now() < deadline, "{what} does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// No process, no temporary file, nothing half made.
    pub fn nothing_is_left(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
        for place in ["tmp", "here", "cache/v1/tmp"] {
            assert_eq!(names(&self.path(place)), Vec::<String>::new(), "in {place}");
        }
        assert!(names(&self.cache("templates/work")).iter().all(|name| name == "gate"));
        for name in names(&self.cache("templates")) {
            let dir = self.cache("templates").join(&name);
            assert!(!dir.is_dir() || name == "work" || dir.join("meta.json").exists(), "{name} is half a template");
        }
        let archives = names(&self.cache("initramfs"));
        assert!(archives.iter().all(|name| name.ends_with(".cpio")), "{archives:?}");
    }
}

/// The names in a directory; none if it is not there.
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

/// The usual cache with the default kernel in it and all that is read out of that.
fn usual_cache() -> Option<&'static Path> {
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
