//! QEMU's control port (QMP): commands, their answers, and the event with the reason of a shutdown.

use crate::error::HarnessError;
use crate::pump::{self, Shared};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long QEMU may take to close its other ports after it closed one.
const END: Duration = Duration::from_secs(5);

/// The host's end of the port. Answers arrive through the guest's pump.
#[derive(Debug)]
pub(crate) struct Qmp {
    socket: Arc<OwnedFd>,
    shared: Arc<Shared>,
    next: u64,
}

/// A command that was sent; its answer has not been read yet.
#[must_use]
pub(crate) struct Pending {
    id: u64,
    command: &'static str,
}

impl Qmp {
    pub(crate) fn new(socket: Arc<OwnedFd>, shared: Arc<Shared>) -> Self {
        Self { socket, shared, next: 0 }
    }

    /// Sends a command without waiting for the answer. QEMU executes commands in order, so a caller may send several
    /// at once; the first must be `qmp_capabilities`.
    pub(crate) fn send(
        &mut self,
        command: &'static str,
        arguments: Value,
        deadline: Instant,
    ) -> Result<Pending, HarnessError> {
        let id = self.next;
        self.next += 1;
        let sent = pump::send(&self.socket, &message(command, arguments, id), deadline);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            // QEMU closes its ports when it ends; wait until that is visible to the caller.
            let _ = self.shared.wait(Instant::now() + END, |state| state.ended.then_some(()));
        }
        sent.map_err(failed(command))?;
        Ok(Pending { id, command })
    }

    /// Waits for the answer to a command.
    pub(crate) fn answer(&self, pending: &Pending, deadline: Instant) -> Result<Value, HarnessError> {
        let answer = self.shared.wait(deadline, |state| {
            let index = state.answers.iter().position(|answer| answer["id"] == pending.id)?;
            state.answers.remove(index)
        });
        let failed =
            |reason: &str| HarnessError::Qmp { command: pending.command.to_owned(), reason: reason.to_owned() };
        let mut answer = answer.ok_or_else(|| failed("no answer"))?;
        match answer.get("error") {
            Some(error) => Err(failed(error["desc"].as_str().unwrap_or("an error without a description"))),
            None => Ok(answer["return"].take()),
        }
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn call(
        &mut self,
        command: &'static str,
        arguments: Value,
        deadline: Instant,
    ) -> Result<Value, HarnessError> {
        let pending = self.send(command, arguments, deadline)?;
        self.answer(&pending, deadline)
    }

    /// Passes a descriptor to QEMU under a name (`getfd`).
    pub(crate) fn give(
        &mut self,
        name: &str,
        descriptor: BorrowedFd<'_>,
        deadline: Instant,
    ) -> Result<(), HarnessError> {
        let id = self.next;
        self.next += 1;
        let text = message("getfd", json!({ "fdname": name }), id);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [descriptor];
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        // QEMU has just read from the port, so a short message fits the socket's buffer.
        let sent =
            sendmsg(&*self.socket, &[IoSlice::new(&text)], &mut ancillary, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
                .map_err(|error| failed("getfd")(error.into()))?;
        pump::send(&self.socket, &text[sent..], deadline).map_err(failed("getfd"))?;
        self.answer(&Pending { id, command: "getfd" }, deadline).map(drop)
    }

    /// Waits for an event that `wanted` accepts. Events stay in the queue.
    pub(crate) fn event<T>(&self, deadline: Instant, wanted: impl Fn(&Value) -> Option<T>) -> Option<T> {
        self.shared.wait(deadline, |state| state.events.iter().find_map(&wanted))
    }
}

fn message(command: &str, arguments: Value, id: u64) -> Vec<u8> {
    let mut message = json!({ "execute": command, "id": id });
    if !arguments.is_null() {
        message["arguments"] = arguments;
    }
    format!("{message}\n").into_bytes()
}

fn failed(command: &str) -> impl FnOnce(io::Error) -> HarnessError {
    move |source| HarnessError::QmpSend { command: command.to_owned(), source }
}

/// Returns the capabilities of a migration: it leaves out memory in a shared file, and sends events.
pub(crate) fn migration_capabilities() -> Value {
    json!({ "capabilities": [
        { "capability": "x-ignore-shared", "state": true },
        { "capability": "events", "state": true },
    ] })
}

/// Returns the reason in a `SHUTDOWN` event: `guest-reset`, `guest-shutdown`, `host-qmp-quit`, …
pub(crate) fn shutdown_reason(event: &Value) -> Option<String> {
    (event["event"] == "SHUTDOWN").then(|| event["data"]["reason"].as_str().unwrap_or("unknown").to_owned())
}

/// Returns the status in a `MIGRATION` event.
pub(crate) fn migration_status(event: &Value) -> Option<String> {
    (event["event"] == "MIGRATION").then(|| event["data"]["status"].as_str().unwrap_or_default().to_owned())
}
