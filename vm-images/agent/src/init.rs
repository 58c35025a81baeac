//! PID 1: makes the guest habitable, then serves the host over the second serial port for ever.
//!
//! It reaps, answers, and does nothing else: what a test asks for is done by jobs. It never causes a
//! request for a module itself: a file system that is not in `/proc/filesystems` is not mounted.

use crate::actions::{self, files};
use crate::jobs::Jobs;
use crate::kmsg::Log;
use crate::time::Moment;
use crate::trace::Trace;
use crate::{inner_host, processes, sys, time};
use agent::frame::{self, Decoder};
use agent::proto::{Group, GuestMillis, JobEnd, JobId, Reply, Request, VERSION};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::system::RebootCommand;
use rustix::termios::{ControlModes, OptionalActions, SpecialCodeIndex};
use rustix::time::{ClockId, Timespec};

const PORT: &[u8] = b"/dev/ttyS1";
/// Where result files live, and the scratch directories of tests.
const SCRATCH: &[u8] = b"/run/lab";

/// PID 1's life.
pub fn main() -> ! {
    mount_all();
    open_console();
    sys::watch_children();
    let served = start().and_then(|mut agent| agent.send(0, &hello()?).and_then(|()| agent.serve()));
    if let Err(message) = served {
        eprintln!("agent: {message}; the guest is powered off");
    }
    end(RebootCommand::PowerOff)
}

fn start() -> Result<Agent, String> {
    let port = if inner_host::is_there() { inner_host::start()? } else { open_port()? };
    files::make_directories(SCRATCH).map_err(|errno| format!("{}: {errno}", SCRATCH.escape_ascii()))?;
    let directory = files::open(SCRATCH, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|errno| format!("{}: {errno}", SCRATCH.escape_ascii()))?;
    wait_for_random();
    Ok(Agent {
        port,
        decoder: Decoder::new(),
        jobs: Jobs::new(directory),
        log: Log::default(),
        trace: Trace::default(),
        waiting: None,
    })
}

/// Drains nothing, syncs nothing: the guest has no disk.
fn end(how: RebootCommand) -> ! {
    let _ = rustix::system::reboot(how);
    let _ = rustix::system::reboot(RebootCommand::Restart);
    // PID 1's end is a panic, and a panic resets the machine: it ends in any case.
    sys::exit(1)
}

fn mount_all() {
    let mount = |name: &str, at: &[u8], data: &[u8]| {
        let _ = files::make_directories(at);
        match files::mount(name.as_bytes(), at, name.as_bytes(), 0, data) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => eprintln!("agent: {name} cannot be mounted on {}: {errno}", at.escape_ascii()),
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

/// Whether the kernel has a file system built in or loaded. To try would be to ask for a module.
pub fn has_filesystem(name: &str) -> bool {
    let list = files::read(b"/proc/filesystems", usize::MAX).unwrap_or_default();
    list.split(|&b| b == b'\n').any(|line| line.split(|&b| b == b'\t').next_back() == Some(name.as_bytes()))
}

/// Descriptors 0 to 2: the console, or something that swallows what is written.
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

/// The second serial port, every byte passed as it is.
fn open_port() -> Result<OwnedFd, String> {
    let path = PORT.escape_ascii();
    // Without O_NONBLOCK it would wait for a carrier.
    let port = files::open(PORT, OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK)
        .map_err(|errno| format!("there is no serial port {path} to talk to the host: {errno}"))?;
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
    raw().map_err(|errno: Errno| format!("the serial port {path} does not work: {errno}"))?;
    // An interrupt for every 14 bytes instead of 8. QEMU hands over no more at a time than the guest waits for, so
    // this is what triples the speed at which requests arrive; where it cannot be set they only arrive later.
    let _ = files::write(b"/sys/class/tty/ttyS1/rx_trig_bytes", b"14", files::for_writing(0));
    Ok(port)
}

/// Waits until the kernel's random generator is ready, so that no clone of this guest ever has to. Only a waiting
/// caller makes the kernel gather what it lacks; that caller is a child, so that the wait has a bound.
fn wait_for_random() {
    if sys::random_ready(false) {
        return;
    }
    let Ok(child) = sys::fork() else { return };
    match child {
        sys::Fork::Child => {
            sys::default_signals();
            sys::random_ready(true);
            sys::exit(0)
        }
        sys::Fork::Parent(pid) => {
            let deadline = Moment::after(GuestMillis(10_000));
            while !sys::random_ready(false) {
                if deadline.passed() {
                    eprintln!("agent: the random generator is not ready; clones may wait for it");
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        }
    }
}

/// A [`Request::Wait`] that has no answer yet.
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
            let failed = |errno: Errno| format!("the serial port failed: {errno}");
            if sys::wait_input(self.port.as_fd(), deadline).map_err(failed)? {
                match rustix::io::read(&self.port, &mut buffer) {
                    Ok(0) => return Err("the serial port was hung up".into()),
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
        files::write_whole(&self.port, &frame).map_err(|errno| format!("the serial port cannot be written: {errno}"))
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
            Request::TraceOn(events) => {
                self.trace.turn_on(events)?;
                Reply::Done
            }
            Request::Trace => Reply::Trace(self.trace.lines()?),
            Request::Processes => {
                let jobs: Vec<i32> = self.jobs.pids().collect();
                Reply::Processes(processes::list(&jobs).map_err(|errno| format!("/proc: {errno}"))?)
            }
            Request::Clock => Reply::Clock(time::now()),
            Request::Wait { .. } | Request::Shutdown => unreachable!("answered before"),
        })
    }
}

fn reply(result: Result<Reply, String>) -> Reply {
    result.unwrap_or_else(Reply::Failed)
}

fn hello() -> Result<Reply, String> {
    let line = |path: &str| {
        let mut text = files::read(path.as_bytes(), 1 << 16).map_err(|errno| format!("{path}: {errno}"))?;
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
    rustix::time::clock_settime(ClockId::Realtime, time).map_err(|errno| format!("clock_settime: {errno}"))?;
    if seed.is_empty() {
        return Ok(());
    }
    let urandom = rustix::fs::open(c"/dev/urandom", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    urandom.and_then(|urandom| sys::seed_random(urandom, seed)).map_err(|errno| format!("/dev/urandom: {errno}"))
}
