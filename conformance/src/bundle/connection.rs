//! The connection to the agent on the same machine: a socket with the same frames as the serial port.

use crate::check::lab::{Guest, GuestError};
use crate::text::error_chain;
use agent::frame::{self, Decoder};
use agent::proto::{self, Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The limit for the greeting of the agent.
const GREETING: Duration = Duration::from_secs(60);

/// A connection to the agent.
pub(super) struct AgentConnection {
    port: OwnedFd,
    decoder: Decoder,
    frames: VecDeque<(u32, Vec<u8>)>,
    seq: u32,
}

impl AgentConnection {
    /// Opens the connection and waits for the greeting of the agent.
    pub(super) fn open(port: OwnedFd) -> Result<AgentConnection, GuestError> {
        let mut connection = AgentConnection { port, decoder: Decoder::new(), frames: VecDeque::new(), seq: 0 };
        match connection.reply(0, Instant::now() + GREETING)? {
            Reply::Hello { version, .. } if version == proto::VERSION => Ok(connection),
            Reply::Hello { version, .. } => Err(GuestError::Lost(format!(
                "the agent speaks protocol version {version:#x}, this program speaks {:#x}",
                proto::VERSION
            ))),
            _ => Err(GuestError::Lost("the agent's first message is not a greeting".to_owned())),
        }
    }

    fn reply(&mut self, seq: u32, deadline: Instant) -> Result<Reply, GuestError> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            while let Some((number, payload)) = self.frames.pop_front() {
                if number == seq {
                    return frame::decode(&payload).map_err(|error| GuestError::Lost(error_chain(&error)));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(GuestError::Lost("the agent did not reply in time".to_owned()));
            }
            let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            let wait = Timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.port, PollFlags::IN)], Some(&wait)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(failed(errno)),
            }
            match rustix::io::read(&self.port, &mut buffer[..]) {
                Ok(0) => return Err(GuestError::Lost("the agent has ended".to_owned())),
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
            self.frames.extend(std::iter::from_fn(|| self.decoder.next_frame()));
        }
    }
}

fn failed(errno: Errno) -> GuestError {
    GuestError::Lost(format!("the connection to the agent failed: {}", error_chain(&errno)))
}

impl Guest for AgentConnection {
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError> {
        self.seq += 1;
        let message = frame::encode(self.seq, request).map_err(|error| GuestError::Lost(error_chain(&error)))?;
        let mut rest = &message[..];
        while !rest.is_empty() {
            match rustix::io::write(&self.port, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        self.reply(self.seq, Instant::now() + wall)
    }
}
