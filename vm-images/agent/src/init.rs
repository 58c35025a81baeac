//! PID 1: mounts the usual file systems, then serves the host over the second serial port until the guest ends.
//!
//! It reaps children and answers requests, and does nothing else: jobs carry out what a test requests. It never
//! triggers a module request itself: a file system that is not in `/proc/filesystems` is not mounted.

use crate::actions::{self, files};
use crate::jobs::Jobs;
use crate::kmsg::Log;
use crate::sys::strerror;
use crate::time::Moment;
use crate::trace::{Trace, TraceError};
use crate::{inner_host, insert, processes, settle, sys, time};
use agent::frame::{self, Decoder};
use agent::proto::{Group, JobEnd, JobId, Reply, Request, VERSION};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::system::RebootCommand;
use rustix::termios::{ControlModes, OptionalActions, SpecialCodeIndex};
use rustix::time::{ClockId, Timespec};

const PORT: &[u8] = b"/dev/ttyS1";
/// The directory of result files and of the tests' scratch directories.
const SCRATCH: &[u8] = b"/run/lab";

/// Runs PID 1.
pub fn main() -> ! {
    mount_all();
    open_console();
    sys::watch_children();
    let served = start().and_then(|mut agent| agent.send(0, &hello()?).and_then(|()| agent.serve()));
    if let Err(message) = served {
        eprintln!("agent: {message}; powering off");
    }
    end(RebootCommand::PowerOff)
}

fn start() -> Result<Agent, String> {
    let inner = inner_host::is_there();
    let port = if inner { inner_host::start()? } else { open_port()? };
    let failed = |action, errno| format!("cannot {action} {}: {}", SCRATCH.escape_ascii(), strerror(errno));
    files::make_directories(SCRATCH).map_err(|errno| failed("create", errno))?;
    let directory = files::open(SCRATCH, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|errno| failed("open", errno))?;
    settle::wait_for_random();
    insert::all()?;
    if inner {
        settle::wait_for_clock(); // a host outside requests it when it needs it
    }
    Ok(Agent {
        port,
        decoder: Decoder::new(),
        jobs: Jobs::new(directory),
        log: Log::default(),
        trace: Trace::default(),
        waiting: None,
    })
}

/// Ends the guest. There is nothing to sync: it has no disk.
fn end(how: RebootCommand) -> ! {
    let _ = rustix::system::reboot(how);
    let _ = rustix::system::reboot(RebootCommand::Restart);
    // When PID 1 exits the kernel panics, and a panic resets the machine, so the guest ends in any case.
    sys::exit(1)
}

fn mount_all() {
    let mount = |name: &str, at: &[u8], data: &[u8]| {
        let _ = files::make_directories(at);
        match files::mount(name.as_bytes(), at, name.as_bytes(), 0, data) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => eprintln!("agent: cannot mount {name} on {}: {}", at.escape_ascii(), strerror(errno)),
        }
    };
    mount("proc", b"/proc", b"");
    for (name, at, data) in [
        ("sysfs", &b"/sys"[..], &b""[..]),
        ("devtmpfs", b"/dev", b"mode=0755"),
        ("tmpfs", b"/run", b"mode=0755"),
        ("tmpfs", b"/tmp", b"mode=1777"),
    ] {
        if has_filesystem(name) {
            mount(name, at, data);
        } else {
            let _ = files::make_directories(at);
        }
    }
    if !has_filesystem("devtmpfs") {
        for (path, major, minor) in [
            (&b"/dev/console"[..], 5, 1),
            (b"/dev/null", 1, 3),
            (b"/dev/urandom", 1, 9),
            (b"/dev/kmsg", 1, 11),
            (PORT, 4, 65),
        ] {
            let _ = files::make_node(path, 0o020_600, major, minor);
        }
    }
}

/// Returns whether a file system is built in or loaded. Trying to mount it would make the kernel request a module.
pub fn has_filesystem(name: &str) -> bool {
    let list = files::read(b"/proc/filesystems", usize::MAX).unwrap_or_default();
    list.split(|&b| b == b'\n').any(|line| line.split(|&b| b == b'\t').next_back() == Some(name.as_bytes()))
}

/// Opens descriptors 0 to 2: the console, or else something that discards output.
fn open_console() {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let console = files::open(b"/dev/console", flags)
        .or_else(|_| files::open(b"/dev/null", flags))
        .or_else(|_| rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map(|(_, write)| write))
        .and_then(|console| rustix::io::fcntl_dupfd_cloexec(console, 3));
    if let Ok(console) = console {
        for number in 0..3 {
            let _ = sys::install(&console, number);
        }
    }
}

/// Opens the second serial port in raw mode.
fn open_port() -> Result<OwnedFd, String> {
    let path = PORT.escape_ascii();
    // Without O_NONBLOCK the open would wait for a carrier.
    let port = files::open(PORT, OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK)
        .map_err(|errno| format!("cannot open the serial port {path}: {}", strerror(errno)))?;
    let raw = || {
        let mut settings = rustix::termios::tcgetattr(&port)?;
        settings.make_raw();
        settings.set_speed(115_200)?;
        settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        settings.special_codes[SpecialCodeIndex::VMIN] = 1;
        settings.special_codes[SpecialCodeIndex::VTIME] = 0;
        rustix::termios::tcsetattr(&port, OptionalActions::Flush, &settings)?;
        rustix::fs::fcntl_setfl(&port, OFlags::RDWR)
    };
    raw().map_err(|errno: Errno| format!("cannot configure the serial port {path}: {}", strerror(errno)))?;
    // An interrupt for every 14 bytes instead of 8. QEMU delivers at most one FIFO trigger level at a time, so this
    // triples the speed of requests; if it cannot be set, requests are only slower.
    let _ = files::write(b"/sys/class/tty/ttyS1/rx_trig_bytes", b"14", files::for_writing(0));
    Ok(port)
}

/// A [`Request::Wait`] that has not been answered yet.
struct Waiting {
    seq: u32,
    job: JobId,
    deadline: Moment,
}

struct Agent {
    port: OwnedFd,
    decoder: Decoder,
    jobs: Jobs,
    log: Log,
    trace: Trace,
    waiting: Option<Waiting>,
}

impl Agent {
    /// Serves until the port is lost.
    fn serve(&mut self) -> Result<(), String> {
        let mut buffer = vec![0; 4096];
        loop {
            self.jobs.reap();
            self.finish_waiting()?;
            while self.waiting.is_none() {
                let Some((seq, payload)) = self.decoder.next_frame() else { break };
                self.answer(seq, &payload)?;
            }
            let awaited = self.waiting.as_ref().map(|waiting| waiting.deadline);
            let deadline = self.jobs.send_due().into_iter().chain(awaited).min();
            let failed = |errno: Errno| format!("cannot read from the host: {}", strerror(errno));
            if sys::wait_input(self.port.as_fd(), deadline).map_err(failed)? {
                match rustix::io::read(&self.port, &mut buffer) {
                    Ok(0) => return Err("the host closed the connection".into()),
                    Ok(length) => self.decoder.push(&buffer[..length]),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(errno) => return Err(failed(errno)),
                }
            }
        }
    }

    fn send(&self, seq: u32, reply: &Reply) -> Result<(), String> {
        let frame = frame::encode(seq, reply)
            .or_else(|error| frame::encode(seq, &Reply::Failed(error.to_string())))
            .map_err(|error| error.to_string())?;
        files::write_whole(&self.port, &frame).map_err(|errno| format!("cannot write to the host: {}", strerror(errno)))
    }

    fn finish_waiting(&mut self) -> Result<(), String> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let (seq, job) = (waiting.seq, waiting.job);
        let reply = match self.jobs.has_ended(job) {
            Some(false) if !waiting.deadline.passed() => return Ok(()),
            Some(false) => Reply::StillRunning,
            Some(true) | None => reply(self.jobs.take(job).map(Reply::Finished)),
        };
        self.waiting = None;
        self.send(seq, &reply)
    }

    fn answer(&mut self, seq: u32, payload: &[u8]) -> Result<(), String> {
        let answer = match frame::decode(payload) {
            Ok(Request::Wait { job, limit }) => {
                self.waiting = Some(Waiting { seq, job, deadline: Moment::after(limit) });
                return self.finish_waiting();
            }
            Ok(Request::Shutdown) => {
                self.send(seq, &Reply::Bye)?;
                let _ = rustix::termios::tcdrain(&self.port);
                end(RebootCommand::Restart)
            }
            Ok(request) => self.perform(request),
            Err(error) => Err(error.to_string()),
        };
        self.send(seq, &reply(answer))
    }

    fn perform(&mut self, request: Request) -> Result<Reply, String> {
        Ok(match request {
            Request::Hello => hello()?,
            Request::Refresh { realtime_ns, seed } => {
                refresh(realtime_ns, &seed)?;
                Reply::Done
            }
            Request::Settle => {
                settle::wait_for_clock();
                Reply::Done
            }
            Request::Start { caller, actions, count } => {
                Reply::Started(self.jobs.start(&[Group { caller, actions, count, ..Group::default() }])?)
            }
            Request::StartAll(groups) => Reply::Started(self.jobs.start(&groups)?),
            Request::Signal { job, signal } => {
                self.jobs.signal(job, signal)?;
                Reply::Done
            }
            Request::InInit(action) => {
                let results = vec![actions::timed(&action)];
                Reply::Finished(JobEnd { results, ended: time::now(), ..JobEnd::default() })
            }
            Request::Kmsg { since, flush } => {
                let part = self.log.read(since, flush)?;
                Reply::Kmsg { records: part.records, next: part.next, lost: part.lost }
            }
            Request::TraceOn(events) => match self.trace.turn_on(events) {
                Ok(()) => Reply::Done,
                Err(TraceError::Missing(what)) => Reply::Missing(what),
                Err(TraceError::Failed(why)) => return Err(why),
            },
            Request::Trace => Reply::Trace(self.trace.lines()?),
            Request::Processes => {
                let jobs: Vec<i32> = self.jobs.pids().collect();
                let failed = |errno| format!("cannot read /proc: {}", strerror(errno));
                Reply::Processes(processes::list(&jobs).map_err(failed)?)
            }
            Request::Clock => Reply::Clock(time::now()),
            Request::Wait { .. } | Request::Shutdown => unreachable!("handled by answer"),
        })
    }
}

fn reply(result: Result<Reply, String>) -> Reply {
    result.unwrap_or_else(Reply::Failed)
}

fn hello() -> Result<Reply, String> {
    let line = |path: &str| {
        let mut text = files::read(path.as_bytes(), 1 << 16)
            .map_err(|errno| format!("cannot read {path}: {}", strerror(errno)))?;
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        Ok::<_, String>(text)
    };
    Ok(Reply::Hello {
        version: VERSION,
        release: rustix::system::uname().release().to_bytes().to_vec(),
        cmdline: line("/proc/cmdline")?,
        boot_id: line("/proc/sys/kernel/random/boot_id")?,
    })
}

fn refresh(realtime_ns: u64, seed: &[u8]) -> Result<(), String> {
    let time = Timespec { tv_sec: (realtime_ns / 1_000_000_000) as i64, tv_nsec: (realtime_ns % 1_000_000_000) as _ };
    rustix::time::clock_settime(ClockId::Realtime, time)
        .map_err(|errno| format!("cannot set the clock: {}", strerror(errno)))?;
    if seed.is_empty() {
        return Ok(());
    }
    let urandom = rustix::fs::open(c"/dev/urandom", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    let seeded = urandom.and_then(|urandom| sys::seed_random(urandom, seed));
    seeded.map_err(|errno| format!("cannot seed the random generator: {}", strerror(errno)))
}
