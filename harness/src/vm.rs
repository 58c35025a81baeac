//! A running guest: calls to its agent, what its console shows, and how it ends.
//!
//! A guest's good end has three witnesses: the agent said that it ends now, QEMU says that the guest reset
//! itself, and the console is clean. QEMU's exit status is none: it is 0 after a panic too.

use crate::console::printable;
use crate::error::{BootError, Death, HarnessError, VmError};
use crate::monitor::{Finding, Monitor};
use crate::pump::{self, Ports, Pump, State};
use crate::qmp::{self, Qmp};
use crate::spawn::{self, Process, Spawner};
use crate::spec::{Channels, Role, Spec, qemu_args};
use crate::{Qemu, machine, template};
use agent::frame;
use agent::proto::{self, Reply, Request};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Lines of the console that an error carries.
const TAIL: usize = 40;
/// How long a QEMU whose ports are closed may take to be gone.
const EXIT: Duration = Duration::from_secs(5);
/// The first probe for an agent that has not greeted, and how often from then on.
const PROBE: Duration = Duration::from_secs(3);

/// Limits in wall time. They are there so that nothing hangs, far above what is usual; limits that mean
/// something to a test are guest time, and the agent keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the start of QEMU to the agent's greeting.
    pub boot: Duration,
    /// From the start of a clone to its agent's first reply.
    pub restore: Duration,
    /// From the request to end to QEMU's end.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { boot: Duration::from_secs(120), restore: Duration::from_secs(20), shutdown: Duration::from_secs(20) }
    }
}

/// Who the agent is, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `uname -r`.
    pub release: Vec<u8>,
    /// `/proc/cmdline`.
    pub cmdline: Vec<u8>,
    /// The kernel's random id of this boot.
    pub boot_id: Vec<u8>,
}

impl Hello {
    fn from_reply(reply: Reply) -> Result<Self, BootError> {
        match reply {
            Reply::Hello { version, release, cmdline, boot_id } if version == proto::VERSION => {
                Ok(Self { release, cmdline, boot_id })
            }
            Reply::Hello { version, .. } => Err(BootError::Version { found: version, expected: proto::VERSION }),
            other => Err(BootError::Protocol(format!("{other:?}"))),
        }
    }
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The agent said [`Reply::Bye`] and then the guest reset itself, as it was asked to.
    pub planned: bool,
    /// Why QEMU says it ended: `guest-reset`, `guest-shutdown`, …; `None`: it did not say.
    pub reason: Option<String>,
    /// How QEMU's process ended.
    pub exit: Exit,
    /// What the console showed.
    pub findings: Vec<Finding>,
    /// Bytes on the agent's port that belong to no message.
    pub noise: u64,
}

/// How QEMU's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// We killed it: the guest did not end.
    Killed,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.planned, self.reason.as_deref(), self.exit) {
            (true, ..) => write!(f, "as planned"),
            (_, _, Exit::Killed) => write!(f, "killed by the lab, since it did not end"),
            (_, _, Exit::Signal(signal)) => write!(f, "QEMU was killed by signal {signal}"),
            (_, Some("guest-reset"), _) => write!(f, "it reset itself without being asked to"),
            (_, Some("guest-shutdown"), _) => write!(f, "it powered itself off without being asked to"),
            (_, Some(reason), Exit::Code(code)) => write!(f, "QEMU ended with {reason}, exit status {code}"),
            (_, None, Exit::Code(code)) => write!(f, "QEMU ended with exit status {code} and gave no reason"),
        }
    }
}

/// A guest whose agent has answered. Dropping it kills QEMU and waits for its end.
#[derive(Debug)]
pub struct Vm {
    machine: Machine,
    hello: Hello,
    spec: Spec,
    limits: Limits,
    seq: u32,
    bye: bool,
}

/// Boots a guest; nothing is kept.
///
/// # Errors
/// [`BootError`] if QEMU cannot be started, or the agent does not answer in time.
pub fn boot_cold(qemu: &Qemu, spec: &Spec, spawner: &Spawner, limits: &Limits) -> Result<Vm, BootError> {
    Vm::boot(qemu, spec, Role::Cold, spawner, limits)
}

impl Vm {
    pub(crate) fn boot(
        qemu: &Qemu,
        spec: &Spec,
        role: Role<'_>,
        spawner: &Spawner,
        limits: &Limits,
    ) -> Result<Self, BootError> {
        let deadline = Instant::now() + limits.boot;
        let mut machine = Machine::start(qemu, spec, role, None, spawner)?;
        let greeting = machine.negotiate(deadline).map_err(BootError::from).and_then(|()| machine.greeting(deadline));
        let hello = match greeting {
            Ok(Some(reply)) => Hello::from_reply(reply)?,
            Ok(None) if !machine.pump.shared.lock().ended => {
                machine.process.kill();
                let death = Box::new(machine.death(false, false, true));
                return Err(BootError::Timeout { limit: limits.boot, stage: "boot", death });
            }
            // QEMU's refusal of its arguments closes the control port: its own words say more.
            Ok(None) | Err(BootError::Harness(HarnessError::Qmp { .. })) => {
                return Err(BootError::Dead(Box::new(machine.death(false, false, false))));
            }
            Err(error) => return Err(error),
        };
        Ok(Self { machine, hello, spec: spec.clone(), limits: *limits, seq: 0, bye: false })
    }

    /// A clone of a stopped template: maps its memory, reads its device state, runs on.
    pub(crate) fn restore(
        qemu: &Qemu,
        spec: &Spec,
        memory: &Path,
        device_state: &Arc<[u8]>,
        hello: &Hello,
        spawner: &Spawner,
        limits: &Limits,
    ) -> Result<Self, BootError> {
        let deadline = Instant::now() + limits.restore;
        let (state, pipe) = pump::pipe()?;
        let number = state.as_raw_fd();
        let incoming = Incoming { state, feed: (pipe, Arc::clone(device_state)) };
        let mut machine = Machine::start(qemu, spec, Role::Clone { memory }, Some(incoming), spawner)?;
        if let Err(error) = machine.resume(number, deadline) {
            let mut death = machine.death(false, false, true);
            death.stderr.push(error.to_string());
            return Err(BootError::Dead(Box::new(death)));
        }
        let mut vm = Self { machine, hello: hello.clone(), spec: spec.clone(), limits: *limits, seq: 0, bye: false };
        match vm.refresh(deadline.saturating_duration_since(Instant::now())) {
            Ok(()) => Ok(vm),
            Err(VmError::Dead(death)) => Err(BootError::Dead(Box::new(Death { evidence: false, ..*death }))),
            Err(VmError::Timeout { .. }) => {
                vm.machine.process.kill();
                let death = Box::new(vm.machine.death(false, false, true));
                Err(BootError::Timeout { limit: limits.restore, stage: "the restore of a clone", death })
            }
            Err(VmError::Harness(error)) => Err(error.into()),
            Err(error @ (VmError::Protocol(_) | VmError::Agent(_))) => Err(BootError::Protocol(error.to_string())),
        }
    }

    /// Sets the clock and mixes in fresh randomness: both are the template's in a clone.
    fn refresh(&mut self, limit: Duration) -> Result<(), VmError> {
        let mut seed = vec![0; 32];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut seed))
            .map_err(HarnessError::system("read /dev/urandom"))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let realtime_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.call(&Request::Refresh { realtime_ns, seed }, limit).map(drop)
    }

    /// Asks the agent and waits for its reply, at most `wall` of host time.
    ///
    /// # Errors
    /// [`VmError::Dead`] if the guest has ended or ends meanwhile, [`VmError::Timeout`], [`VmError::Agent`] for
    /// [`Reply::Failed`], [`VmError::Protocol`] for a reply that cannot be read.
    pub fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, VmError> {
        self.seq += 1;
        let seq = self.seq;
        let deadline = Instant::now() + wall;
        let message = frame::encode(seq, request).map_err(|error| VmError::Protocol(error.to_string()))?;
        // If the guest has gone, the wait says so, and better.
        let sent = pump::send(&self.machine.agent, &message, deadline);
        let reply = self.machine.pump.shared.wait(deadline, |state| {
            // A frame of another number answers a call that was given up.
            std::iter::from_fn(|| state.frames.pop_front()).find(|(number, _)| *number == seq)
        });
        let Some((_, payload)) = reply else {
            if self.machine.pump.shared.lock().ended {
                return Err(VmError::Dead(Box::new(self.machine.death(true, self.bye, false))));
            }
            if let Err(source) = sent.or_else(|error| match error.kind() {
                std::io::ErrorKind::TimedOut => Ok(()),
                _ => Err(error),
            }) {
                return Err(HarnessError::System { action: "send a request to the agent", source }.into());
            }
            let state = self.machine.pump.shared.lock();
            let (tail, findings) = (state.console.tail(TAIL), state.monitor.findings());
            return Err(VmError::Timeout { limit: wall, tail, findings });
        };
        match frame::decode::<Reply>(&payload) {
            Ok(Reply::Failed(reason)) => Err(VmError::Agent(reason)),
            Ok(reply) => {
                self.bye |= reply == Reply::Bye;
                Ok(reply)
            }
            Err(error) => Err(VmError::Protocol(error.to_string())),
        }
    }

    /// Who the agent said it is. In a clone: what it said in the template.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// What this guest is.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The process id of QEMU.
    #[must_use]
    pub fn qemu_pid(&self) -> u32 {
        self.machine.process.id()
    }

    /// What the console has shown since QEMU started, at most its last 4 MiB.
    #[must_use]
    pub fn console(&self) -> Vec<u8> {
        self.console_since(0)
    }

    /// A position in the console's output, for [`Self::console_since`].
    #[must_use]
    pub fn console_mark(&self) -> u64 {
        self.machine.pump.shared.lock().console.end()
    }

    /// What the console has shown since a mark, as far as it is still kept.
    #[must_use]
    pub fn console_since(&self, mark: u64) -> Vec<u8> {
        self.machine.pump.shared.lock().console.since(mark)
    }

    /// Waits until the console has shown something behind `mark`, the guest ends, or `wall` has passed.
    #[must_use]
    pub fn wait_console(&self, mark: u64, wall: Duration) -> Vec<u8> {
        let more = |state: &mut State| (state.console.end() > mark).then(|| state.console.since(mark));
        self.machine.pump.shared.wait(Instant::now() + wall, more).unwrap_or_default()
    }

    /// Types on the guest's console.
    ///
    /// # Errors
    /// The guest takes no input within a second, or has ended.
    pub fn type_on_console(&self, bytes: &[u8]) -> Result<(), VmError> {
        pump::send(&self.machine.console, bytes, Instant::now() + Duration::from_secs(1))
            .map_err(|error| HarnessError::system("type on the guest's console")(error).into())
    }

    /// What stands out on the console so far.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.machine.pump.shared.lock().monitor.findings()
    }

    /// Has QEMU ended?
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.machine.pump.shared.lock().ended
    }

    /// A command line that boots the same machine by hand, its console on the terminal; for a shell.
    #[must_use]
    pub fn command_line(&self) -> String {
        self.machine.qemu.command_line(&self.spec)
    }

    /// Ends the guest in the planned way and tells how it ended. A guest that does not end is killed.
    #[must_use]
    pub fn shutdown(mut self) -> Ending {
        let deadline = Instant::now() + self.limits.shutdown;
        match self.call(&Request::Shutdown, self.limits.shutdown) {
            Ok(_) => {
                let ended = |state: &mut State| state.ended.then_some(());
                let ended = self.machine.pump.shared.wait(deadline, ended).is_some();
                self.machine.end(self.bye, !ended)
            }
            Err(VmError::Dead(death)) => death.ending,
            Err(_) => self.machine.end(false, true),
        }
    }

    /// Kills the guest.
    pub fn kill(self) {}

    pub(crate) fn qmp(&mut self) -> &mut Qmp {
        &mut self.machine.qmp
    }

    /// For a template's guest, which is ended by QMP: waits, then kills what has not ended.
    pub(crate) fn end(mut self, deadline: Instant) -> Ending {
        let ended = self.machine.pump.shared.wait(deadline, |state| state.ended.then_some(())).is_some();
        self.machine.end(false, !ended)
    }
}

/// A template's device state on its way into QEMU.
struct Incoming {
    /// QEMU's end of the pipe.
    state: OwnedFd,
    /// Ours, and what goes through it.
    feed: (OwnedFd, Arc<[u8]>),
}

/// A QEMU process with its ports, from its start on.
#[derive(Debug)]
struct Machine {
    // Fields are dropped in this order: QEMU must be gone before its pump can end.
    process: Process,
    pump: Pump,
    qmp: Qmp,
    agent: Arc<OwnedFd>,
    console: Arc<OwnedFd>,
    qemu: Qemu,
}

impl Machine {
    fn start(
        qemu: &Qemu,
        spec: &Spec,
        role: Role<'_>,
        incoming: Option<Incoming>,
        spawner: &Spawner,
    ) -> Result<Self, HarnessError> {
        let pair = || {
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(HarnessError::system("make a pair of sockets for QEMU"))
        };
        let ((console, their_console), (agent, their_agent), (qmp, their_qmp)) = (pair()?, pair()?, pair()?);
        let (stderr, output) = pump::pipe()?;
        let channels = Channels::Descriptors {
            console: their_console.as_raw_fd(),
            agent: their_agent.as_raw_fd(),
            qmp: their_qmp.as_raw_fd(),
        };
        let mut inherited = vec![their_console, their_agent, their_qmp];
        let feed = incoming.map(|incoming| {
            inherited.push(incoming.state);
            incoming.feed
        });
        let command =
            spawn::Command { program: qemu.path.clone(), args: qemu_args(spec, role, channels), inherited, output };
        let process = spawner.run(command)?;
        let (console, agent, qmp) = (Arc::new(console), Arc::new(agent), Arc::new(qmp));
        let ports =
            Ports { console: Arc::clone(&console), agent: Arc::clone(&agent), qmp: Arc::clone(&qmp), stderr, feed };
        let monitor = Monitor::new(!matches!(role, Role::Clone { .. }));
        let pump = Pump::start(ports, monitor).map_err(HarnessError::system("start the thread that reads a guest"))?;
        let qmp = Qmp::new(qmp, Arc::clone(&pump.shared));
        Ok(Self { process, pump, qmp, agent, console, qemu: qemu.clone() })
    }

    /// Opens the control port: events are sent from then on.
    fn negotiate(&mut self, deadline: Instant) -> Result<(), HarnessError> {
        self.qmp.call("qmp_capabilities", Value::Null, deadline).map(drop)
    }

    /// Reads the device state from QEMU's descriptor `number` and lets the guest go on. All is sent at once:
    /// QEMU carries it out in order, and each wait for an answer would cost a part of the clone's time.
    fn resume(&mut self, number: RawFd, deadline: Instant) -> Result<(), HarnessError> {
        let commands = [
            ("qmp_capabilities", Value::Null),
            ("migrate-set-capabilities", template::migration_capabilities()),
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
            let reason = format!("the template's state was not taken: {}", status.as_deref().unwrap_or("no answer"));
            return Err(HarnessError::Qmp { command: "migrate-incoming".to_owned(), reason });
        }
        self.qmp.call("cont", Value::Null, deadline).map(drop)
    }

    /// The agent's first message. It greets by itself when it is ready; one that does not is asked.
    fn greeting(&mut self, deadline: Instant) -> Result<Option<Reply>, BootError> {
        let mut probe = Instant::now() + PROBE;
        loop {
            let frame = self.pump.shared.wait(deadline.min(probe), |state| state.frames.pop_front());
            if let Some((_, payload)) = frame {
                return frame::decode(&payload).map(Some).map_err(|error| BootError::Protocol(error.to_string()));
            }
            if Instant::now() >= deadline || self.pump.shared.lock().ended {
                return Ok(None);
            }
            let hello = frame::encode(0, &Request::Hello).map_err(|error| BootError::Protocol(error.to_string()))?;
            probe = Instant::now() + PROBE;
            let _ = pump::send(&self.agent, &hello, deadline.min(probe)); // a guest that is not ready may not read it
        }
    }

    /// Waits for QEMU's end, or forces it, and reads the last words.
    fn end(&mut self, bye: bool, kill: bool) -> Ending {
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

    fn death(&mut self, answered: bool, bye: bool, kill: bool) -> Death {
        let ending = self.end(bye, kill);
        let state = self.pump.shared.lock();
        let stderr = state.stderr.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(printable);
        let evidence = answered && ending.findings.iter().any(|finding| finding.kind.is_fatal());
        Death { tail: state.console.tail(TAIL), stderr: stderr.collect(), evidence, ending }
    }
}

impl Qemu {
    /// A command line that boots a machine by hand, its console on the terminal; for a shell.
    #[must_use]
    pub fn command_line(&self, spec: &Spec) -> String {
        let args = qemu_args(spec, Role::Cold, Channels::Terminal);
        let words = std::iter::once(self.path.as_os_str()).chain(args.iter().map(AsRef::as_ref));
        words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

// The console's name is used by the documentation of `Spec` only; keep the two from drifting apart.
const _: () = assert!(machine::CONSOLE.len() == machine::AGENT_PORT.len());
