//! A running guest: calls to its agent, its console, its end.

use crate::Qemu;
use crate::ending::{Death, Ending};
use crate::error::{BootError, HarnessError, VmError, error_chain};
use crate::instance::{Incoming, Instance, TAIL};
use crate::monitor::Finding;
use crate::pump::{self, State};
use crate::qmp::Qmp;
use crate::spawn::Spawner;
use crate::spec::{Role, Spec};
use agent::frame;
use agent::proto::{self, Reply, Request};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Limits in wall time, far above the usual durations, so that nothing hangs. Limits that matter to a test are in
/// guest time, and the agent enforces them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallLimits {
    /// From the start of QEMU to the agent's greeting.
    pub boot: Duration,
    /// From the start of a clone to its agent's first reply.
    pub restore: Duration,
    /// From the shutdown request to QEMU's end.
    pub shutdown: Duration,
}

impl Default for WallLimits {
    fn default() -> Self {
        Self { boot: Duration::from_secs(120), restore: Duration::from_secs(20), shutdown: Duration::from_secs(20) }
    }
}

/// The agent's greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `uname -r`.
    pub release: Vec<u8>,
    /// `/proc/cmdline`.
    pub cmdline: Vec<u8>,
    /// The kernel's random id of the boot.
    pub boot_id: Vec<u8>,
}

impl Hello {
    fn from_reply(reply: Reply) -> Result<Self, BootError> {
        match reply {
            Reply::Hello { version, release, cmdline, boot_id } if version == proto::VERSION => {
                Ok(Self { release, cmdline, boot_id })
            }
            Reply::Hello { version, .. } => Err(BootError::Version { found: version, expected: proto::VERSION }),
            Reply::Failed(reason) => Err(BootError::Protocol(reason)),
            _ => Err(BootError::Protocol("unexpected kind of reply".to_owned())),
        }
    }
}

/// A guest whose agent has answered. Dropping it kills QEMU and waits until it has ended.
#[derive(Debug)]
pub struct Vm {
    instance: Instance,
    hello: Hello,
    spec: Spec,
    limits: WallLimits,
    seq: u32,
    bye: bool,
}

/// Boots a guest that is not kept as a template.
///
/// # Errors
/// [`BootError`] if QEMU cannot be started, or the agent does not answer in time.
pub fn boot_cold(qemu: &Qemu, spec: &Spec, spawner: &Spawner, limits: &WallLimits) -> Result<Vm, BootError> {
    Vm::boot(qemu, spec, None, spawner, limits)
}

impl Vm {
    /// Boots a guest, for a template with its memory in `memory`.
    pub(crate) fn boot(
        qemu: &Qemu,
        spec: &Spec,
        memory: Option<OwnedFd>,
        spawner: &Spawner,
        limits: &WallLimits,
    ) -> Result<Self, BootError> {
        let deadline = Instant::now() + limits.boot;
        let role = memory.as_ref().map_or(Role::Cold, |memory| Role::Template { memory: memory.as_raw_fd() });
        let mut instance = Instance::start(qemu, spec, role, memory, None, spawner)?;
        let greeting = instance.negotiate(deadline).map_err(BootError::from).and_then(|()| instance.greeting(deadline));
        let hello = match greeting {
            Ok(Some(reply)) => Hello::from_reply(reply)?,
            // QEMU that refuses its arguments closes the control port; the reason is on its standard error.
            Err(BootError::Harness(HarnessError::Qmp { .. } | HarnessError::QmpSend { .. })) | Ok(None)
                if instance.has_ended() =>
            {
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

    /// Starts a clone of a template: maps its memory, reads its device state, resumes.
    pub(crate) fn restore(
        qemu: &Qemu,
        spec: &Spec,
        memory: &Path,
        device_state: &Arc<[u8]>,
        hello: &Hello,
        spawner: &Spawner,
        limits: &WallLimits,
    ) -> Result<Self, BootError> {
        let deadline = Instant::now() + limits.restore;
        let (state, pipe) = pump::pipe()?;
        let number = state.as_raw_fd();
        let incoming = Incoming { state, feed: (pipe, Arc::clone(device_state)) };
        let mut instance = Instance::start(qemu, spec, Role::Clone { memory }, None, Some(incoming), spawner)?;
        if let Err(error) = instance.resume(number, deadline) {
            let ended = instance.has_ended();
            let mut death = instance.death(false, false, !ended);
            death.stderr.push(error_chain(&error));
            return Err(BootError::Dead(Box::new(death)));
        }
        let mut vm = Self { instance, hello: hello.clone(), spec: spec.clone(), limits: *limits, seq: 0, bye: false };
        match vm.refresh(deadline.saturating_duration_since(Instant::now())) {
            Ok(()) => Ok(vm),
            Err(error) => Err(vm.not_booted(error, limits.restore, "the restore of a clone")),
        }
    }

    /// Waits until the kernel has finished the part of its boot that continues after the agent's greeting. Its log lines
    /// would otherwise appear later, during a check.
    ///
    /// # Errors
    /// [`BootError`] if the guest ends or does not answer within the limit of a boot.
    pub fn settled(mut self) -> Result<Self, BootError> {
        let limit = self.limits.boot;
        match self.call(&Request::Settle, limit) {
            Ok(Reply::Done) => Ok(self),
            Ok(_) => Err(BootError::Protocol("unexpected kind of reply".to_owned())),
            Err(error) => Err(self.not_booted(error, limit, "the agent's greeting")),
        }
    }

    /// Returns the error of a guest that failed before its first request of a caller.
    fn not_booted(mut self, error: VmError, limit: Duration, stage: &'static str) -> BootError {
        match error {
            VmError::Dead(death) => BootError::Dead(Box::new(Death { evidence: false, ..*death })),
            VmError::Timeout { .. } => {
                self.instance.process.kill();
                let death = Box::new(self.instance.death(false, false, true));
                BootError::Timeout { limit, stage, death }
            }
            VmError::Harness(error) => error.into(),
            VmError::Protocol(reason) | VmError::Agent(reason) => BootError::Protocol(reason),
        }
    }

    /// Sets the clock and seeds the random pool, which in a clone are those of the template.
    fn refresh(&mut self, limit: Duration) -> Result<(), VmError> {
        let mut seed = vec![0; 32];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut seed))
            .map_err(HarnessError::system("read /dev/urandom"))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let realtime_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.call(&Request::Refresh { realtime_ns, seed }, limit).map(drop)
    }

    /// Sends a request to the agent and waits for the reply, at most `wall` of host time.
    ///
    /// # Errors
    /// [`VmError::Dead`] if the guest has ended or ends meanwhile, [`VmError::Timeout`], [`VmError::Agent`] for
    /// [`Reply::Failed`], [`VmError::Protocol`] for a reply that cannot be read.
    pub fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, VmError> {
        self.seq += 1;
        let seq = self.seq;
        let deadline = Instant::now() + wall;
        let message = frame::encode(seq, request).map_err(|error| VmError::Protocol(error_chain(&error)))?;
        // If the guest has ended, the wait below reports it, with more detail than the failed send.
        let sent = pump::send(&self.instance.agent, &message, deadline);
        let reply = self.instance.pump.shared.wait(deadline, |state| {
            // A frame with another number answers an earlier call that timed out.
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
            Err(error) => Err(VmError::Protocol(error_chain(&error))),
        }
    }

    /// Returns the agent's greeting. A clone returns that of the template.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Returns the machine.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns the process id of QEMU.
    #[must_use]
    pub fn qemu_pid(&self) -> u32 {
        self.instance.process.id()
    }

    /// Returns the console output since QEMU started, at most the last 4 MiB.
    #[must_use]
    pub fn console(&self) -> Vec<u8> {
        self.console_since(0)
    }

    /// Returns the current position in the console output, for [`Self::console_since`].
    #[must_use]
    pub fn console_mark(&self) -> u64 {
        self.instance.pump.shared.lock().console.end()
    }

    /// Returns the console output since `mark` that is still kept.
    #[must_use]
    pub fn console_since(&self, mark: u64) -> Vec<u8> {
        self.instance.pump.shared.lock().console.since(mark)
    }

    /// Waits for console output after `mark`, until the guest ends or `wall` has passed, and returns it.
    #[must_use]
    pub fn wait_console(&self, mark: u64, wall: Duration) -> Vec<u8> {
        let more = |state: &mut State| (state.console.end() > mark).then(|| state.console.since(mark));
        self.instance.pump.shared.wait(Instant::now() + wall, more).unwrap_or_default()
    }

    /// Sends input to the guest's console.
    ///
    /// # Errors
    /// The guest accepts no input within a second, or has ended.
    pub fn type_on_console(&self, bytes: &[u8]) -> Result<(), VmError> {
        pump::write(&self.instance.console, bytes, Instant::now() + Duration::from_secs(1))
            .map_err(|error| HarnessError::system("send input to the guest's console")(error).into())
    }

    /// Returns the findings on the console so far.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.instance.pump.shared.lock().monitor.findings()
    }

    /// Returns whether QEMU has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.instance.has_ended()
    }

    /// Returns a shell command that boots the same machine by hand, with its console on the terminal.
    #[must_use]
    pub fn command_line(&self) -> String {
        self.instance.qemu.command_line(&self.spec)
    }

    /// Shuts the guest down and returns how it ended. A guest that does not end is killed.
    #[must_use]
    pub fn shutdown(mut self) -> Ending {
        self.end_as_planned()
    }

    /// Like [`Self::shutdown`], but the console can still be read afterwards.
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

    /// Waits for the end of a QEMU that received `quit`, and kills it if it does not end.
    pub(crate) fn end(mut self, deadline: Instant) -> Ending {
        let ended = self.instance.pump.shared.wait(deadline, |state| state.ended.then_some(())).is_some();
        self.instance.end(false, !ended)
    }
}
