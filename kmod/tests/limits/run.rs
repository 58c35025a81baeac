//! The limits, and commands that run under each of them.

use crate::common::Lab;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

/// What a command's standard output is.
#[derive(Clone, Copy)]
enum Stdout {
    Read,
    Closed,
    Full,
    WithoutReader,
}

/// Lines of the shell that set limits, and the standard output.
#[derive(Clone, Copy)]
pub struct Limit(&'static str, Stdout);

/// Each limit alone, and all of them.
pub const ALL: &[Limit] = &[
    Limit("ulimit -v 65536", Stdout::Read),
    Limit("ulimit -s 64", Stdout::Read),
    Limit("ulimit -f 0", Stdout::Read),
    Limit("trap '' XFSZ; ulimit -f 0", Stdout::Read),
    Limit("ulimit -n 8", Stdout::Read),
    Limit("exec >&-", Stdout::Closed),
    Limit("", Stdout::Full),
    Limit("", Stdout::WithoutReader),
    Limit("trap '' XFSZ; ulimit -s 64; ulimit -f 8; ulimit -n 8; ulimit -v 65536", Stdout::Full),
    Limit("ulimit -s 64; ulimit -f 8; ulimit -n 8; ulimit -v 65536", Stdout::WithoutReader),
];

/// Those that matter for inputs whose only problem is their size.
pub const MEMORY: &[Limit] = &[
    Limit("ulimit -v 65536", Stdout::Read),
    Limit("ulimit -s 64; ulimit -f 8; ulimit -n 8; ulimit -v 65536", Stdout::Full),
];

/// More memory: for some of the large inputs it is enough.
pub const MORE_MEMORY: &[Limit] = &[
    Limit("ulimit -v 72000; ulimit -s 64; ulimit -n 8", Stdout::Read),
    Limit("ulimit -v 144000; ulimit -s 64", Stdout::Read),
    Limit("ulimit -v 288000; ulimit -s 64", Stdout::Read),
];

/// Memory that a buffer for the content of a module once filled to the last byte, so that the next small allocation failed.
pub const FILLED_MEMORY: &[Limit] = &[Limit("ulimit -v 72800; ulimit -s 64; ulimit -n 8", Stdout::Read)];

/// Words of the standard library when it gives up, and of an error that it formats. A tool has its own.
const NOT_OURS: &[&str] =
    &["memory allocation", "panicked", "fatal runtime error", "overflowed its stack", "RUST_BACKTRACE", "os error"];

fn newest(directory: &Path) -> SystemTime {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { newest(&path) } else { fs::metadata(path).unwrap().modified().unwrap() })
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Returns the programs to test.
pub fn programs() -> &'static [PathBuf] {
    static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_kmod"));
        let guest = built.ancestors().nth(2).unwrap().join("guest/kmod");
        let mut programs = vec![built];
        let sources = newest(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
        if fs::metadata(&guest).is_ok_and(|data| data.modified().unwrap() > sources) {
            programs.push(guest);
        } else {
            eprintln!("skipped: no up-to-date static program; ci/setup builds it");
        }
        programs
    })
}

/// A command under a limit.
pub struct Run<'a> {
    /// The working directory.
    pub directory: PathBuf,
    /// The program and its first arguments.
    pub program: Vec<&'a str>,
    /// Its other arguments.
    pub arguments: &'a [&'a str],
}

impl Run<'_> {
    /// Runs it.
    pub fn output(&self, Limit(script, stdout): Limit) -> Output {
        let mut command = Command::new("sh");
        // An endless loop is ended by a signal.
        let script = format!("ulimit -t 60; {script}\nexec \"$0\" \"$@\"");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(&self.directory);
        command.args(["-c", &script]).args(&self.program).args(self.arguments).stdin(Stdio::null());
        match stdout {
            Stdout::Read | Stdout::Closed => command.stdout(Stdio::piped()),
            Stdout::Full => command.stdout(File::options().write(true).open("/dev/full").unwrap()),
            Stdout::WithoutReader => {
                // The reading end is closed at once.
                let (_, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
                command.stdout(writer)
            }
        };
        command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
    }
}

/// Returns what is wrong with the end of a tool.
fn problem(output: &Output) -> Option<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let message = stderr.chars().take(400).collect::<String>();
    let status = (output.status.code(), output.status.signal());
    let is_right = match output.status.code() {
        Some(0) => true,
        Some(1) => !stderr.is_empty(),
        _ => false,
    };
    match NOT_OURS.iter().find(|words| stderr.contains(**words)) {
        Some(words) => Some(format!("{status:?}, '{words}' in {message}")),
        None => (!is_right).then(|| format!("{status:?}: {message}")),
    }
}

/// Runs tools of a lab with each program under each of these limits.
pub fn check(lab: &Lab, limits: &[Limit], commands: &[(&str, &[&str])]) {
    let mut wrong = Vec::new();
    for (number, program) in programs().iter().enumerate() {
        let directory = links(lab, number);
        for (tool, arguments) in commands {
            wrong.extend(limits.iter().filter_map(|limit| run(lab, program, &directory, tool, arguments, *limit)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A tool, its arguments, and a limit.
pub type Job = (&'static str, Vec<String>, Limit);

/// Runs jobs in a lab, several at a time, with one program: the static one, if there is one.
pub fn check_jobs(lab: &Lab, jobs: &[Job]) {
    let number = programs().len() - 1;
    let (program, directory) = (&programs()[number], links(lab, number));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some((tool, arguments, limit)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            wrong.extend(run(lab, program, &directory, tool, &arguments, *limit));
        }
        wrong
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wrong: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Creates the links to a program, under the names of the tools, in a lab.
fn links(lab: &Lab, number: usize) -> PathBuf {
    let directory = lab.path(&format!("bin{number}"));
    if !directory.exists() {
        fs::create_dir(&directory).unwrap();
        for tool in ["modprobe", "insmod", "rmmod", "lsmod", "modinfo", "depmod", "kmod"] {
            symlink(&programs()[number], directory.join(tool)).unwrap();
        }
    }
    directory
}

/// Runs a tool of a lab and returns what is wrong.
fn run(lab: &Lab, program: &Path, directory: &Path, tool: &str, arguments: &[&str], limit: Limit) -> Option<String> {
    let link = directory.join(tool);
    let output = Run { directory: lab.path(""), program: vec![link.to_str().unwrap()], arguments }.output(limit);
    problem(&output).map(|problem| report(program, tool, arguments, limit, &problem))
}

fn report(program: &Path, tool: &str, arguments: &[&str], Limit(script, stdout): Limit, problem: &str) -> String {
    let stdout = match stdout {
        Stdout::Read => "",
        Stdout::Closed => ", standard output closed",
        Stdout::Full => ", standard output full",
        Stdout::WithoutReader => ", standard output without a reader",
    };
    let arguments = arguments.join(" ").chars().take(300).collect::<String>();
    format!("{} as {tool} {arguments} after `{script}`{stdout}: {problem}", program.display())
}

/// Runs tools in a chroot under each of these limits. The program is the file `/kmodN` of the root, with N from 0.
pub fn check_in(root: &Path, limits: &[Limit], commands: &[(&str, &[&str])]) {
    let mut wrong = Vec::new();
    for (number, program) in programs().iter().enumerate() {
        for (tool, arguments) in commands {
            let link = format!("/bin{number}/{tool}");
            let program_words = vec!["chroot", root.to_str().unwrap(), &link];
            for &limit in limits {
                let output =
                    Run { directory: root.to_owned(), program: program_words.clone(), arguments }.output(limit);
                wrong.extend(problem(&output).map(|problem| report(program, tool, arguments, limit, &problem)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
