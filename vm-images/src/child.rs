//! Programs that fetch and build for us. Each runs in a process group of its own, so that a terminal's Ctrl-C reaches us
//! alone; when [`Options::stop`](crate::Options::stop) is set, all of the group is killed, and make's children with make.

use rustix::process::{Pid, Signal};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is looked whether the child has ended or the run is to.
const TICK: Duration = Duration::from_millis(5);

/// Runs a command to its end and keeps what it prints. An error of kind `Interrupted` if `stop` was set before.
pub(crate) fn output(command: &mut Command, stop: &AtomicBool) -> io::Result<Output> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        // Whoever prints more than a pipe holds would wait for a reader.
        let (out, err) = (scope.spawn(|| read(out)), scope.spawn(|| read(err)));
        let status = wait(&mut child, stop);
        let text = |reader: std::thread::ScopedJoinHandle<'_, Vec<u8>>| reader.join().unwrap_or_default();
        let (stdout, stderr) = (text(out), text(err));
        Ok(Output { status: status?, stdout, stderr })
    })
}

/// Runs a command to its end; its output goes where the caller said.
///
/// # Errors
/// It cannot be started; of kind `Interrupted` if `stop` was set before it ended.
pub fn status(command: &mut Command, stop: &AtomicBool) -> io::Result<ExitStatus> {
    wait(&mut command.process_group(0).spawn()?, stop)
}

fn read(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What could be read before an error is the child's output all the same.
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
            // Its process id is the group's, and is not given to another before we have waited for it.
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
    fn what_a_child_prints_is_kept_however_much_it_is() {
        let output =
            output(&mut shell("head -c 300000 /dev/zero; echo end >&2; exit 3"), &AtomicBool::new(false)).unwrap();
        assert_eq!((output.stdout.len(), &output.stderr[..], output.status.code()), (300_000, &b"end\n"[..], Some(3)));
    }

    #[test]
    fn a_child_and_its_children_end_with_the_run() {
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
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the pipe is closed: no process holds it");
    }
}
