//! Runs programs in a child, with a limit in guest time.

use super::{c_string, elapsed};
use crate::sys;
use crate::time::{self, Moment};
use agent::proto::{ExitKind, GuestMillis, Ran, Value};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use std::ffi::CString;

/// Bytes kept of each stream.
const KEPT: usize = 1 << 20;

/// A program and its limit.
pub struct Program<'a> {
    pub program: &'a [u8],
    pub argv: &'a [Vec<u8>],
    pub env: &'a [Vec<u8>],
    pub chroot: Option<&'a [u8]>,
    pub limit: GuestMillis,
}

/// Runs a program with `stdin` and captures its output.
pub fn run(program: &Program, stdin: &[u8]) -> Result<Value> {
    let (out, out_child) = pipe()?;
    let (err, err_child) = pipe()?;
    let (input, input_child) = if stdin.is_empty() { (None, null()?) } else { feed()? };
    let mut streams = Streams { input, stdin, outputs: [Some(out), Some(err)], kept: Default::default() };
    start(program, Some([input_child, out_child, err_child]), &mut streams)
}

/// Runs a program with no open descriptor.
pub fn run_closed(program: &Program) -> Result<Value> {
    start(program, None, &mut Streams { input: None, stdin: b"", outputs: [None, None], kept: Default::default() })
}

/// Creates a pipe from a child; our end does not block.
fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// Creates a pipe to a child; our end does not block.
fn feed() -> Result<(Option<OwnedFd>, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
    sys::ignore_broken_pipes();
    Ok((Some(write), read))
}

/// Opens an empty input, even if there is no `/dev/null`.
fn null() -> Result<OwnedFd> {
    rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).or_else(|_| Ok(pipe()?.0))
}

fn start(program: &Program, stdio: Option<[OwnedFd; 3]>, streams: &mut Streams) -> Result<Value> {
    let strings = |list: &[Vec<u8>]| list.iter().map(|s| c_string(s)).collect::<Result<Vec<CString>>>();
    let (path, argv, env) = (c_string(program.program)?, strings(program.argv)?, strings(program.env)?);
    let (failure, failure_child) = pipe()?;
    let failure_child = rustix::io::fcntl_dupfd_cloexec(failure_child, 3)?;
    let began = time::now();
    let deadline = Moment::after(program.limit);
    match sys::fork()? {
        sys::Fork::Child => {
            let errno = match prepare(program, stdio, &failure_child) {
                Ok(()) => sys::execute(&path, &argv, &env),
                Err(errno) => errno,
            };
            let _ = rustix::io::write(&failure_child, &errno.raw_os_error().to_ne_bytes());
            sys::exit(127)
        }
        sys::Fork::Parent(pid) => {
            drop((stdio, failure_child));
            let _ = rustix::process::setpgid(Some(pid), Some(pid));
            let exit = attend(pid, deadline, streams)?;
            let mut errno = [0; 4];
            if rustix::io::read(&failure, &mut errno) == Ok(4) {
                return Err(Errno::from_raw_os_error(i32::from_ne_bytes(errno)));
            }
            let [stdout, stderr] = std::mem::take(&mut streams.kept);
            Ok(Value::Ran(Ran { exit, stdout, stderr, took: elapsed(began) }))
        }
    }
}

/// Prepares the child before execve(2): its process group, root and descriptors.
fn prepare(program: &Program, stdio: Option<[OwnedFd; 3]>, failure: &OwnedFd) -> Result<()> {
    use rustix::fd::AsRawFd;
    let _ = rustix::process::setpgid(None, None);
    sys::default_signals();
    if let Some(root) = program.chroot {
        rustix::process::chroot(root)?;
        rustix::process::chdir(c"/")?;
    }
    match stdio {
        // First move them above the target numbers, so that none closes another: a helper starts with no open
        // descriptor, so they may have low numbers.
        Some([input, output, error]) => {
            let high = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
            let all = [high(input)?, high(output)?, high(error)?];
            for (fd, target) in all.iter().zip(0..) {
                sys::install(fd, target)?;
            }
        }
        None => {
            // Close all but the one that execve(2) closes.
            let keep = failure.as_raw_fd() as u32;
            sys::close_range(0, keep - 1);
            sys::close_range(keep + 1, u32::MAX);
        }
    }
    Ok(())
}

/// Our ends of a child's streams.
struct Streams<'a> {
    input: Option<OwnedFd>,
    stdin: &'a [u8],
    outputs: [Option<OwnedFd>; 2],
    kept: [Vec<u8>; 2],
}

/// Moves data until the child has ended or its limit has passed. Does not wait for output of other processes that
/// inherited the streams.
fn attend(pid: Pid, deadline: Moment, streams: &mut Streams) -> Result<ExitKind> {
    let child = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let ended = wait(&child, deadline, streams)?;
        streams.feed();
        streams.drain();
        if ended {
            return reap(pid);
        }
        if deadline.passed() {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            reap(pid)?;
            streams.drain();
            return Ok(ExitKind::TimedOut);
        }
    }
}

/// Waits until data can be moved or the child has ended. Returns whether it has ended.
fn wait(child: &OwnedFd, deadline: Moment, streams: &Streams) -> Result<bool> {
    let left = deadline.left();
    let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    let mut polls = vec![PollFd::new(child, PollFlags::IN)];
    polls.extend(streams.outputs.iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)));
    polls.extend(streams.input.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
    match rustix::event::poll(&mut polls, Some(&left)) {
        Ok(_) => Ok(!polls[0].revents().is_empty()),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

impl Streams<'_> {
    fn feed(&mut self) {
        let Some(input) = &self.input else { return };
        match rustix::io::write(input, self.stdin) {
            Ok(n) => self.stdin = &self.stdin[n..],
            Err(Errno::AGAIN | Errno::INTR) => return,
            // The reader is gone.
            Err(_) => self.stdin = b"",
        }
        if self.stdin.is_empty() {
            self.input = None;
        }
    }

    fn drain(&mut self) {
        let mut buffer = [0; 16384];
        for (output, kept) in self.outputs.iter_mut().zip(&mut self.kept) {
            // Bounded, so that a writer that never stops cannot keep us from checking the deadline. The bound exceeds
            // the capacity of a pipe, so the final drain is complete.
            for _ in 0..KEPT / buffer.len() + 1 {
                let Some(fd) = output else { break };
                match rustix::io::read(fd, &mut buffer) {
                    Ok(0) => *output = None,
                    Ok(n) => kept.extend(&buffer[..n.min(KEPT - kept.len())]),
                    Err(Errno::INTR) => {}
                    Err(_) => break,
                }
            }
        }
    }
}

fn reap(pid: Pid) -> Result<ExitKind> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                return Ok(match status.terminating_signal() {
                    Some(signal) => ExitKind::Signalled(signal),
                    None => ExitKind::Exited(status.exit_status().unwrap_or(-1)),
                });
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
