//! A pure model of the kernel's `request_module()`: the helper's path and arguments, the limit on concurrent requests, and the
//! log messages. It predicts what a kernel of a given version does.
//!
//! Nothing here starts a process. Times are milliseconds of the kernel's clock. The facts are from the kernel's source
//! (`kernel/kmod.c`, since 6.4 `kernel/module/kmod.c`; `kernel/umh.c`; `proc_dostring()`).

use std::collections::VecDeque;

/// The size of `/proc/sys/kernel/modprobe` in bytes, including the terminating NUL (`KMOD_PATH_LEN`).
pub const PATH_SIZE: usize = 256;

/// The size of a module name in bytes, including the terminating NUL, on a 64-bit kernel (`MODULE_NAME_LEN`). It is 60 on 32-bit
/// kernels.
pub const NAME_SIZE: usize = 56;

/// The maximum number of concurrent requests (`MAX_KMOD_CONCURRENT`).
pub const CONCURRENT: usize = 50;

/// How long a request waits for a slot, in milliseconds (`MAX_KMOD_ALL_BUSY_TIMEOUT`).
pub const BUSY_TIMEOUT: u64 = 5000;

/// The value of `/proc/sys/kernel/modprobe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperPath(Vec<u8>);

impl Default for HelperPath {
    fn default() -> Self {
        Self(b"/sbin/modprobe".to_vec())
    }
}

impl HelperPath {
    /// Returns the path of the helper. An empty path disables automatic module loading.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Performs a write(2) of `data` at the offset of the open file and advances the offset. Returns the result of write(2),
    /// which is always the full length (with `kernel.sysctl_writes_strict=1`, the default since 4.5).
    ///
    /// The data is stored up to the first newline or NUL and truncated to the buffer. At an offset beyond the end nothing is
    /// stored.
    pub fn write(&mut self, data: &[u8], offset: &mut u64) -> usize {
        let at = usize::try_from(*offset).unwrap_or(usize::MAX);
        if data.is_empty() || at > self.0.len() {
            return data.len();
        }
        let line = data.split(|b| matches!(b, b'\n' | 0)).next().unwrap_or_default();
        self.0.truncate(at);
        self.0.extend(line.iter().take((PATH_SIZE - 1).saturating_sub(at)));
        *offset += data.len() as u64;
        data.len()
    }

    /// Returns the content of the file.
    #[must_use]
    pub fn read(&self) -> Vec<u8> {
        [self.as_bytes(), b"\n"].concat()
    }
}

/// The command that the kernel executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    /// The arguments; the first is also the program.
    pub argv: Vec<Vec<u8>>,
    /// The environment.
    pub envp: Vec<Vec<u8>>,
}

/// The environment of the helper since 2.1.
const ENVIRONMENT: [&str; 3] = ["HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin"];

/// What happens to a request over the limit, which depends on the kernel's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OverLimit {
    /// 2.6 to 4.12: the request fails immediately.
    Refuse,
    /// 4.13 to 6.3: the request waits and can be killed; the kernel logs the start of the wait and its failure.
    WaitKillable,
    /// From 6.4: the request waits and cannot be killed; the kernel logs only a timeout.
    WaitUnkillable,
}

impl OverLimit {
    /// Returns the default for a kernel version. A kernel with backported patches can differ.
    #[must_use]
    pub fn of(major: u32, minor: u32) -> Self {
        match (major, minor) {
            (..4, _) | (4, ..13) => Self::Refuse,
            (4 | 5, _) | (6, ..4) => Self::WaitKillable,
            _ => Self::WaitUnkillable,
        }
    }
}

/// Why `request_module()` fails without running a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The helper's path is empty. Nothing is logged.
    #[error("ENOENT: module loading is disabled")]
    Disabled,
    /// The name is too long. Nothing is logged.
    #[error("ENAMETOOLONG: the name has more than {} bytes", NAME_SIZE - 1)]
    NameTooLong,
    /// The limit is reached, before 4.13.
    #[error("ENOMEM: {CONCURRENT} requests are running")]
    Runaway,
    /// The limit was reached throughout [`BUSY_TIMEOUT`].
    #[error("ETIME: {CONCURRENT} requests have been running for {BUSY_TIMEOUT} ms")]
    Busy,
    /// The caller was killed while it waited (ERESTARTSYS, which no process sees).
    #[error("killed while waiting")]
    Killed,
}

impl Refusal {
    /// Returns the errno of `request_module()`, as a positive number.
    #[must_use]
    pub fn errno(self) -> i32 {
        match self {
            Self::Disabled => 2,
            Self::NameTooLong => 36,
            Self::Runaway => 12,
            Self::Busy => 62,
            Self::Killed => 512,
        }
    }
}

/// Identifies a request by its sequence number.
pub type RequestId = u64;

/// An action of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Starts the helper for this request.
    Start(RequestId, Helper),
    /// Fails this request without starting a helper.
    Refuse(RequestId, Refusal),
    /// Logs a line at level 4 (3 before 4.13). Since 4.13 the line has no newline, so readers see it only when the next line
    /// is logged.
    Log(String),
}

#[derive(Debug, Clone)]
struct Waiting {
    id: RequestId,
    name: Vec<u8>,
    until: u64,
}

/// The module requests of a kernel.
///
/// ```
/// use kmod::request::{Event, OverLimit, Requests};
/// let mut requests = Requests::new(OverLimit::WaitUnkillable);
/// let (id, events) = requests.request(0, b"net-pf-3");
/// let Some(Event::Start(started, helper)) = events.first() else { panic!("no helper") };
/// assert_eq!((*started, helper.argv.join(&b' ')), (id, b"/sbin/modprobe -q -- net-pf-3".to_vec()));
/// ```
#[derive(Debug, Clone)]
pub struct Requests {
    over_limit: OverLimit,
    /// The value of the sysctl file.
    pub path: HelperPath,
    next: RequestId,
    running: Vec<RequestId>,
    waiting: VecDeque<Waiting>,
    runaway_lines: u32,
}

impl Requests {
    /// Creates a kernel without requests and with the default path.
    #[must_use]
    pub fn new(over_limit: OverLimit) -> Self {
        Self {
            over_limit,
            path: HelperPath::default(),
            next: 0,
            running: Vec::new(),
            waiting: VecDeque::new(),
            runaway_lines: 0,
        }
    }

    /// Returns the number of requests that occupy a slot.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Requests `name` at the time `now`. Call [`Requests::tick`] first to process earlier timeouts.
    pub fn request(&mut self, now: u64, name: &[u8]) -> (RequestId, Vec<Event>) {
        let id = self.next;
        self.next += 1;
        if self.path.as_bytes().is_empty() {
            return (id, vec![Event::Refuse(id, Refusal::Disabled)]);
        }
        // A NUL ends the name, as in a C string.
        let name = name.split(|&b| b == 0).next().unwrap_or_default();
        if name.len() >= NAME_SIZE {
            return (id, vec![Event::Refuse(id, Refusal::NameTooLong)]);
        }
        if self.running.len() < CONCURRENT {
            return (id, vec![self.start(id, name)]);
        }
        let shown = String::from_utf8_lossy(name).into_owned();
        if self.over_limit == OverLimit::Refuse {
            let mut events = Vec::new();
            // Only the first five are logged.
            if self.runaway_lines < 5 {
                self.runaway_lines += 1;
                events.push(Event::Log(format!("request_module: runaway loop modprobe {shown}")));
            }
            events.push(Event::Refuse(id, Refusal::Runaway));
            return (id, events);
        }
        self.waiting.push_back(Waiting { id, name: name.to_vec(), until: now + BUSY_TIMEOUT });
        let throttling = format!(
            "request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: {CONCURRENT}), for module {shown}, throttling..."
        );
        (id, if self.over_limit == OverLimit::WaitKillable { vec![Event::Log(throttling)] } else { Vec::new() })
    }

    /// Advances the time to `now`: requests that reached the timeout fail.
    pub fn tick(&mut self, now: u64) -> Vec<Event> {
        let mut events = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.until <= now) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            events.push(Event::Log(format!(
                "request_module: modprobe {} cannot be processed, kmod busy with {CONCURRENT} threads for more than {} seconds now",
                String::from_utf8_lossy(&waiting.name),
                BUSY_TIMEOUT / 1000
            )));
            events.push(Event::Refuse(waiting.id, Refusal::Busy));
        }
        events
    }

    /// Frees the slot of a request: its helper exited, or its caller was killed (then the helper continues, but no longer
    /// counts). The request that has waited longest starts, with the current path.
    pub fn finish(&mut self, id: RequestId) -> Vec<Event> {
        let before = self.running.len();
        self.running.retain(|&running| running != id);
        if self.running.len() == before {
            return Vec::new();
        }
        match self.waiting.pop_front() {
            Some(waiting) => vec![self.start(waiting.id, &waiting.name)],
            None => Vec::new(),
        }
    }

    /// Kills the caller of a request.
    pub fn kill(&mut self, id: RequestId) -> Vec<Event> {
        match self.waiting.iter().position(|waiting| waiting.id == id) {
            // Since 6.4 it survives until the wait ends.
            Some(_) if self.over_limit == OverLimit::WaitUnkillable => Vec::new(),
            Some(at) => {
                let name = self.waiting.remove(at).map(|waiting| waiting.name).unwrap_or_default();
                let name = String::from_utf8_lossy(&name).into_owned();
                vec![
                    Event::Log(format!("request_module: sigkill sent for modprobe {name}, giving up")),
                    Event::Refuse(id, Refusal::Killed),
                ]
            }
            None => self.finish(id),
        }
    }

    fn start(&mut self, id: RequestId, name: &[u8]) -> Event {
        self.running.push(id);
        Event::Start(id, helper(&self.path, name))
    }
}

/// Returns the command for a module name.
#[must_use]
pub fn helper(path: &HelperPath, name: &[u8]) -> Helper {
    Helper {
        argv: [path.as_bytes(), b"-q", b"--", name].map(<[u8]>::to_vec).to_vec(),
        envp: ENVIRONMENT.map(|variable| variable.as_bytes().to_vec()).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(writes: &[(&[u8], u64)]) -> (Vec<u8>, Vec<usize>) {
        let mut path = HelperPath(b"/orig".to_vec());
        let returned = writes.iter().map(|(data, offset)| path.write(data, &mut offset.clone())).collect();
        (path.read(), returned)
    }

    #[test]
    fn a_write_is_truncated_at_the_first_newline_or_nul_and_returns_its_full_length() {
        assert_eq!(written(&[(b"/a/b\n", 0)]), (b"/a/b\n".to_vec(), vec![5]));
        assert_eq!(written(&[(b"/a\nb", 0)]), (b"/a\n".to_vec(), vec![4]));
        assert_eq!(written(&[(b"/a\0b", 0)]), (b"/a\n".to_vec(), vec![4]));
        assert_eq!(written(&[(b"/a b c\n", 0)]).0, b"/a b c\n");
        assert_eq!(written(&[(b"\n", 0)]).0, b"\n");
        assert_eq!(written(&[(b"", 0)]).0, b"/orig\n");
        assert_eq!(written(&[(b"ZZ", 3)]).0, b"/orZZ\n");
        assert_eq!(written(&[(b"ZZ", 6)]), (b"/orig\n".to_vec(), vec![2]));
    }

    #[test]
    fn a_long_path_is_truncated_silently() {
        for length in [254, 255, 256, 300] {
            let (read, returned) = written(&[(&vec![b'x'; length], 0)]);
            assert_eq!((read.len(), returned), (length.min(255) + 1, vec![length]));
        }
    }

    #[test]
    fn two_writes_through_one_file_append() {
        let (mut path, mut offset) = (HelperPath::default(), 0);
        path.write(b"/abc", &mut offset);
        path.write(b"def\n", &mut offset);
        assert_eq!(path.as_bytes(), b"/abcdef");
    }

    #[test]
    fn an_empty_path_and_a_long_name_fail_first() {
        let mut requests = Requests::new(OverLimit::WaitUnkillable);
        assert_eq!(requests.request(0, &[b'x'; 56]).1, [Event::Refuse(0, Refusal::NameTooLong)]);
        assert!(matches!(requests.request(0, &[b'x'; 55]).1[..], [Event::Start(1, _)]));
        requests.path.write(b"\n", &mut 0);
        assert_eq!(requests.request(0, &[b'x'; 56]).1, [Event::Refuse(2, Refusal::Disabled)]);
        assert_eq!(requests.running(), 1);
    }

    /// Simulates a helper that requests its own module, until a request fails.
    fn recursion(over_limit: OverLimit) -> (usize, u64, Vec<String>) {
        let mut requests = Requests::new(over_limit);
        let (mut helpers, mut lines, mut now) = (0, Vec::new(), 0);
        let mut events = requests.request(now, b"net-pf-1").1;
        loop {
            let mut over = false;
            let mut next = Vec::new();
            for event in events {
                match event {
                    Event::Start(..) => {
                        helpers += 1;
                        next.extend(requests.request(now, b"net-pf-1").1);
                    }
                    Event::Refuse(..) => over = true,
                    Event::Log(line) => lines.push(line),
                }
            }
            if over {
                return (helpers, now, lines);
            }
            if next.is_empty() {
                now += BUSY_TIMEOUT;
                next = requests.tick(now);
            }
            events = next;
        }
    }

    #[test]
    fn every_kernel_stops_a_recursion_at_fifty_helpers() {
        let busy = "request_module: modprobe net-pf-1 cannot be processed, kmod busy with 50 threads for more than 5 seconds now";
        let throttling = "request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: 50), for module net-pf-1, throttling...";
        assert_eq!(
            recursion(OverLimit::Refuse),
            (50, 0, vec!["request_module: runaway loop modprobe net-pf-1".to_owned()])
        );
        assert_eq!(recursion(OverLimit::WaitKillable).2, [throttling, busy]);
        assert_eq!(recursion(OverLimit::WaitUnkillable), (50, 5000, vec![busy.to_owned()]));
    }

    fn full(over_limit: OverLimit) -> Requests {
        let mut requests = Requests::new(over_limit);
        for _ in 0..CONCURRENT {
            assert!(matches!(requests.request(0, b"x").1[..], [Event::Start(..)]));
        }
        requests
    }

    #[test]
    fn a_waiting_request_starts_in_a_free_slot_with_the_current_path() {
        let mut requests = full(OverLimit::WaitUnkillable);
        let (id, events) = requests.request(10, b"y");
        assert!(events.is_empty());
        requests.path.write(b"/new\n", &mut 0);
        let events = requests.finish(7);
        assert!(matches!(&events[..], [Event::Start(started, helper)] if *started == id && helper.argv[0] == b"/new"));
        assert!(requests.tick(100_000).is_empty());
        assert!(requests.finish(7).is_empty());
    }

    #[test]
    fn killing_a_waiting_caller_ends_its_request_only_before_6_4() {
        let mut requests = full(OverLimit::WaitKillable);
        let (id, _) = requests.request(0, b"y");
        let line = Event::Log("request_module: sigkill sent for modprobe y, giving up".to_owned());
        assert_eq!(requests.kill(id), [line, Event::Refuse(id, Refusal::Killed)]);
        let mut requests = full(OverLimit::WaitUnkillable);
        let (id, _) = requests.request(0, b"y");
        assert_eq!(requests.kill(id), []);
        assert!(
            matches!(requests.tick(BUSY_TIMEOUT)[..], [Event::Log(_), Event::Refuse(refused, Refusal::Busy)] if refused == id)
        );
    }

    #[test]
    fn killing_a_caller_frees_its_slot_while_the_helper_continues() {
        let mut requests = full(OverLimit::WaitUnkillable);
        requests.kill(0);
        assert!(matches!(requests.request(0, b"y").1[..], [Event::Start(..)]));
    }

    #[test]
    fn only_five_lines_of_a_runaway_loop_are_logged() {
        let mut requests = full(OverLimit::Refuse);
        let lines =
            (0..9).flat_map(|_| requests.request(0, b"y").1).filter(|event| matches!(event, Event::Log(_))).count();
        assert_eq!(lines, 5);
    }

    #[test]
    fn the_policy_changes_with_4_13_and_6_4() {
        let policies = [(2, 6), (4, 12), (4, 13), (5, 10), (6, 3), (6, 4), (7, 3)]
            .map(|(major, minor)| OverLimit::of(major, minor));
        use OverLimit::{Refuse, WaitKillable, WaitUnkillable};
        assert_eq!(
            policies,
            [Refuse, Refuse, WaitKillable, WaitKillable, WaitKillable, WaitUnkillable, WaitUnkillable]
        );
    }

    #[test]
    fn the_helper_has_four_arguments_and_three_variables() {
        let helper = helper(&HelperPath::default(), b"a b\n$(id)");
        assert_eq!(helper.argv, [&b"/sbin/modprobe"[..], b"-q", b"--", b"a b\n$(id)"]);
        assert_eq!(helper.envp.len(), 3);
    }
}
