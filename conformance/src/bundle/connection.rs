//! The line to the agent of the same machine: a socket, the same frames as over the serial port.

use crate::lab::{Guest, GuestError};
use agent::frame::{self, Decoder};
use agent::proto::{self, Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long the agent may take to greet.
const GREETING: Duration = Duration::from_secs(60);

pub(super) struct AgentConnection {
    port: OwnedFd,
    decoder: Decoder,
    frames: VecDeque<(u32, Vec<u8>)>,
    seq: u32,
}

impl AgentConnection {
    /// Waits for the agent's greeting.
    pub(super) fn open(port: OwnedFd) -> Result<AgentConnection, GuestError> {
        let mut line = AgentConnection { port, decoder: Decoder::new(), frames: VecDeque::new(), seq: 0 };
        match line.answer(0, Instant::now() + GREETING)? {
            Reply::Hello { version, .. } if version == proto::VERSION => Ok(line),
            other => Err(GuestError::Lost(format!("the agent is of another build: {other:?}"))),
        }
    }

    fn answer(&mut self, seq: u32, deadline: Instant) -> Result<Reply, GuestError> {
        let lost = |errno: Errno| GuestError::Lost(format!("the line to the agent failed: {errno}"));
        let mut buffer = vec![0; 64 << 10];
        loop {
            while let Some((number, payload)) = self.frames.pop_front() {
                if number == seq {
                    return frame::decode(&payload).map_err(|error| GuestError::Lost(harness::error_chain(&error)));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(GuestError::Lost("the agent did not answer in time".to_owned()));
            }
            let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            let wait = Timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.port, PollFlags::IN)], Some(&wait)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(lost(errno)),
            }
            match rustix::io::read(&self.port, &mut buffer[..]) {
                Ok(0) => return Err(GuestError::Lost("the agent has ended".to_owned())),
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(lost(errno)),
            }
            self.frames.extend(std::iter::from_fn(|| self.decoder.next_frame()));
        }
    }
}

impl Guest for AgentConnection {
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError> {
        self.seq += 1;
        let message =
            frame::encode(self.seq, request).map_err(|error| GuestError::Lost(harness::error_chain(&error)))?;
        let mut rest = &message[..];
        while !rest.is_empty() {
            match rustix::io::write(&self.port, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(GuestError::Lost(format!("the line to the agent failed: {errno}"))),
            }
        }
        self.answer(self.seq, Instant::now() + wall)
    }
}
