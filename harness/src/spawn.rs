//! The thread that starts every QEMU and lives as long as the program.
//!
//! The kernel can kill a child when its parent dies (`PR_SET_PDEATHSIG`); this ends QEMU even if this program is
//! killed with SIGKILL. But the kernel sends the signal when the *thread* that started the child ends, and test
//! runners start guests from worker threads. Hence one thread, owned by [`Spawner`], starts them all.

use crate::error::HarnessError;
use crate::sys;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::{SendError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long fork and exec may take, including requests queued before.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts processes that do not outlive this program. Clones of this value share one thread, which ends with the
/// last clone; every [`crate::Vm`] holds a clone.
#[derive(Clone, Debug)]
pub struct Spawner {
    jobs: Sender<Job>,
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    closed: bool,
    handles: Vec<Weak<duct::Handle>>,
}

#[derive(Debug)]
struct Job {
    command: Command,
    reply: SyncSender<io::Result<Arc<duct::Handle>>>,
}

/// A program to be started.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Descriptors that the program inherits under the same numbers. They are closed here once it runs.
    pub(crate) inherited: Vec<OwnedFd>,
    /// Standard input.
    pub(crate) input: OwnedFd,
    /// Standard output.
    pub(crate) output: OwnedFd,
    /// Standard error.
    pub(crate) errors: OwnedFd,
}

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start() -> Result<Self, HarnessError> {
        let (jobs, queue) = channel::<Job>();
        let running = Arc::new(Mutex::new(Running::default()));
        let shared = Arc::clone(&running);
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for Job { command, reply } in queue {
                    // The caller has given up and will not end the process.
                    if let Err(SendError(Ok(handle))) = reply.send(start(command, &shared)) {
                        let _ = handle.kill();
                    }
                }
            })
            .map_err(HarnessError::system("start a thread"))?;
        Ok(Self { jobs, running })
    }

    /// Kills every started process and refuses to start more. For the end of the program; may be called from any
    /// thread, for example one that waits for signals.
    pub fn kill_all(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.closed = true;
        for handle in running.handles.drain(..).filter_map(|weak| weak.upgrade()) {
            let _ = handle.kill(); // fails only if the process has ended
        }
    }

    /// Returns whether [`Self::kill_all`] has been called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    pub(crate) fn run(&self, command: Command) -> Result<Process, HarnessError> {
        let program = command.program.clone();
        let (reply, answer) = sync_channel(1);
        let gone = || io::Error::other("the thread that starts processes does not answer");
        let handle = self
            .jobs
            .send(Job { command, reply })
            .map_err(|_| gone())
            .and_then(|()| answer.recv_timeout(LIMIT).map_err(|_| gone())?)
            .map_err(|source| match source.kind() {
                io::ErrorKind::Interrupted => HarnessError::Interrupted,
                io::ErrorKind::NotFound => HarnessError::QemuMissing { path: program.clone() },
                _ => HarnessError::Io { action: "start", path: program.clone(), source },
            })?;
        Ok(Process { handle, _spawner: self.clone() })
    }
}

fn start(command: Command, running: &Mutex<Running>) -> io::Result<Arc<duct::Handle>> {
    let closed = || running.lock().unwrap_or_else(PoisonError::into_inner).closed;
    if closed() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let inherited = Arc::new(command.inherited);
    let parent = rustix::process::getpid();
    let handle = duct::cmd(command.program.into_os_string(), command.args)
        .stdin_file(command.input)
        .stdout_file(command.output)
        .stderr_file(command.errors)
        .unchecked()
        .before_spawn(move |command| {
            // The terminal sends Ctrl-C to its foreground process group: this program, which then ends QEMU.
            command.process_group(0);
            sys::before_exec(command, Inheritance { parent, inherited: Arc::clone(&inherited) });
            Ok(())
        })
        .start()?;
    let handle = Arc::new(handle);
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    if running.closed {
        let _ = handle.kill();
        return Err(io::ErrorKind::Interrupted.into());
    }
    running.handles.retain(|weak| weak.strong_count() > 0);
    running.handles.push(Arc::downgrade(&handle));
    Ok(handle)
}

/// What a child inherits, and the request to kill it when this program dies.
struct Inheritance {
    parent: Pid,
    inherited: Arc<Vec<OwnedFd>>,
}

impl sys::Child for Inheritance {
    fn prepare(&self) -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the signal was requested.
        if rustix::process::getppid() != Some(self.parent) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        // A QEMU that aborts would leave a core dump in the current directory.
        rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        for descriptor in self.inherited.iter() {
            rustix::io::fcntl_setfd(descriptor.as_fd(), rustix::io::FdFlags::empty())?;
        }
        Ok(())
    }
}

/// A running process. Dropping it kills the process and waits until it has ended.
#[derive(Debug)]
pub(crate) struct Process {
    handle: Arc<duct::Handle>,
    _spawner: Spawner,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.handle.pids().first().copied().unwrap_or_default()
    }

    pub(crate) fn kill(&self) {
        let _ = self.handle.kill(); // fails only if the process has ended
    }

    /// Waits at most `limit` for the process to end.
    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(Some(output)) = self.handle.try_wait() {
                return Some(output.status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // A killed process ends at once unless it is stuck in the host's kernel; then waiting would not help.
        self.wait(Duration::from_secs(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    fn pipe() -> (File, OwnedFd) {
        let (reader, writer) = crate::pump::pipe().unwrap();
        (reader.into(), writer)
    }

    fn null() -> OwnedFd {
        File::options().read(true).write(true).open("/dev/null").unwrap().into()
    }

    fn shell(script: &str, inherited: Vec<OwnedFd>, output: OwnedFd) -> Command {
        let args = vec!["-c".into(), script.into()];
        let (input, errors) = (null(), null());
        Command { program: "/bin/sh".into(), args, inherited, input, output, errors }
    }

    #[test]
    fn a_child_inherits_the_given_descriptors() {
        use std::os::fd::AsRawFd;
        let spawner = Spawner::start().unwrap();
        let (mut reader, writer) = pipe();
        let (mut passed, to_child) = pipe();
        let script = format!("echo output; echo passed >/proc/self/fd/{}", to_child.as_raw_fd());
        let process = spawner.run(shell(&script, vec![to_child], writer)).unwrap();
        let (mut output, mut text) = (String::new(), String::new());
        reader.read_to_string(&mut output).unwrap();
        passed.read_to_string(&mut text).unwrap();
        assert_eq!((output.as_str(), text.as_str()), ("output\n", "passed\n"));
        assert!(process.wait(Duration::from_secs(5)).unwrap().success());
    }

    #[test]
    fn dropping_a_process_kills_it() {
        let spawner = Spawner::start().unwrap();
        let (mut reader, writer) = pipe();
        let process = spawner.run(shell("exec sleep 100", vec![], writer)).unwrap();
        drop(process);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "no process holds the pipe");
    }

    #[test]
    fn kill_all_kills_everything_and_nothing_starts_afterwards() {
        let spawner = Spawner::start().unwrap();
        let (mut reader, writer) = pipe();
        let process = spawner.run(shell("exec sleep 100", vec![], writer.try_clone().unwrap())).unwrap();
        spawner.clone().kill_all();
        assert!(process.wait(Duration::from_secs(5)).is_some());
        let refused = spawner.run(shell("echo never", vec![], writer));
        assert!(matches!(refused, Err(HarnessError::Interrupted)), "{refused:?}");
        let mut output = Vec::new();
        reader.read_to_end(&mut output).unwrap();
        assert!(output.is_empty());
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let spawner = Spawner::start().unwrap();
        let (_reader, writer) = pipe();
        let command = Command { program: "/nowhere/qemu".into(), ..shell("", vec![], writer) };
        let error = spawner.run(command).unwrap_err();
        assert_eq!(error.to_string(), "QEMU not found: /nowhere/qemu");
    }
}
