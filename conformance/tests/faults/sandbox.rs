//! A sandbox for one run: its own cache, temporary directory and current directory, and a mark on all its processes. What is
//! slow to create and never changes (kernels and what was read from them) is linked from the default cache.

use crate::support::{kmodlab, run, vm_or_skip};
use conformance::event::Row;
use conformance::report::json::Report;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The areas of a cache that a run only reads if they are complete.
pub const LINKED: [&str; 4] = ["kernels", "facts", "indexes", "modules"];
/// Far longer than any test takes: a test that reaches the limit hangs.
const LIMIT: Duration = Duration::from_secs(300);

pub struct Sandbox {
    dir: tempfile::TempDir,
    /// A text on the kernel command line, and in the environment of every process.
    pub mark: String,
}

impl Sandbox {
    /// Creates a sandbox. `None` if this machine cannot boot guests, which has been printed.
    pub fn open() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let default = default_cache()?;
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mark = format!("kmodlab.fault={}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        for directory in ["cache/v1", "tmp", "here"] {
            std::fs::create_dir_all(dir.path().join(directory)).unwrap();
        }
        for area in LINKED {
            std::os::unix::fs::symlink(default.join(area), dir.path().join("cache/v1").join(area)).unwrap();
        }
        Some(Self { dir, mark })
    }

    /// Creates a sandbox without kernels in the cache.
    pub fn empty() -> Option<Self> {
        let sandbox = Self::open()?;
        LINKED.iter().for_each(|area| std::fs::remove_file(sandbox.cache(area)).unwrap());
        Some(sandbox)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the path of an area of the cache.
    pub fn cache(&self, area: &str) -> PathBuf {
        self.path("cache/v1").join(area)
    }

    /// Creates an executable shell script in the sandbox.
    pub fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        crate::support::write_script(&path, script);
        path
    }

    /// Prepares a command to run in the sandbox.
    pub fn command(&self, mut command: Command) -> Command {
        command
            .current_dir(self.path("here"))
            .env("TMPDIR", self.path("tmp"))
            .env("KMODLAB_FAULT", &self.mark)
            .env("KMODLAB_CACHE", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Returns the command `kmodlab run` with these arguments.
    pub fn lab(&self, args: &[&str]) -> Command {
        let mut command = self.command(kmodlab());
        command.args(["run", "--append", &self.mark]).args(args);
        command
    }

    /// Runs `kmodlab run` until it exits; nothing is left.
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
                    panic!("it hangs");
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
        })
    }

    /// Runs one behaviour; returns the exit code and the row.
    pub fn row(&self, args: &[&str]) -> (Option<i32>, Row) {
        let output = self.run(&[&["path.newline", "--json", "-"], args].concat());
        let report: Report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let [row] = &report.results[..] else { panic!("{report:#?}") };
        (output.status.code(), row.clone())
    }

    /// Returns the processes of this sandbox.
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
            assert!(Instant::now() < deadline, "timed out waiting for {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asserts that there is no process, no temporary file and no partial result.
    pub fn nothing_is_left(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
        for place in ["tmp", "here", "cache/v1/tmp"] {
            assert_eq!(names(&self.path(place)), Vec::<String>::new(), "in {place}");
        }
        assert!(names(&self.cache("templates/work")).iter().all(|name| name == "gate"));
        for name in names(&self.cache("templates")) {
            let dir = self.cache("templates").join(&name);
            assert!(!dir.is_dir() || name == "work" || dir.join("meta.json").exists(), "{name} is a partial template");
        }
        let archives = names(&self.cache("initramfs"));
        assert!(archives.iter().all(|name| name.ends_with(".cpio")), "{archives:?}");
    }
}

/// Returns the names in a directory; none if it does not exist.
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

/// Fills the default cache with the default kernel and what is read from it; returns its directory.
fn default_cache() -> Option<&'static Path> {
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
