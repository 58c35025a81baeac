//! make, in a kernel's source tree: quietly, at the lowest priority that does not starve, what it prints in a log.

use crate::build::{BuildError, interrupted};
use crate::cache::CacheError;
use crate::child;
use crate::options::{Options, Progress};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Lines of the log that stand in an error.
const TAIL_LINES: usize = 15;
/// How often it is told how far a build has come.
const TOLD: Duration = Duration::from_secs(10);

/// One source tree, one directory for what is made, one log.
pub(crate) struct Make<'a> {
    /// The kernel's name.
    pub name: &'a str,
    source: &'a Path,
    objects: &'a Path,
    log: &'a Path,
    log_file: &'a File,
    options: &'a Options<'a>,
    /// Further words for each call, such as `LLVM=1`.
    pub words: &'a [String],
}

impl<'a> Make<'a> {
    pub fn new(
        name: &'a str,
        (source, objects): (&'a Path, &'a Path),
        (log, log_file): (&'a Path, &'a File),
        options: &'a Options<'a>,
    ) -> Self {
        Make { name, source, objects, log, log_file, options, words: &[] }
    }

    /// The image and its modules, on all cores; tells how far it has come.
    pub fn all(&self) -> Result<(), BuildError> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let before = steps(self.log);
        let begun = Instant::now();
        let (done, ended) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while ended.recv_timeout(TOLD) == Err(RecvTimeoutError::Timeout) {
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

    /// Makes these targets.
    pub fn run(&self, targets: &[&str]) -> Result<(), BuildError> {
        let clone = || self.log_file.try_clone().map_err(CacheError::new("write", self.log));
        let (log, errors) = (clone()?, clone()?);
        let mut make = Command::new("nice");
        make.args(["make", "--no-print-directory", "ARCH=x86", "-C"])
            .arg(self.source)
            .arg(format!("O={}", self.objects.display()))
            .args(self.words)
            .args(targets)
            .env("LC_ALL", "C")
            // So that the same source gives the same image wherever and whenever it is built.
            .envs([("KBUILD_BUILD_USER", "kmodlab"), ("KBUILD_BUILD_HOST", "kmodlab"), ("KBUILD_BUILD_VERSION", "1")])
            .env("KBUILD_BUILD_TIMESTAMP", "1970-01-01 00:00:00 UTC")
            .env_remove("MAKEFLAGS")
            .env_remove("MFLAGS")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let status = child::status(&mut make, self.options.stop);
        if matches!(&status, Ok(status) if status.success()) {
            return Ok(());
        }
        let end = match status {
            Ok(status) => status.to_string(),
            // What is made so far stays: the next build goes on with it.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(interrupted()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "nice was not found".to_owned(),
            Err(error) => error.to_string(),
        };
        let text = fs::read(self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        Err(BuildError::Failed {
            name: self.name.to_owned(),
            command: format!("make {}", targets.join(" ")),
            log: self.log.to_owned(),
            tail: format!("{tail}\n({end})"),
        })
    }
}

/// How many steps a log tells of: make prints a line for each.
fn steps(log: &Path) -> usize {
    fs::read(log).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}
