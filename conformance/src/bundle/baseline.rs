//! Restores the guest between two behaviours to its state after the boot.

use crate::check::lab::describe::describe;
use crate::check::lab::{Guest, MODPROBE_SYSCTL};
use crate::text::error_chain;
use agent::proto::{Action, Reply, Request, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file systems that checks may change, without those mounted on them.
const ROOTS: [&str; 3] = ["/", "/run", "/tmp"];
const LIMIT: Duration = Duration::from_secs(60);

/// The state of the guest after the boot.
pub(super) struct Baseline {
    files: BTreeMap<PathBuf, Node>,
    mounts: Vec<Mount>,
    modules: BTreeSet<String>,
    path: Vec<u8>,
}

struct Node {
    stamp: Stamp,
    kind: Kind,
}

enum Kind {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
    /// A device, a pipe or a socket, which is not recreated.
    Other,
}

/// The attributes that change when a file changes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    mode: u32,
    inode: (u64, u64),
    /// `None` for a directory: its time changes with its entries, which are compared themselves.
    changed: Option<(i64, i64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    target: String,
    kind: String,
}

impl Baseline {
    /// Records the state of the guest.
    pub(super) fn capture() -> io::Result<Baseline> {
        let mut files = BTreeMap::new();
        for (path, data) in walk() {
            let kind = match data.file_type() {
                kind if kind.is_dir() => Kind::Directory,
                kind if kind.is_symlink() => Kind::Link(fs::read_link(&path)?),
                kind if kind.is_file() => Kind::File(fs::read(&path)?),
                _ => Kind::Other,
            };
            files.insert(path, Node { stamp: stamp(&data), kind });
        }
        Ok(Baseline { files, mounts: mounts()?, modules: modules()?, path: fs::read(sysctl())? })
    }

    /// Restores the state.
    ///
    /// # Errors
    /// A message that says what could not be restored.
    pub(super) fn restore(&mut self, guest: &mut dyn Guest) -> Result<(), String> {
        kill_processes()?;
        act(guest, Action::Chdir(b"/".to_vec()))?;
        self.restore_mounts(guest)?;
        self.restore_files().map_err(|error| format!("files: {}", error_chain(&error)))?;
        fs::write(sysctl(), &self.path).map_err(|error| format!("path of modprobe: {}", error_chain(&error)))?;
        self.unload(guest)
    }

    /// Removes the mounts that were added, and restores those that were removed.
    pub(super) fn restore_mounts(&self, guest: &mut dyn Guest) -> Result<(), String> {
        let now = mounts().map_err(|error| error_chain(&error))?;
        let mut removed = self.mounts.clone();
        let added: Vec<&Mount> = now.iter().filter(|mount| !take(&mut removed, mount)).collect();
        for mount in added.iter().rev() {
            act(guest, Action::Umount(mount.target.clone().into_bytes(), libc::MNT_DETACH))?;
        }
        for Mount { target, kind } in removed {
            let (source, fstype) = (kind.clone().into_bytes(), kind.into_bytes());
            act(guest, Action::Mount { source, target: target.into_bytes(), fstype, flags: 0, data: Vec::new() })?;
        }
        Ok(())
    }

    fn restore_files(&mut self) -> io::Result<()> {
        // The deepest first, so that a directory is empty when it is removed.
        for (path, data) in walk().into_iter().rev() {
            let kept = self.files.get(&path).is_some_and(|node| node.stamp == stamp(&data));
            if !kept {
                let same_kind =
                    data.is_dir() && self.files.get(&path).is_some_and(|node| matches!(node.kind, Kind::Directory));
                match data.is_dir() {
                    _ if same_kind => {}
                    true => fs::remove_dir_all(&path)?,
                    false => fs::remove_file(&path)?,
                }
            }
        }
        for (path, node) in &mut self.files {
            let mode = fs::Permissions::from_mode(node.stamp.mode & 0o7777);
            match &node.kind {
                Kind::Directory if path.is_dir() => fs::set_permissions(path, mode)?,
                _ if path.symlink_metadata().is_ok() => continue,
                Kind::Directory => fs::create_dir(path).and_then(|()| fs::set_permissions(path, mode))?,
                Kind::File(bytes) => fs::write(path, bytes).and_then(|()| fs::set_permissions(path, mode))?,
                Kind::Link(target) => symlink(target, path)?,
                Kind::Other => continue,
            }
            node.stamp = stamp(&path.symlink_metadata()?);
        }
        Ok(())
    }

    /// Removes the modules that were loaded. A module can be removed only after its users: repeats as long as one is removed.
    fn unload(&self, guest: &mut dyn Guest) -> Result<(), String> {
        loop {
            let now = modules().map_err(|error| error_chain(&error))?;
            let added: Vec<&String> = now.difference(&self.modules).collect();
            if added.is_empty() {
                return match self.modules.difference(&now).next() {
                    Some(missing) => Err(format!("the module {missing} is no longer loaded")),
                    None => Ok(()),
                };
            }
            let mut removed = 0;
            for name in &added {
                let delete =
                    Action::DeleteModule { name: (*name).clone().into_bytes(), flags: libc::O_NONBLOCK as u32 };
                removed += u32::from(act(guest, delete).is_ok());
            }
            if removed == 0 {
                let names: Vec<&str> = added.iter().map(|name| name.as_str()).collect();
                return Err(format!("cannot remove the modules {}", names.join(", ")));
            }
        }
    }
}

fn sysctl() -> &'static Path {
    Path::new(std::str::from_utf8(MODPROBE_SYSCTL).unwrap_or_default())
}

/// Removes an equal mount from the list; returns whether there was one.
fn take(list: &mut Vec<Mount>, mount: &Mount) -> bool {
    list.iter().position(|other| other == mount).map(|at| list.remove(at)).is_some()
}

/// Carries out an action in PID 1.
fn act(guest: &mut dyn Guest, action: Action) -> Result<Value, String> {
    let what = describe(&action);
    match guest.call(&Request::InInit(action), LIMIT).map_err(|error| error_chain(&error))? {
        Reply::Finished(end) => match end.results.into_iter().next().map(|result| result.result) {
            Some(Ok(value)) => Ok(value),
            Some(Err(errno)) => Err(format!("{what}: {}", crate::check::errno::name(errno))),
            None => Err(format!("{what}: no result")),
        },
        _ => Err(format!("{what}: unexpected reply of the agent")),
    }
}

/// Kills the processes that a behaviour left, including jobs of the agent, and waits until they are gone. This process and
/// PID 1 remain.
fn kill_processes() -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = processes().map_err(|error| format!("cannot read /proc: {}", error_chain(&error)))?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let pids: Vec<String> = left.iter().map(i32::to_string).collect();
            return Err(format!("cannot kill the processes {}", pids.join(", ")));
        }
        for pid in left.into_iter().filter_map(rustix::process::Pid::from_raw) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the running processes that are not kernel threads.
fn processes() -> io::Result<Vec<i32>> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let all = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_left = |pid: &i32| {
        // "PID (NAME) STATE PARENT …"; process 2 and its children are kernel threads.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, parent) = (fields.next().unwrap_or("X"), fields.next().unwrap_or("2"));
        !matches!(state, "Z" | "X") && parent != "2"
    };
    Ok(all.filter(|pid| !matches!(*pid, 1 | 2) && *pid != own).filter(is_left).collect())
}

fn modules() -> io::Result<BTreeSet<String>> {
    let text = match fs::read_to_string("/proc/modules") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        text => text?,
    };
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

fn mounts() -> io::Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mounts")?;
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        Some(Mount { target: fields.next()?.replace("\\040", " "), kind: fields.next()?.to_owned() })
    };
    // Checks mount tracefs, which the kernel also mounts automatically below debugfs.
    Ok(text.lines().filter_map(mount).filter(|mount| !matches!(mount.kind.as_str(), "tracefs" | "debugfs")).collect())
}

fn stamp(data: &Metadata) -> Stamp {
    let changed = (!data.is_dir()).then(|| (data.ctime(), data.ctime_nsec(), data.size()));
    Stamp { mode: data.mode(), inode: (data.dev(), data.ino()), changed }
}

/// Returns everything on [`ROOTS`], parents first.
fn walk() -> Vec<(PathBuf, Metadata)> {
    let mut found = Vec::new();
    for root in ROOTS.map(Path::new) {
        let Ok(data) = root.symlink_metadata() else { continue };
        descend(root, data.dev(), &mut found);
        found.push((root.to_owned(), data));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn descend(dir: &Path, device: u64, found: &mut Vec<(PathBuf, Metadata)>) {
    for path in fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        let Ok(data) = path.symlink_metadata() else { continue };
        if data.dev() == device {
            if data.is_dir() {
                descend(&path, device, found);
            }
            found.push((path, data));
        }
    }
}
