//! A running guest: calls to its agent, what its console shows, and how it ends.

use crate::Qemu;
use crate::ending::{Death, Ending};
use crate::error::{BootError, HarnessError, VmError};
use crate::instance::{Incoming, Instance, TAIL};
use crate::monitor::Finding;
use crate::pump::{self, State};
use crate::qmp::Qmp;
use crate::spawn::Spawner;
use crate::spec::{Role, Spec};
use agent::frame;
use agent::proto::{self, Reply, Request};
use serde::{Deserialize, Serialize};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

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

/// A guest whose agent has answered. Dropping it kills QEMU and waits for its end.
#[derive(Debug)]
pub struct Vm {
    instance: Instance,
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
        let mut instance = Instance::start(qemu, spec, role, None, spawner)?;
        let greeting = instance.negotiate(deadline).map_err(BootError::from).and_then(|()| instance.greeting(deadline));
        let hello = match greeting {
            Ok(Some(reply)) => Hello::from_reply(reply)?,
            // QEMU's refusal of its arguments closes the control port: its own words say more.
            Err(BootError::Harness(HarnessError::Qmp { .. })) | Ok(None) if instance.has_ended() => {
                return Err(BootError::Dead(Box::new(instance.death(false, false, false))));
            }
            Ok(None) => {
                instance.process.kill();
                let death = Box::new(instance.death(false, false, true));
                return Err(BootError::Timeout { limit: limits.boot, stage: "boot", death });
            }
            Err(error) => return Err(error),
        };
        Ok(Self { instance, hello, spec: spec.clone(), limits: *limits, seq: 0, bye: false })
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
        let mut instance = Instance::start(qemu, spec, Role::Clone { memory }, Some(incoming), spawner)?;
        if let Err(error) = instance.resume(number, deadline) {
            let ended = instance.has_ended();
            let mut death = instance.death(false, false, !ended);
            death.stderr.push(error.to_string());
            return Err(BootError::Dead(Box::new(death)));
        }
        let mut vm = Self { instance, hello: hello.clone(), spec: spec.clone(), limits: *limits, seq: 0, bye: false };
        match vm.refresh(deadline.saturating_duration_since(Instant::now())) {
            Ok(()) => Ok(vm),
            Err(VmError::Dead(death)) => Err(BootError::Dead(Box::new(Death { evidence: false, ..*death }))),
            Err(VmError::Timeout { .. }) => {
                vm.instance.process.kill();
                let death = Box::new(vm.instance.death(false, false, true));
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
        let sent = pump::send(&self.instance.agent, &message, deadline);
        let reply = self.instance.pump.shared.wait(deadline, |state| {
            // A frame of another number answers a call that was given up.
            std::iter::from_fn(|| state.frames.pop_front()).find(|(number, _)| *number == seq)
        });
        let Some((_, payload)) = reply else {
            if self.instance.pump.shared.lock().ended {
                return Err(VmError::Dead(Box::new(self.instance.death(true, self.bye, false))));
            }
            if let Err(source) = sent.or_else(|error| match error.kind() {
                std::io::ErrorKind::TimedOut => Ok(()),
                _ => Err(error),
            }) {
                return Err(HarnessError::System { action: "send a request to the agent", source }.into());
            }
            let state = self.instance.pump.shared.lock();
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
        self.instance.process.id()
    }

    /// What the console has shown since QEMU started, at most its last 4 MiB.
    #[must_use]
    pub fn console(&self) -> Vec<u8> {
        self.console_since(0)
    }

    /// A position in the console's output, for [`Self::console_since`].
    #[must_use]
    pub fn console_mark(&self) -> u64 {
        self.instance.pump.shared.lock().console.end()
    }

    /// What the console has shown since a mark, as far as it is still kept.
    #[must_use]
    pub fn console_since(&self, mark: u64) -> Vec<u8> {
        self.instance.pump.shared.lock().console.since(mark)
    }

    /// Waits until the console has shown something behind `mark`, the guest ends, or `wall` has passed.
    #[must_use]
    pub fn wait_console(&self, mark: u64, wall: Duration) -> Vec<u8> {
        let more = |state: &mut State| (state.console.end() > mark).then(|| state.console.since(mark));
        self.instance.pump.shared.wait(Instant::now() + wall, more).unwrap_or_default()
    }

    /// Types on the guest's console.
    ///
    /// # Errors
    /// The guest takes no input within a second, or has ended.
    pub fn type_on_console(&self, bytes: &[u8]) -> Result<(), VmError> {
        pump::send(&self.instance.console, bytes, Instant::now() + Duration::from_secs(1))
            .map_err(|error| HarnessError::system("type on the guest's console")(error).into())
    }

    /// What stands out on the console so far.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.instance.pump.shared.lock().monitor.findings()
    }

    /// Has QEMU ended?
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.instance.has_ended()
    }

    /// A command line that boots the same instance by hand, its console on the terminal; for a shell.
    #[must_use]
    pub fn command_line(&self) -> String {
        self.instance.qemu.command_line(&self.spec)
    }

    /// Ends the guest in the planned way and tells how it ended. A guest that does not end is killed.
    #[must_use]
    pub fn shutdown(mut self) -> Ending {
        self.end_as_planned()
    }

    /// [`Self::shutdown`], after which the console can still be read.
    #[must_use]
    pub fn end_as_planned(&mut self) -> Ending {
        let deadline = Instant::now() + self.limits.shutdown;
        match self.call(&Request::Shutdown, self.limits.shutdown) {
            Ok(_) => {
                let ended = |state: &mut State| state.ended.then_some(());
                let ended = self.instance.pump.shared.wait(deadline, ended).is_some();
                self.instance.end(self.bye, !ended)
            }
            Err(VmError::Dead(death)) => death.ending,
            Err(_) => self.instance.end(false, true),
        }
    }

    /// Kills the guest.
    pub fn kill(self) {}

    pub(crate) fn qmp(&mut self) -> &mut Qmp {
        &mut self.instance.qmp
    }

    /// For a template's guest, which is ended by QMP: waits, then kills what has not ended.
    pub(crate) fn end(mut self, deadline: Instant) -> Ending {
        let ended = self.instance.pump.shared.wait(deadline, |state| state.ended.then_some(())).is_some();
        self.instance.end(false, !ended)
    }
}
