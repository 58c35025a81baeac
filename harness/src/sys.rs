//! The crate's only unsafe code: a callback that runs in a child between fork and exec.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Code that may run between fork and exec: it makes system calls only, and neither allocates nor takes a lock.
pub(crate) trait Child: Send + Sync + 'static {
    /// Prepares the child. On an error the child ends, and `spawn` returns the error.
    fn prepare(&self) -> io::Result<()>;
}

/// Runs `child.prepare()` in the child before `command` is executed.
pub(crate) fn before_exec(command: &mut Command, child: impl Child) {
    // SAFETY: by the trait's contract `prepare` makes system calls only, which is allowed in the child of a
    // multi-threaded program. Its only implementation, in `spawn`, adheres to that (rustix, no allocation).
    unsafe {
        command.pre_exec(move || child.prepare());
    }
}
