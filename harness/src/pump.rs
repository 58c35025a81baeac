//! One thread per guest that continuously reads all its output: a guest whose console is not read stops in the
//! middle of a panic. The output is kept, within bounds, for the threads that wait for it.

use crate::console::Console;
use crate::error::HarnessError;
use crate::monitor::Monitor;
use agent::frame::Decoder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Maximum number of frames or QMP messages in a queue. One reply is awaited at a time; only a broken guest sends more.
const QUEUE: usize = 64;
/// Maximum length of a QMP message.
const QMP_LINE: usize = 1 << 20;
/// How long the console is not polled after it was read. QEMU writes each byte separately; a thread that waited for the
/// next one would be woken by each, which costs a boot a tenth of its processor time.
const CONSOLE_PAUSE: Duration = Duration::from_millis(2);
/// Maximum amount kept of QEMU's own output.
const STDERR: usize = 64 << 10;

/// The host's ends of QEMU's ports.
#[derive(Debug)]
pub(crate) struct Ports {
    /// A pipe: QEMU writes each byte of the console separately, and a pipe stores them without a buffer for each.
    pub(crate) console: OwnedFd,
    pub(crate) agent: Arc<OwnedFd>,
    pub(crate) qmp: Arc<OwnedFd>,
    pub(crate) stderr: OwnedFd,
    /// A template's device state, and the pipe through which QEMU reads it.
    pub(crate) feed: Option<(OwnedFd, Arc<[u8]>)>,
}

/// The output of a guest that has not been consumed yet.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) console: Console,
    pub(crate) monitor: Monitor,
    /// Frames from the agent: sequence number and payload.
    pub(crate) frames: VecDeque<(u32, Vec<u8>)>,
    /// Bytes on the agent's port that are not part of a frame.
    pub(crate) noise: u64,
    /// Answers on QMP.
    pub(crate) answers: VecDeque<serde_json::Value>,
    /// Events on QMP; the oldest are dropped.
    pub(crate) events: VecDeque<serde_json::Value>,
    pub(crate) stderr: Vec<u8>,
    /// Whether all ports are closed, that is, QEMU has ended.
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `found` returns a value, QEMU ends (`found` is called once more then), or the deadline passes.
    pub(crate) fn wait<T>(&self, deadline: Instant, mut found: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(value) = found(&mut state) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The running thread. It ends when QEMU ends.
#[derive(Debug)]
pub(crate) struct Pump {
    pub(crate) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    pub(crate) fn start(ports: Ports, monitor: Monitor) -> io::Result<Self> {
        let state = State {
            console: Console::default(),
            monitor,
            frames: VecDeque::new(),
            noise: 0,
            answers: VecDeque::new(),
            events: VecDeque::new(),
            stderr: Vec::new(),
            ended: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("pump".to_owned()).spawn(move || run(ports, &theirs))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits for the thread. Call this after QEMU has ended and so closed its ports.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic has been printed already, and the guard has set `ended`
        }
    }
}

/// Sets `ended` when dropped, also if the thread panics.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Console,
    Agent,
    Qmp,
    Stderr,
    Feed,
}

fn run(mut ports: Ports, shared: &Shared) {
    let _end = End(shared);
    let mut open = vec![Port::Console, Port::Agent, Port::Qmp, Port::Stderr];
    let mut fed = 0;
    if let Some((pipe, _)) = &ports.feed {
        // With a pipe that holds the whole state the thread wakes up less often. If the system refuses the size, the
        // state is written in pieces.
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
        let _ = rustix::io::ioctl_fionbio(pipe, true);
        open.push(Port::Feed);
    }
    let _ = rustix::io::ioctl_fionbio(&ports.console, true);
    let mut decoder = Decoder::new();
    let mut qmp = Vec::new();
    let (mut buffer, mut printed) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut console_due = Instant::now();
    while open.iter().any(|port| *port != Port::Feed) {
        let pause = console_due.saturating_duration_since(Instant::now());
        let paused = !pause.is_zero() && open.contains(&Port::Console);
        let polled: Vec<Port> = open.iter().copied().filter(|port| !paused || *port != Port::Console).collect();
        let ready = match wait_ready(&ports, &polled, paused.then_some(pause)) {
            Ok(ready) => ready,
            Err(Errno::INTR) => continue,
            Err(_) => return, // poll fails only if memory is short
        };
        for port in ready {
            let outcome = match port {
                Port::Console => rustix::io::read(&ports.console, &mut buffer[..]),
                Port::Agent => rustix::io::read(&*ports.agent, &mut buffer[..]),
                Port::Qmp => rustix::io::read(&*ports.qmp, &mut buffer[..]),
                Port::Stderr => rustix::io::read(&ports.stderr, &mut buffer[..]),
                Port::Feed => ports.feed.as_ref().map_or(Ok(0), |(pipe, bytes)| rustix::io::write(pipe, &bytes[fed..])),
            };
            match (port, outcome) {
                (_, Err(Errno::INTR | Errno::AGAIN)) => {}
                (Port::Feed, Ok(count)) if count > 0 => fed += count,
                (_, Ok(0) | Err(_)) => open.retain(|other| *other != port),
                (_, Ok(count)) => {
                    let mut state = shared.lock();
                    if port == Port::Agent {
                        // What the guest printed before a reply must be known with the reply.
                        if let Ok(count @ 1..) = rustix::io::read(&ports.console, &mut printed[..]) {
                            take(Port::Console, &printed[..count], &mut state, &mut decoder, &mut qmp);
                        }
                    }
                    take(port, &buffer[..count], &mut state, &mut decoder, &mut qmp);
                    if port == Port::Console {
                        console_due = Instant::now() + CONSOLE_PAUSE;
                    }
                    drop(state);
                    shared.changed.notify_all();
                }
            }
        }
        // The end of the pipe marks the end of the state.
        if !open.contains(&Port::Feed) || ports.feed.as_ref().is_some_and(|(_, bytes)| fed == bytes.len()) {
            open.retain(|port| *port != Port::Feed);
            ports.feed = None;
        }
    }
}

/// Waits until a port is ready, at most `limit`, and returns those that are.
fn wait_ready(ports: &Ports, polled: &[Port], limit: Option<Duration>) -> Result<Vec<Port>, Errno> {
    let mut fds: Vec<PollFd<'_>> = polled
        .iter()
        .map(|port| match (port, &ports.feed) {
            (Port::Console, _) => PollFd::new(&ports.console, PollFlags::IN),
            (Port::Agent, _) => PollFd::new(&*ports.agent, PollFlags::IN),
            (Port::Qmp, _) => PollFd::new(&*ports.qmp, PollFlags::IN),
            (Port::Feed, Some((pipe, _))) => PollFd::new(pipe, PollFlags::OUT),
            (Port::Stderr | Port::Feed, _) => PollFd::new(&ports.stderr, PollFlags::IN),
        })
        .collect();
    poll(&mut fds, limit.map(timespec).as_ref())?;
    Ok(polled.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(port, _)| *port).collect())
}

fn take(port: Port, bytes: &[u8], state: &mut State, decoder: &mut Decoder, qmp: &mut Vec<u8>) {
    match port {
        Port::Console => {
            state.console.push(bytes);
            state.monitor.push(bytes);
        }
        Port::Agent => {
            decoder.push(bytes);
            while let Some(frame) = decoder.next_frame() {
                bounded(&mut state.frames, frame);
            }
            state.noise = decoder.noise();
        }
        Port::Qmp => {
            qmp.extend_from_slice(bytes);
            while let Some(end) = qmp.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = qmp.drain(..=end).collect();
                if let Ok(message) = serde_json::from_slice::<serde_json::Value>(&line) {
                    if message.get("event").is_some() {
                        bounded(&mut state.events, message);
                    } else if message.get("id").is_some() {
                        bounded(&mut state.answers, message);
                    }
                }
            }
            if qmp.len() > QMP_LINE {
                qmp.clear();
            }
        }
        Port::Stderr | Port::Feed => {
            state.stderr.extend_from_slice(bytes);
            let surplus = state.stderr.len().saturating_sub(STDERR);
            state.stderr.drain(..surplus);
        }
    }
}

fn bounded<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == QUEUE {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// Creates a pipe: read end, write end.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), HarnessError> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(HarnessError::system("create a pipe for QEMU"))
}

/// Sends all of `bytes` to a socket, even if its reader is slow, until the deadline.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], deadline: Instant) -> io::Result<()> {
    use rustix::net::SendFlags;
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::net::send(socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => await_ready(socket, PollFlags::OUT, deadline)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes all of `bytes` to our end of a pipe, even if its reader is slow, until the deadline.
pub(crate) fn write(pipe: &OwnedFd, bytes: &[u8], deadline: Instant) -> io::Result<()> {
    rustix::io::ioctl_fionbio(pipe, true)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(pipe, rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => await_ready(pipe, PollFlags::OUT, deadline)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until a descriptor is ready; fails with `TimedOut` when the deadline passes.
pub(crate) fn await_ready(fd: impl AsFd, flags: PollFlags, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut fds = [PollFd::new(&fd, flags)];
        match poll(&mut fds, Some(&timespec(left))) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::frame;
    use agent::proto::Reply;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    /// A pump and the ends of the console and of the agent's port that QEMU has.
    fn pump() -> (Pump, OwnedFd, OwnedFd) {
        let pair = || socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let ((console, printed), (stderr, _)) = (pipe().unwrap(), pipe().unwrap());
        let ((agent, theirs), (qmp, _)) = (pair(), pair());
        let ports = Ports { console, agent: Arc::new(agent), qmp: Arc::new(qmp), stderr, feed: None };
        (Pump::start(ports, Monitor::new(false)).unwrap(), printed, theirs)
    }

    #[test]
    fn what_was_printed_before_a_reply_is_seen_with_it() {
        let (mut pump, printed, agent) = pump();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut expected = Vec::new();
        for number in 0..200 {
            let line = format!("line {number}\n");
            rustix::io::write(&printed, line.as_bytes()).unwrap();
            expected.extend(line.bytes());
            send(&agent, &frame::encode(number, &Reply::Done).unwrap(), deadline).unwrap();
            let seen = pump.shared.wait(deadline, |state| {
                let (seq, _) = state.frames.pop_front()?;
                Some((seq, state.console.since(0)))
            });
            assert_eq!(seen, Some((number, expected.clone())));
        }
        drop((printed, agent));
        pump.join();
    }

    #[test]
    fn a_pipe_receives_all_that_is_written_to_it() {
        let (reader, writer) = pipe().unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let sent = bytes.clone();
        let thread = std::thread::spawn(move || write(&writer, &sent, Instant::now() + Duration::from_secs(60)));
        let mut received = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(reader), &mut received).unwrap();
        thread.join().unwrap().unwrap();
        assert!(received == bytes);
    }
}
