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
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::case::{Case, Node, Step};
use crate::results::{self, Done};
use crate::setup::Setup;

/// A command that takes longer than this is killed.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The directories that snapshots ignore: the tools, mounts, and the output of commands.
const IGNORED: [&str; 5] = ["/t", "/dev", "/bin", "/output", "/proc/net"];

/// Runs a case with a tool and writes the results to standard output.
pub fn main(case: &Case, tool: &str, setup: &Setup, root: &Path) -> io::Result<()> {
    make_root(case, setup, root)?;
    limit(case)?;
    std::os::unix::fs::chroot(root)?;
    std::env::set_current_dir("/")?;
    let syslog = UnixDatagram::bind("/dev/log")?;
    syslog.set_nonblocking(true)?;
    let mut before = snapshot(case)?;
    let mut rows = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let readers = setup.tools().filter(|reader| step.query && setup.reads(reader, tool));
        for by in std::iter::once(tool).chain(readers) {
            let mut done = run(step, by)?;
            let mut buffer = [0; 4096];
            while let Ok(length) = syslog.recv(&mut buffer) {
                done.syslog.extend_from_slice(&buffer[..length]);
                if !done.syslog.ends_with(b"\n") {
                    done.syslog.push(b'\n');
                }
            }
            let after = snapshot(case)?;
            done.files = changes(&before, &after);
            before = after;
            rows.push((number, by.to_owned(), done));
        }
    }
    results::write(&rows, &mut io::stdout().lock())
}

/// Limits the resources of the tools: some damaged files make C kmod loop and allocate memory without end.
fn limit(case: &Case) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let at_most = |amount| Rlimit { current: Some(amount), maximum: Some(amount) };
    // The modules of a whole kernel need more.
    let (seconds, size) = if case.binds.is_empty() { (1, 1 << 22) } else { (100, 1 << 28) };
    setrlimit(Resource::Cpu, at_most(seconds))?;
    setrlimit(Resource::Fsize, at_most(size))?;
    Ok(setrlimit(Resource::As, at_most(1 << 30))?)
}

fn make_root(case: &Case, setup: &Setup, root: &Path) -> io::Result<()> {
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
    for directory in ["/proc", "/sys/module", "/etc", "/output", "/tmp"] {
        fs::create_dir_all(inside(Path::new(directory)))?;
    }
    for (path, node) in case.tree() {
        let path = inside(&path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        match node {
            Node::File(bytes) => fs::write(path, bytes)?,
            Node::Directory => fs::create_dir_all(path)?,
            Node::Link(target) => symlink(target, path)?,
        }
    }
    // Without this file our tools assume a kernel without Unix sockets and do not use /dev/log.
    bind(Path::new("/proc/self/net/unix"), Path::new("/proc/net/unix"))?;
    case.binds.iter().try_for_each(|(from, to)| bind(from, to))
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
            use std::os::unix::process::CommandExt as _;
            let mut command = Command::new(program);
            command.arg0(OsStr::from_bytes(tool));
            command
        }
    };
    command.args(arguments.iter().map(|word| OsStr::from_bytes(word)));
    Ok(command)
}

fn run(step: &Step, by: &str) -> io::Result<Done> {
    let (out, err) = (Path::new("/output/out"), Path::new("/output/err"));
    let mut command = command(by, &step.words)?;
    command.env_clear().env("PATH", "/bin").envs(step.env.iter().cloned());
    command.stdin(Stdio::null()).stdout(File::create(out)?).stderr(File::create(err)?);
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec { tv_sec: TIMEOUT.as_secs() as i64, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))? > 0;
    if !ended {
        child.kill()?;
    }
    let status = child.wait()?;
    let end = if ended { ending(status) } else { "signal: hangs".to_owned() };
    Ok(Done { end, out: fs::read(out)?, err: fs::read(err)?, ..Done::default() })
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (_, Some(libc::SIGXCPU | libc::SIGXFSZ | libc::SIGKILL)) => "signal: endless".to_owned(),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "ended".to_owned(),
    }
}

type Snapshot = BTreeMap<PathBuf, (String, Vec<u8>)>;

/// Reads everything in the root that a command can change.
fn snapshot(case: &Case) -> io::Result<Snapshot> {
    let mut found = Snapshot::new();
    let mut todo = vec![PathBuf::from("/")];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let is = |ignored: &Path| ignored == path;
            if IGNORED.iter().any(|ignored| is(Path::new(ignored))) || case.binds.iter().any(|(_, to)| is(to)) {
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

fn changes(before: &Snapshot, after: &Snapshot) -> Vec<(Vec<u8>, String, Vec<u8>)> {
    let name = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
    let new = after.iter().filter(|(path, what)| before.get(*path) != Some(what));
    let new = new.map(|(path, (kind, bytes))| (name(path), kind.clone(), bytes.clone()));
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    new.chain(gone.map(|path| (name(path), "gone".to_owned(), Vec::new()))).collect()
}
