//! Runs make in a kernel tree: under `nice`, with its output in a log.

use crate::cache::CacheError;
use crate::child;
use crate::options::{Options, Progress};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Lines of the log in an error.
const TAIL_LINES: usize = 15;
/// Interval of progress reports.
const PROGRESS: Duration = Duration::from_secs(10);

/// make did not build its targets.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// It failed.
    #[error("building {name}: `{command}` failed; see {}\n{tail}", log.display())]
    Failed {
        /// The name of the kernel or the tree.
        name: String,
        /// The command.
        command: String,
        /// The file with its output.
        log: PathBuf,
        /// The last lines of the output.
        tail: String,
    },
    /// It cannot be run.
    #[error("cannot run nice")]
    Run(#[source] io::Error),
    /// The run is ending: [`Options::stop`] was set.
    #[error("interrupted")]
    Interrupted,
    /// Its log cannot be written.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// A source tree, a directory for object files, and a log.
pub(crate) struct Make<'a> {
    /// The kernel's name.
    pub name: &'a str,
    source: &'a Path,
    objects: &'a Path,
    log: &'a Path,
    log_file: &'a File,
    options: &'a Options<'a>,
    /// Additional arguments of each call, such as `LLVM=1`.
    pub args: &'a [String],
}

impl<'a> Make<'a> {
    pub fn new(
        name: &'a str,
        (source, objects): (&'a Path, &'a Path),
        (log, log_file): (&'a Path, &'a File),
        options: &'a Options<'a>,
    ) -> Self {
        Make { name, source, objects, log, log_file, options, args: &[] }
    }

    /// Builds the image and the modules on all cores, and reports progress.
    pub fn all(&self) -> Result<(), MakeError> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let before = steps(self.log);
        let begun = Instant::now();
        let (done, ended) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while ended.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
                    let steps = steps(self.log).saturating_sub(before);
                    let kernel = self.name.to_owned();
                    (self.options.progress)(Progress::Built { kernel, steps, seconds: begun.elapsed().as_secs() });
                }
            });
            let made = self.run(&[&format!("-j{cpus}"), "bzImage", "modules"]);
            drop(done);
            made
        })
    }

    /// Builds targets.
    pub fn run(&self, targets: &[&str]) -> Result<(), MakeError> {
        let clone = || self.log_file.try_clone().map_err(CacheError::new("write", self.log));
        let (log, errors) = (clone()?, clone()?);
        let mut make = Command::new("nice");
        make.args(["make", "--no-print-directory", "ARCH=x86", "-C"])
            .arg(self.source)
            .arg(format!("O={}", self.objects.display()))
            .args(self.args)
            .args(targets)
            .env("LC_ALL", "C")
            // The same source must yield the same image on every machine and at any time.
            .envs([("KBUILD_BUILD_USER", "kmodlab"), ("KBUILD_BUILD_HOST", "kmodlab"), ("KBUILD_BUILD_VERSION", "1")])
            .env("KBUILD_BUILD_TIMESTAMP", "1970-01-01 00:00:00 UTC")
            // Set but empty: a git tree gets no suffix that depends on its tags.
            .env("LOCALVERSION", "")
            .env_remove("MAKEFLAGS")
            .env_remove("MFLAGS")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let status = child::status(&mut make, self.options.stop);
        if matches!(&status, Ok(status) if status.success()) {
            return Ok(());
        }
        let status = match status {
            Ok(status) => status,
            // The object files stay, and the next build continues with them.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(MakeError::Interrupted),
            Err(error) => return Err(MakeError::Run(error)),
        };
        let text = fs::read(self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        Err(MakeError::Failed {
            name: self.name.to_owned(),
            command: format!("make {}", targets.join(" ")),
            log: self.log.to_owned(),
            tail: format!("{tail}\n({status})"),
        })
    }
}

/// Counts the steps in a log: make prints one line for each.
fn steps(log: &Path) -> usize {
    fs::read(log).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}
