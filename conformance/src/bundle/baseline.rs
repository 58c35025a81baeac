//! Restores the guest between two behaviours to its state after the boot.

use super::{FIRST_TAINT, FULL_CAPABILITIES, LOADS_AT_THE_END};
use crate::check::lab::describe::describe;
use crate::check::lab::{Guest, MODPROBE_SYSCTL};
use crate::check::settings;
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

/// The settings of the kernel that checks change, apart from the path of modprobe. Those that the kernel does not have are
/// ignored.
const SETTINGS: [&str; 6] = [
    "/proc/sys/crypto/af_alg_restrict",
    "/proc/sys/dev/tty/ldisc_autoload",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/core_pipe_limit",
    "/proc/sys/kernel/sysctl_writes_strict",
    "/sys/kernel/uevent_helper",
];

/// The capability sets of helpers, which can only shrink.
const CAPABILITY_SETS: [&str; 2] =
    ["/proc/sys/kernel/usermodehelper/bset", "/proc/sys/kernel/usermodehelper/inheritable"];

/// Whether loading and removing modules is disabled, which cannot be undone.
const MODULES_DISABLED: &str = "/proc/sys/kernel/modules_disabled";

/// A write makes the kernel log its messages that appear once per boot again (kernel/panic.c).
const CLEAR_ONCE: &str = "/sys/kernel/debug/clear_warn_once";

/// The root directory of PID 1.
const ROOT_OF_INIT: &str = "/proc/1/root";

/// The state of the guest after the boot.
pub(super) struct Baseline {
    files: BTreeMap<PathBuf, Node>,
    mounts: Vec<Mount>,
    modules: BTreeSet<String>,
    path: Vec<u8>,
    settings: BTreeMap<&'static str, Vec<u8>>,
    capability_sets: Vec<Option<Vec<u8>>>,
    umask: Option<u32>,
    tainted: Option<Vec<u8>>,
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
        let settings = SETTINGS.into_iter().filter_map(|file| Some((file, fs::read(file).ok()?))).collect();
        Ok(Baseline {
            files,
            mounts: mounts()?,
            modules: modules()?,
            path: fs::read(sysctl())?,
            settings,
            capability_sets: capability_sets(),
            umask: umask_of_init(),
            tainted: tainted(),
        })
    }

    /// Returns why a behaviour cannot be checked any more, although the rest of the guest is restored.
    pub(super) fn spoiled_for(&self, id: &str) -> Option<&'static str> {
        if FULL_CAPABILITIES.contains(&id) && capability_sets() != self.capability_sets {
            return Some("an earlier behaviour has reduced the capability sets of helpers");
        }
        if FIRST_TAINT.contains(&id) && tainted() != self.tainted {
            return Some("an earlier behaviour has tainted the kernel");
        }
        let disabled = || fs::read(MODULES_DISABLED).is_ok_and(|value| value.trim_ascii() == b"1");
        (id == LOADS_AT_THE_END && disabled()).then_some("an earlier behaviour has disabled loading modules")
    }

    /// Restores the state.
    ///
    /// # Errors
    /// A message that says what could not be restored.
    pub(super) fn restore(&mut self, guest: &mut dyn Guest) -> Result<(), String> {
        kill_processes()?;
        restore_root(guest, || fs::read_link(ROOT_OF_INIT))?;
        act(guest, Action::Chdir(b"/".to_vec()))?;
        if let Some(mask) = self.umask.filter(|mask| umask_of_init() != Some(*mask)) {
            act(guest, settings::umask(mask.into()))?;
        }
        self.restore_mounts(guest)?;
        self.restore_files().map_err(|error| format!("files: {}", error_chain(&error)))?;
        fs::write(sysctl(), &self.path).map_err(|error| format!("path of modprobe: {}", error_chain(&error)))?;
        for (file, value) in &self.settings {
            if fs::read(file).ok().as_ref() != Some(value) {
                fs::write(file, value).map_err(|error| format!("{file}: {}", error_chain(&error)))?;
            }
        }
        self.unload(guest)?;
        clear_once(guest);
        Ok(())
    }

    /// Restores what is needed to read the kernel log: the root directory of PID 1, and the mounts.
    pub(super) fn restore_log(&self, guest: &mut dyn Guest) -> Result<(), String> {
        restore_root(guest, || fs::read_link(ROOT_OF_INIT))?;
        self.restore_mounts(guest)
    }

    /// Removes the mounts that were added, and restores those that were removed.
    fn restore_mounts(&self, guest: &mut dyn Guest) -> Result<(), String> {
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

/// Returns PID 1 to the root directory of this process if it has another one. `root` reads the root directory of PID 1.
fn restore_root(guest: &mut dyn Guest, mut root: impl FnMut() -> io::Result<PathBuf>) -> Result<(), String> {
    let mut changed = || {
        let root = root().map_err(|error| format!("root directory of PID 1: {}", error_chain(&error)))?;
        Ok::<_, String>(Some(root).filter(|root| root != Path::new("/")))
    };
    if changed()?.is_none() {
        return Ok(());
    }
    // chroot(2) has left the working directory, from which the old root is reached as long as it is outside the new one.
    act(guest, Action::Chdir(b"../../../../../../../..".to_vec()))?;
    act(guest, Action::Chroot(b".".to_vec()))?;
    match changed()? {
        Some(root) => Err(format!("the root directory of PID 1 is {}", root.display())),
        None => Ok(()),
    }
}

/// Makes the kernel log its messages that appear once per boot again, if it can.
fn clear_once(guest: &mut dyn Guest) {
    if !Path::new(CLEAR_ONCE).exists() {
        let (source, target) = (b"debugfs".to_vec(), b"/sys/kernel/debug".to_vec());
        let mount = Action::Mount { fstype: source.clone(), source, target, flags: 0, data: Vec::new() };
        // A kernel without debugfs.
        let _ = act(guest, mount);
    }
    // A behaviour that depends on such a message then fails, and says so.
    let _ = fs::write(CLEAR_ONCE, "1");
}

fn capability_sets() -> Vec<Option<Vec<u8>>> {
    CAPABILITY_SETS.iter().map(|file| fs::read(file).ok()).collect()
}

fn tainted() -> Option<Vec<u8>> {
    fs::read("/proc/sys/kernel/tainted").ok()
}

/// Returns the umask of PID 1; `None` for a kernel that does not show it (before 4.7).
fn umask_of_init() -> Option<u32> {
    let status = fs::read_to_string("/proc/1/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(mask.trim(), 8).ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ScriptedGuest;
    use agent::proto::{ActionResult, GuestMicros, JobEnd};
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Runs [`restore_root`] with these root directories of PID 1, one after the other. Returns its result and the actions.
    fn restore_from(roots: &[&'static str]) -> (Result<(), String>, Vec<Action>) {
        let actions = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&actions);
        let mut guest = ScriptedGuest::answering(move |request| {
            if let Request::InInit(action) = request {
                seen.borrow_mut().push(action.clone());
            }
            let result = ActionResult { result: Ok(Value::Unit), began: GuestMicros(0), ended: GuestMicros(0) };
            Ok(Reply::Finished(JobEnd { results: vec![result], ..JobEnd::default() }))
        });
        let mut roots = roots.iter();
        let result =
            restore_root(&mut guest, || roots.next().map(PathBuf::from).ok_or_else(|| io::ErrorKind::NotFound.into()));
        drop(guest);
        (result, actions.take())
    }

    #[test]
    fn a_changed_root_directory_of_pid_1_is_restored() {
        let leave = [Action::Chdir(b"../../../../../../../..".to_vec()), Action::Chroot(b".".to_vec())];
        assert_eq!(restore_from(&["/jail", "/"]), (Ok(()), leave.to_vec()));
        assert_eq!(restore_from(&["/"]), (Ok(()), vec![]));
    }

    #[test]
    fn a_root_directory_that_cannot_be_restored_is_an_error() {
        let (result, _) = restore_from(&["/jail", "/jail"]);
        assert_eq!(result, Err("the root directory of PID 1 is /jail".to_owned()));
        let (result, _) = restore_from(&[]);
        assert_eq!(result, Err("root directory of PID 1: entity not found".to_owned()));
    }
}
