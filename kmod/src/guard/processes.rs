//! The helpers that the kernel has started, and which of their processes wait in a request, read from `/proc`.
//!
//! Everything here may be hostile or vanish while it is read: names and arguments of other users' processes, processes that
//! end. What cannot be read is not evidence.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::path::Path;

/// `PF_KTHREAD` (include/linux/sched.h): the flag of a kernel thread, in field 9 of `/proc/PID/stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The kernel thread that is the parent of all others.
const KTHREADD: i32 = 2;

/// The function in which the kernel waits for a helper (`/proc/PID/wchan`, `/proc/PID/stack`).
const WAITS_IN: &[u8] = b"call_usermodehelper_exec";

/// The end of the keys `voluntary_ctxt_switches` and `nonvoluntary_ctxt_switches` in `/proc/PID/status`.
const COUNT: &[u8] = b"voluntary_ctxt_switches:";

/// The namespaces in which a helper must be to count.
const NAMESPACES: [&str; 3] = ["user", "pid", "mnt"];

/// The namespaces of a process, in the order of [`NAMESPACES`].
type Namespaces = [Option<Vec<u8>>; 3];

/// The maximum number of parents between a process and its helper.
const DEPTH: usize = 64;

/// How far back in process ids the helpers of a loop are looked for. A loop whose helpers are further apart is left to the
/// kernel's limit.
const RECENT: i32 = 2048;

/// A process of a helper that waits in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The process.
    pub pid: i32,
    /// When it started, in clock ticks since the boot.
    pub started: u64,
    /// How often it has waited for something (`voluntary_ctxt_switches`): the same while one wait lasts.
    pub waits: u64,
}

/// A process that the kernel has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    /// The process.
    pub pid: i32,
    /// When it started, in clock ticks since the boot.
    pub started: u64,
    /// The requested name; `None` if its arguments are not those of a request for a module.
    pub name: Option<Vec<u8>>,
    /// Whether it runs as root in this process's namespaces.
    pub trusted: bool,
    /// Its waiting processes: itself or descendants that run as root in this process's namespaces.
    pub waiting: Vec<Waiting>,
}

/// The helpers other than this process, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The helpers.
    pub others: Vec<Helper>,
    /// Whether this process is the youngest helper. A younger one may belong to any of the others.
    pub youngest: bool,
    /// All processes, sorted.
    pub processes: Vec<i32>,
    /// The kernel threads that start helpers.
    pub workers: Vec<Worker>,
}

/// A kernel thread of the workqueue that starts helpers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The thread.
    pid: i32,
    /// Whether it has nothing to do, or waits for a helper.
    rests: bool,
    /// How often it has been scheduled: the same while one rest lasts.
    switches: u64,
}

/// Why the guard cannot look for a loop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcError {
    /// `/proc` cannot be read.
    #[error("cannot read /proc: {}", crate::sys::strerror(*.0))]
    Unreadable(Errno),
    /// Something else is mounted on `/proc`, or nothing.
    #[error("/proc is not mounted")]
    NotMounted,
    /// The age of processes is not certain, because process ids have started again from a low number.
    #[error("cannot tell which helper is younger")]
    Ages,
}

/// The part of `/proc/PID/stat` that the guard uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    state: u8,
    kernel_thread: bool,
    /// Whether the name is that of a worker of a workqueue without a fixed processor (`kworker/uPOOL:NUMBER`).
    worker_name: bool,
    started: u64,
}

impl Stat {
    fn sleeping(&self) -> bool {
        matches!(self.state, b'S' | b'D')
    }

    /// Whether this is a kernel thread that may start helpers. No other process can be a child of kthreadd and a kernel
    /// thread.
    fn is_worker(&self) -> bool {
        self.kernel_thread && self.parent == KTHREADD && self.worker_name
    }
}

/// Parses `/proc/PID/stat`. The name of the program, in brackets, may contain anything.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let (start, rest) = (text.iter().position(|&byte| byte == b'(')?, text.iter().rposition(|&byte| byte == b')')?);
    let pid = number(text.get(..start)?.trim_ascii())?;
    let worker_name = text.get(start + 1..rest)?.starts_with(b"kworker/u");
    // The first field after the name is number 3.
    let fields: Vec<&[u8]> = text.get(rest + 1..)?.trim_ascii().split(|&byte| byte == b' ').collect();
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        pid: i32::try_from(pid).ok()?,
        state: *field(3)?.first()?,
        worker_name,
        parent: i32::try_from(number(field(4)?)?).ok()?,
        kernel_thread: number(field(9)?)? & KERNEL_THREAD != 0,
        started: number(field(22)?)?,
    })
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The requested name in the arguments of a helper: what follows the last `-q`, `--`. An interpreter may precede them.
fn requested_name(arguments: &[u8]) -> Option<Vec<u8>> {
    let arguments = arguments.strip_suffix(b"\0")?;
    let mut last = arguments.rsplit(|&byte| byte == 0);
    let name = last.next()?;
    (last.next()? == b"--" && last.next()? == b"-q").then(|| name.to_vec())
}

/// Returns whether a process is a kernel thread; `None` if `/proc` does not show it.
pub(crate) fn is_kernel_thread(pid: i32) -> Option<bool> {
    let stat = Proc::open().ok()?.read(&format!("{pid}/stat"), 1024)?;
    parse_stat(&stat).map(|stat| stat.kernel_thread)
}

/// `/proc`, opened.
#[derive(Debug)]
pub struct Proc {
    root: OwnedFd,
}

impl Proc {
    /// Opens `/proc`.
    ///
    /// # Errors
    /// [`ProcError::Unreadable`] or [`ProcError::NotMounted`]
    pub fn open() -> Result<Self, ProcError> {
        let proc = Self::at(Path::new("/proc"))?;
        let stat = rustix::fs::fstatfs(&proc.root).map_err(ProcError::Unreadable)?;
        if stat.f_type == rustix::fs::PROC_SUPER_MAGIC { Ok(proc) } else { Err(ProcError::NotMounted) }
    }

    fn at(path: &Path) -> Result<Self, ProcError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(ProcError::Unreadable)?;
        Ok(Self { root })
    }

    /// Returns whether at least `enough` older processes look like helpers for `name`. Anyone can choose the arguments of a
    /// process, and only those with ids shortly before `me` are considered, so this says only whether a closer look is worth
    /// its cost.
    ///
    /// # Errors
    /// [`ProcError::Unreadable`]
    pub fn may_be_a_loop(&self, me: i32, name: &[u8], enough: usize) -> Result<bool, ProcError> {
        let mut pids = sorted(self.pids()?);
        pids.retain(|pid| (1..=RECENT).contains(&me.saturating_sub(*pid)));
        let is_candidate = |pid: &i32| {
            // A kernel thread has no program, and its other files cost more to read.
            let program = rustix::fs::readlinkat(&self.root, format!("{pid}/exe"), [0; 0]);
            let arguments = || self.read(&format!("{pid}/cmdline"), 4096).and_then(|text| requested_name(&text));
            !matches!(program, Err(Errno::NOENT | Errno::SRCH)) && arguments().as_deref() == Some(name)
        };
        Ok(pids.iter().rev().filter(|pid| is_candidate(pid)).take(enough).count() == enough)
    }

    /// Reads all helpers.
    ///
    /// # Errors
    /// [`ProcError::Unreadable`], or [`ProcError::Ages`] if the order of the helpers is unknown.
    pub fn snapshot(&self, me: i32) -> Result<Snapshot, ProcError> {
        let pids = self.pids()?;
        let stats: HashMap<i32, Stat> = pids
            .iter()
            .filter_map(|pid| parse_stat(&self.read(&format!("{pid}/stat"), 1024)?))
            .map(|stat| (stat.pid, stat))
            .collect();
        let own = self.namespaces(me);
        let is_helper = |stat: &Stat| {
            let kernel_child = stats.get(&stat.parent).is_some_and(|parent| parent.kernel_thread);
            // kthreadd is also the parent of helpers of asynchronous requests.
            kernel_child && (stat.parent != KTHREADD || !stat.kernel_thread)
        };
        let mut tops: Vec<&Stat> = stats.values().filter(|stat| is_helper(stat)).collect();
        tops.sort_unstable_by_key(|stat| (stat.started, stat.pid));
        // Within a tick only the process id says who is younger. It says nothing if ids have wrapped around.
        let wrapped =
            tops.windows(2).any(|pair| pair[0].started == pair[1].started && pair[1].pid - pair[0].pid > 16_384);
        if wrapped {
            return Err(ProcError::Ages);
        }
        let processes = sorted(pids);
        let workers = stats.values().filter(|stat| stat.is_worker());
        let workers = workers.map(|stat| {
            let waits = stat.state == b'S' && tops.iter().any(|helper| helper.parent == stat.pid);
            Worker { pid: stat.pid, rests: stat.state == b'I' || waits, switches: self.switches(stat.pid) }
        });
        let workers = workers.collect();
        let Some(mine) = tops.iter().position(|stat| stat.pid == me) else {
            return Ok(Snapshot { others: Vec::new(), youngest: false, processes, workers });
        };
        let youngest = mine + 1 == tops.len();
        tops.remove(mine);
        let mut others: Vec<Helper> = tops
            .into_iter()
            .map(|stat| Helper {
                pid: stat.pid,
                started: stat.started,
                name: self.read(&format!("{}/cmdline", stat.pid), 4096).and_then(|text| requested_name(&text)),
                trusted: self.is_trusted(stat.pid, own.as_ref()),
                waiting: Vec::new(),
            })
            .collect();
        let places: HashMap<i32, usize> =
            others.iter().enumerate().map(|(place, helper)| (helper.pid, place)).collect();
        for stat in stats.values().filter(|stat| stat.sleeping() && !stat.kernel_thread) {
            let Some(&place) = ancestors(stat, &stats).find_map(|pid| places.get(&pid)) else { continue };
            if self.waits_in_request(stat.pid) && self.is_trusted(stat.pid, own.as_ref()) {
                let waits = self.waits(stat.pid);
                others[place].waiting.push(Waiting { pid: stat.pid, started: stat.started, waits });
            }
        }
        for helper in &mut others {
            helper.waiting.sort_unstable_by_key(|waiting| waiting.pid);
        }
        Ok(Snapshot { others, youngest, processes, workers })
    }

    /// Returns whether the helpers of a chain have waited since the snapshot, and the kernel has started no other helper and
    /// has none to start.
    ///
    /// A request puts its helper into the queue of the workers and then waits. While it is in the queue, the kernel wakes a
    /// worker or makes one, and that worker is busy until the helper exists. So if there was a moment at which all workers
    /// rested, every helper that is waited for exists. Workers that rest in the snapshot and have not been scheduled since
    /// rested at the same time.
    ///
    /// # Errors
    /// [`ProcError::Unreadable`]
    pub fn unchanged(&self, snapshot: &Snapshot, chain: &[&Helper]) -> Result<bool, ProcError> {
        let stat = |pid: i32| parse_stat(&self.read(&format!("{pid}/stat"), 1024)?);
        let lives = |pid: i32, started: u64| stat(pid).filter(|stat| stat.started == started);
        let waits = |waiting: &Waiting| {
            let sleeps = lives(waiting.pid, waiting.started).is_some_and(|stat| stat.sleeping());
            sleeps && self.waits_in_request(waiting.pid) && self.waits(waiting.pid) == waiting.waits
        };
        let still_wait =
            |helper: &&Helper| lives(helper.pid, helper.started).is_some() && helper.waiting.iter().all(waits);
        let still_rests = |worker: &Worker| {
            let asleep = stat(worker.pid).is_some_and(|stat| matches!(stat.state, b'S' | b'I'));
            worker.rests && asleep && self.switches(worker.pid) == worker.switches
        };
        // Any new process may be a helper, or start one, if it is not known to be something else.
        let is_unrelated = |pid: i32| {
            let Some(stat) = stat(pid) else { return false };
            if stat.kernel_thread && stat.parent == KTHREADD {
                return !stat.worker_name;
            }
            let parent = parse_stat(&self.read(&format!("{}/stat", stat.parent), 1024).unwrap_or_default());
            parent.is_some_and(|parent| !parent.kernel_thread)
        };
        if !snapshot.workers.iter().all(still_rests) || !chain.iter().all(still_wait) {
            return Ok(false);
        }
        // Last, because a helper that was started before may only now be waited for.
        let new = sorted(self.pids()?).into_iter().filter(|pid| snapshot.processes.binary_search(pid).is_err());
        Ok(new.into_iter().all(is_unrelated))
    }

    fn pids(&self) -> Result<Vec<i32>, ProcError> {
        let directory =
            rustix::fs::openat(&self.root, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(ProcError::Unreadable)?;
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut entries = RawDir::new(&directory, &mut buffer);
        let mut pids = Vec::with_capacity(256);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(ProcError::Unreadable)?;
            pids.extend(number(entry.file_name().to_bytes()).and_then(|pid| i32::try_from(pid).ok()));
        }
        Ok(pids)
    }

    /// Reads the beginning of a file; `None` if it cannot be read.
    fn read(&self, path: &str, limit: usize) -> Option<Vec<u8>> {
        let path = CString::new(path).ok()?;
        let file = rustix::fs::openat(&self.root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut text = vec![0; limit];
        let length = rustix::io::read(&file, &mut text[..]).ok()?;
        text.truncate(length);
        Some(text)
    }

    fn waits_in_request(&self, pid: i32) -> bool {
        // Before 5.16 wchan needs a frame pointer; the stack needs CONFIG_STACKTRACE and CAP_SYS_ADMIN.
        let wchan = self.read(&format!("{pid}/wchan"), 128).unwrap_or_default();
        if !matches!(&wchan[..], b"" | b"0") {
            return wchan == WAITS_IN;
        }
        let stack = self.read(&format!("{pid}/stack"), 1024).unwrap_or_default();
        let first = stack.split(|&byte| byte == b'\n').next().unwrap_or_default();
        first.strip_prefix(b"[<0>] ").and_then(|line| line.split(|&byte| byte == b'+').next()) == Some(WAITS_IN)
    }

    /// Whether a process runs as root, in the namespaces `own`.
    fn is_trusted(&self, pid: i32, own: Option<&Namespaces>) -> bool {
        own.is_some() && self.namespaces(pid).as_ref() == own && self.is_root(pid)
    }

    fn is_root(&self, pid: i32) -> bool {
        self.status(pid, b"Uid:").is_some_and(|ids| {
            let ids: Vec<&[u8]> = ids.split(u8::is_ascii_whitespace).filter(|id| !id.is_empty()).collect();
            ids == [b"0"; 4]
        })
    }

    fn waits(&self, pid: i32) -> u64 {
        let count = self.status(pid, b"voluntary_ctxt_switches:");
        count.and_then(|count| number(count.trim_ascii())).unwrap_or_default()
    }

    /// How often a thread has been scheduled.
    fn switches(&self, pid: i32) -> u64 {
        let status = self.read(&format!("{pid}/status"), 4096).unwrap_or_default();
        let counts = status.split(|&byte| byte == b'\n').filter_map(|line| {
            let at = line.windows(COUNT.len()).position(|part| part == COUNT)?;
            number(line[at + COUNT.len()..].trim_ascii())
        });
        counts.sum()
    }

    /// The value of a line of `/proc/PID/status`.
    fn status(&self, pid: i32, key: &[u8]) -> Option<Vec<u8>> {
        let status = self.read(&format!("{pid}/status"), 4096)?;
        let mut lines = status.split(|&byte| byte == b'\n');
        lines.find_map(|line| line.strip_prefix(key)).map(<[u8]>::to_vec)
    }

    /// Returns the namespaces of a process, without those that the kernel does not support; `None` if they cannot be read.
    fn namespaces(&self, pid: i32) -> Option<Namespaces> {
        let link = |kind| match rustix::fs::readlinkat(&self.root, format!("{pid}/ns/{kind}"), Vec::new()) {
            Ok(link) => Some(Some(link.into_bytes())),
            // Without CONFIG_USER_NS or CONFIG_PID_NS there is no such file (fs/proc/namespaces.c).
            Err(Errno::NOENT) => Some(None),
            Err(_) => None,
        };
        let [user, pid, mnt] = NAMESPACES.map(link);
        let namespaces = [user?, pid?, mnt?];
        // Every kernel has mount namespaces. A process without one has ended.
        namespaces[2].is_some().then_some(namespaces)
    }
}

fn sorted(mut pids: Vec<i32>) -> Vec<i32> {
    pids.sort_unstable();
    pids
}

/// The process itself, its parent, and so on.
fn ancestors<'a>(stat: &Stat, stats: &'a HashMap<i32, Stat>) -> impl Iterator<Item = i32> + use<'a> {
    std::iter::successors(Some(stat.pid), |pid| stats.get(pid).map(|stat| stat.parent)).take(DEPTH)
}

#[cfg(test)]
mod tests;
