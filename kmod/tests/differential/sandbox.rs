//! Runs a case. `unshare` starts this program again in a separate user and mount namespace; it creates a root in memory that
//! contains only the tools and the files of the case, and runs the commands there. So each tool has the same
//! `/etc/modprobe.d`, `/proc/cmdline` and `/lib/modules`, and none has the privileges to change the kernel.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, prlimit, setrlimit};

use crate::case::{Case, Node, Step};
use crate::results::{self, Done, Row};
use crate::setup::Setup;

/// The directories that snapshots ignore: the tools, mounts, and the output of commands.
const IGNORED: [&str; 5] = ["/t", "/dev", "/bin", "/output", "/proc/net"];

/// The directories that exist before the files of a case are written.
const DIRECTORIES: [&str; 5] = ["/proc", "/sys/module", "/etc", "/output", "/tmp"];

/// The ends of commands that exceeded a limit of time or of the file size.
const HANGS: &str = "signal: hangs";
const ENDLESS: &str = "signal: endless";

/// Limits of a command.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Processor time, in seconds: some damaged files make C kmod loop.
    cpu: u64,
    /// A command that takes longer than this is killed.
    wall: Duration,
}

/// Runs a case with a tool and writes the results to standard output.
pub fn main(case: &Case, tool: &str, setup: &Setup, root: &Path) -> io::Result<()> {
    // The modules of a whole kernel need more.
    let (cpu, size) = if case.binds.is_empty() { (1, 1 << 22) } else { (100, 1 << 28) };
    let limits = Limits { cpu, wall: Duration::from_secs(120) };
    let sandbox = Sandbox::enter(setup, &case.binds, root, limits, size)?;
    results::write(&sandbox.run(case, tool)?, &mut io::stdout().lock())
}

/// The root that this process has entered.
pub struct Sandbox<'s> {
    setup: &'s Setup,
    binds: Vec<PathBuf>,
    limits: Limits,
    syslog: UnixDatagram,
}

impl<'s> Sandbox<'s> {
    /// Enters a root for many small cases, each of which runs after [`Sandbox::clear`].
    pub fn reusable(setup: &'s Setup, root: &Path) -> io::Result<Self> {
        Self::enter(setup, &[], root, Limits { cpu: 1, wall: Duration::from_secs(5) }, 1 << 22)
    }

    fn enter(
        setup: &'s Setup,
        binds: &[(PathBuf, PathBuf)],
        root: &Path,
        limits: Limits,
        largest_file: u64,
    ) -> io::Result<Self> {
        make_root(setup, binds, root)?;
        // Some damaged files make C kmod allocate memory without end.
        setrlimit(Resource::Fsize, at_most(largest_file))?;
        setrlimit(Resource::As, at_most(1 << 30))?;
        std::os::unix::fs::chroot(root)?;
        std::env::set_current_dir("/")?;
        let syslog = UnixDatagram::bind("/dev/log")?;
        syslog.set_nonblocking(true)?;
        Ok(Self { setup, binds: binds.iter().map(|(_, to)| to.clone()).collect(), limits, syslog })
    }

    /// Writes the files of a case and runs its commands.
    pub fn run(&self, case: &Case, tool: &str) -> io::Result<Vec<Row>> {
        fill(case)?;
        let mut before = self.snapshot()?;
        let mut rows = Vec::new();
        for (number, step) in case.steps.iter().enumerate() {
            let readers = self.setup.tools().filter(|reader| step.query && self.setup.reads(reader, tool));
            for by in std::iter::once(tool).chain(readers) {
                let mut done = self.run_step(step, by)?;
                let after = self.snapshot()?;
                done.files = changes(&before, &after);
                before = after;
                rows.push((number, by.to_owned(), done));
            }
        }
        Ok(rows)
    }

    fn run_step(&self, step: &Step, by: &str) -> io::Result<Done> {
        let (out, err) = (Path::new("/output/out"), Path::new("/output/err"));
        let mut command = command(by, &step.words)?;
        command.env_clear().env("PATH", "/bin").envs(step.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(File::create(out)?).stderr(File::create(err)?).process_group(0);
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        // The process is there until it is waited for, even if it has ended.
        prlimit(Some(pid), Resource::Cpu, at_most(self.limits.cpu))?;
        let mut done = Done::default();
        let end = Instant::now() + self.limits.wall;
        let ended = loop {
            let left = end.saturating_duration_since(Instant::now());
            let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut events = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&self.syslog, PollFlags::IN)];
            let count = poll(&mut events, Some(&limit))?;
            let ended = !events[0].revents().is_empty();
            // The socket has room for a few messages only.
            drain(&self.syslog, &mut done.syslog);
            if ended || count == 0 {
                break ended;
            }
        };
        if !ended {
            // Its install and remove commands too.
            kill_process_group(pid, Signal::KILL)?;
        }
        let status = child.wait()?;
        let end = if ended { ending(status) } else { HANGS.to_owned() };
        Ok(Done { end, out: fs::read(out)?, err: fs::read(err)?, ..done })
    }

    /// Removes everything that cases and commands can write.
    pub fn clear(&self) -> io::Result<()> {
        for (path, (kind, _)) in self.snapshot()?.iter().rev() {
            let kept = DIRECTORIES.iter().any(|directory| Path::new(directory).starts_with(path));
            match kind.starts_with("directory") {
                true if kept => {}
                true => fs::remove_dir(path)?,
                false => fs::remove_file(path)?,
            }
        }
        Ok(())
    }

    /// Reads everything in the root that a command can change.
    fn snapshot(&self) -> io::Result<Snapshot> {
        let mut found = Snapshot::new();
        let mut todo = vec![PathBuf::from("/")];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                if IGNORED.iter().any(|ignored| path == Path::new(ignored)) || self.binds.contains(&path) {
                    continue;
                }
                let meta = fs::symlink_metadata(&path)?;
                let mode = meta.permissions().mode() & 0o7777;
                let what = if meta.is_dir() {
                    todo.push(path.clone());
                    (format!("directory {mode:o}"), Vec::new())
                } else if meta.is_symlink() {
                    ("link".to_owned(), fs::read_link(&path)?.as_os_str().as_bytes().to_vec())
                } else {
                    (format!("file {mode:o}"), fs::read(&path)?)
                };
                found.insert(path, what);
            }
        }
        Ok(found)
    }
}

fn at_most(amount: u64) -> Rlimit {
    Rlimit { current: Some(amount), maximum: Some(amount) }
}

fn make_root(setup: &Setup, binds: &[(PathBuf, PathBuf)], root: &Path) -> io::Result<()> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount};
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    mount("tmpfs", root, "tmpfs", MountFlags::empty(), c"mode=0755")?;
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let bind = |from: &Path, to: &Path| -> io::Result<()> {
        let to = inside(to);
        if from.is_dir() {
            fs::create_dir_all(&to)?;
        } else {
            fs::create_dir_all(to.parent().unwrap_or(root))?;
            File::create(&to)?;
        }
        mount_bind(from, &to)?;
        if from != Path::new("/dev/null") {
            // Flags that the file system itself was mounted with, such as nosuid, must be kept.
            let keep = [MountFlags::empty(), MountFlags::NOSUID | MountFlags::NODEV, MountFlags::NOATIME];
            let remount = |flags| mount_remount(&to, MountFlags::BIND | MountFlags::RDONLY | flags, "");
            if !keep.into_iter().any(|flags| remount(flags).is_ok()) {
                return Err(io::Error::other(format!("cannot mount {} read-only", to.display())));
            }
        }
        Ok(())
    };
    for (from, to) in setup.binds() {
        bind(&from, &to)?;
    }
    bind(Path::new("/dev/null"), Path::new("/dev/null"))?;
    for directory in DIRECTORIES {
        fs::create_dir_all(inside(Path::new(directory)))?;
    }
    // Without this file our tools assume a kernel without Unix sockets and do not use /dev/log.
    bind(Path::new("/proc/self/net/unix"), Path::new("/proc/net/unix"))?;
    binds.iter().try_for_each(|(from, to)| bind(from, to))
}

/// Writes the files of a case into the root.
fn fill(case: &Case) -> io::Result<()> {
    let mut nodes: Vec<_> = case.tree().into_iter().collect();
    if case.reversed {
        nodes.reverse();
    }
    for (path, node) in nodes {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        match node {
            Node::File(bytes) => fs::write(path, bytes)?,
            Node::Directory => fs::create_dir_all(path)?,
            Node::Link(target) => symlink(target, path)?,
        }
    }
    Ok(())
}

/// Returns the command for a tool of a package or ours, run by the dynamic loader of its package.
fn command(by: &str, words: &[Vec<u8>]) -> io::Result<Command> {
    let home = Path::new("/t").join(by);
    let (tool, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let find = |places: &[&str]| places.iter().map(|place| home.join(place)).find(|path| path.is_file());
    let program = find(&["kmod", "usr/bin/kmod", "bin/kmod"]).ok_or(io::ErrorKind::NotFound)?;
    let loaders = ["usr/lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "lib/loader"];
    let mut command = match find(&loaders) {
        Some(loader) => {
            let places = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "lib"].map(|place| home.join(place));
            let mut command = Command::new(loader);
            command.arg("--argv0").arg(OsStr::from_bytes(tool)).arg("--library-path");
            command.arg(std::env::join_paths(places).map_err(io::Error::other)?).arg(program);
            command
        }
        // A static executable.
        None => {
            let mut command = Command::new(program);
            command.arg0(OsStr::from_bytes(tool));
            command
        }
    };
    command.args(arguments.iter().map(|word| OsStr::from_bytes(word)));
    Ok(command)
}

/// Reads all messages in a socket.
fn drain(syslog: &UnixDatagram, into: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(length) = syslog.recv(&mut buffer) {
        into.extend_from_slice(&buffer[..length]);
        if !into.ends_with(b"\n") {
            into.push(b'\n');
        }
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (_, Some(libc::SIGXCPU | libc::SIGXFSZ | libc::SIGKILL)) => ENDLESS.to_owned(),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "ended".to_owned(),
    }
}

type Snapshot = BTreeMap<PathBuf, (String, Vec<u8>)>;

fn changes(before: &Snapshot, after: &Snapshot) -> Vec<(Vec<u8>, String, Vec<u8>)> {
    let name = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
    let new = after.iter().filter(|(path, what)| before.get(*path) != Some(what));
    let new = new.map(|(path, (kind, bytes))| (name(path), kind.clone(), bytes.clone()));
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    new.chain(gone.map(|path| (name(path), "gone".to_owned(), Vec::new()))).collect()
}
