//! One QEMU process and its ports, from start to end.

use crate::Qemu;
use crate::console::printable;
use crate::ending::{Death, Ending, Exit};
use crate::error::{BootError, HarnessError, error_chain};
use crate::monitor::Monitor;
use crate::pump::{self, Ports, Pump};
use crate::qmp::{self, Qmp};
use crate::spawn::{self, Process, Spawner};
use crate::spec::{Channels, Role, Spec, qemu_args};
use agent::frame;
use agent::proto::Reply;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde_json::{Value, json};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Console lines in an error.
pub(crate) const TAIL: usize = 40;
/// How long QEMU may take to exit after it closed its ports.
const EXIT: Duration = Duration::from_secs(5);

/// A template's device state on its way into QEMU.
pub(crate) struct Incoming {
    /// QEMU's end of the pipe.
    pub(crate) state: OwnedFd,
    /// Our end of the pipe and the bytes to write.
    pub(crate) feed: (OwnedFd, Arc<[u8]>),
}

/// A started QEMU process and its ports.
#[derive(Debug)]
pub(crate) struct Instance {
    // Fields are dropped in this order: QEMU must have ended before its pump can end.
    pub(crate) process: Process,
    pub(crate) pump: Pump,
    pub(crate) qmp: Qmp,
    pub(crate) agent: Arc<OwnedFd>,
    /// The input of the guest's console.
    pub(crate) console: OwnedFd,
    pub(crate) qemu: Qemu,
}

impl Instance {
    /// Starts QEMU. It inherits `memory`, that of a template, and reads the state in `incoming`, that of a clone.
    pub(crate) fn start(
        qemu: &Qemu,
        spec: &Spec,
        role: Role<'_>,
        memory: Option<OwnedFd>,
        incoming: Option<Incoming>,
        spawner: &Spawner,
    ) -> Result<Self, HarnessError> {
        let pair = || {
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(HarnessError::system("create a socket pair for QEMU"))
        };
        let ((agent, their_agent), (qmp, their_qmp)) = (pair()?, pair()?);
        let ((input, console_input), (console, output), (stderr, errors)) =
            (pump::pipe()?, pump::pipe()?, pump::pipe()?);
        let channels = Channels::Descriptors { agent: their_agent.as_raw_fd(), qmp: their_qmp.as_raw_fd() };
        let mut inherited = vec![their_agent, their_qmp];
        inherited.extend(memory);
        let feed = incoming.map(|incoming| {
            inherited.push(incoming.state);
            incoming.feed
        });
        let (program, args) = (qemu.path.clone(), qemu_args(spec, role, channels));
        let process = spawner.run(spawn::Command { program, args, inherited, input, output, errors })?;
        let (agent, qmp) = (Arc::new(agent), Arc::new(qmp));
        let ports = Ports { console, agent: Arc::clone(&agent), qmp: Arc::clone(&qmp), stderr, feed };
        let monitor = Monitor::new(!matches!(role, Role::Clone { .. }));
        let pump = Pump::start(ports, monitor)
            .map_err(HarnessError::system("start the thread that reads the guest's output"))?;
        let qmp = Qmp::new(qmp, Arc::clone(&pump.shared));
        Ok(Self { process, pump, qmp, agent, console: console_input, qemu: qemu.clone() })
    }

    /// Opens the control port; QEMU sends events from then on.
    pub(crate) fn negotiate(&mut self, deadline: Instant) -> Result<(), HarnessError> {
        self.qmp.call("qmp_capabilities", Value::Null, deadline).map(drop)
    }

    /// Makes QEMU read the device state from its descriptor `number`, and resumes the guest. The commands are sent
    /// at once: QEMU executes them in order, and every round trip would add to the time a clone takes.
    pub(crate) fn resume(&mut self, number: RawFd, deadline: Instant) -> Result<(), HarnessError> {
        let commands = [
            ("qmp_capabilities", Value::Null),
            ("migrate-set-capabilities", qmp::migration_capabilities()),
            ("migrate-incoming", json!({ "uri": format!("fd:{number}") })),
        ];
        let pending: Vec<_> = commands
            .into_iter()
            .map(|(command, arguments)| self.qmp.send(command, arguments, deadline))
            .collect::<Result<_, _>>()?;
        pending.iter().try_for_each(|command| self.qmp.answer(command, deadline).map(drop))?;
        let status = self.qmp.event(deadline, |event| {
            qmp::migration_status(event).filter(|status| matches!(status.as_str(), "completed" | "failed"))
        });
        if status.as_deref() != Some("completed") {
            let reason = format!("the device state was not loaded: {}", status.as_deref().unwrap_or("no answer"));
            return Err(HarnessError::Qmp { command: "migrate-incoming".to_owned(), reason });
        }
        self.qmp.call("cont", Value::Null, deadline).map(drop)
    }

    /// Returns the greeting that the agent sends when it is ready; `None` if the guest ended or the deadline passed
    /// first.
    pub(crate) fn greeting(&self, deadline: Instant) -> Result<Option<Reply>, BootError> {
        let frame = self.pump.shared.wait(deadline, |state| state.frames.pop_front());
        let reply = frame.map(|(_, payload)| frame::decode(&payload)).transpose();
        reply.map_err(|error| BootError::Protocol(error_chain(&error)))
    }

    /// Returns whether QEMU has closed its ports, as it does when it exits.
    pub(crate) fn has_ended(&self) -> bool {
        self.pump.shared.lock().ended
    }

    /// Waits for QEMU to exit, or kills it, and reads its remaining output.
    pub(crate) fn end(&mut self, bye: bool, kill: bool) -> Ending {
        if kill {
            self.process.kill();
        }
        let mut killed = kill;
        let status = self.process.wait(EXIT).or_else(|| {
            killed = true;
            self.process.kill();
            self.process.wait(EXIT)
        });
        self.pump.join();
        let state = self.pump.shared.lock();
        let reason = state.events.iter().find_map(qmp::shutdown_reason);
        let exit = match status {
            _ if killed => Exit::Killed,
            Some(status) => status.signal().map_or(Exit::Code(status.code().unwrap_or_default()), Exit::Signal),
            None => Exit::Killed,
        };
        let planned = bye && exit == Exit::Code(0) && reason.as_deref() == Some("guest-reset");
        Ending { planned, reason, exit, findings: state.monitor.findings(), noise: state.noise }
    }

    pub(crate) fn death(&mut self, answered: bool, bye: bool, kill: bool) -> Death {
        let ending = self.end(bye, kill);
        let state = self.pump.shared.lock();
        let stderr = state.stderr.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(printable);
        let evidence = answered && ending.findings.iter().any(|finding| finding.kind.is_fatal());
        Death { tail: state.console.tail(TAIL), stderr: stderr.collect(), evidence, ending }
    }
}
