//! Child processes that fetch and build. Each has its own process group, so that Ctrl-C on the terminal reaches only this
//! program. When [`Options::stop`](crate::Options::stop) is set, the whole group is killed, including make's children.

use rustix::process::{Pid, Signal};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval of the checks for the end of the child and for `stop`.
const TICK: Duration = Duration::from_millis(5);

/// Runs a command and captures its output. Fails with `Interrupted` if `stop` is set before it ends.
pub(crate) fn output(command: &mut Command, stop: &AtomicBool) -> io::Result<Output> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        // A child that fills one pipe blocks until it is read, so read both at once.
        let (out, err) = (scope.spawn(|| read(out)), scope.spawn(|| read(err)));
        let status = wait(&mut child, stop);
        let text = |reader: std::thread::ScopedJoinHandle<'_, Vec<u8>>| reader.join().unwrap_or_default();
        let (stdout, stderr) = (text(out), text(err));
        Ok(Output { status: status?, stdout, stderr })
    })
}

/// Runs a command with the output set up by the caller.
///
/// # Errors
/// The command cannot be started; `Interrupted` if `stop` is set before it ends.
pub fn status(command: &mut Command, stop: &AtomicBool) -> io::Result<ExitStatus> {
    wait(&mut command.process_group(0).spawn()?, stop)
}

fn read(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // Keep the output before an error.
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

fn wait(child: &mut Child, stop: &AtomicBool) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.load(Ordering::SeqCst) {
            // The child's process id is that of the group, and cannot be reused before we wait for the child.
            let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
            child.wait()?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        std::thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_larger_than_a_pipe_is_captured() {
        let output =
            output(&mut shell("head -c 300000 /dev/zero; echo end >&2; exit 3"), &AtomicBool::new(false)).unwrap();
        assert_eq!((output.stdout.len(), &output.stderr[..], output.status.code()), (300_000, &b"end\n"[..], Some(3)));
    }

    #[test]
    fn stop_kills_a_child_and_its_children() {
        let stop = AtomicBool::new(false);
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut reader = std::fs::File::from(reader);
        std::thread::scope(|scope| {
            let child = scope.spawn(|| {
                let mut command = shell("sleep 100 & echo started; wait");
                status(command.stdout(writer), &stop)
            });
            let mut first = [0; 8];
            reader.read_exact(&mut first).unwrap();
            stop.store(true, Ordering::SeqCst);
            assert_eq!(child.join().unwrap().unwrap_err().kind(), io::ErrorKind::Interrupted);
        });
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "no process holds the pipe");
    }
}
