//! The crate's one unsafe call: code that runs in a child between fork and exec.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What may run between fork and exec: system calls, and nothing that allocates or takes a lock.
pub(crate) trait Child: Send + Sync + 'static {
    /// Prepares the child. An error ends it and is what `spawn` returns.
    fn prepare(&self) -> io::Result<()>;
}

/// Runs `child.prepare()` in the child before `command` is executed.
pub(crate) fn before_exec(command: &mut Command, child: impl Child) {
    // SAFETY: the trait's contract is that `prepare` makes system calls only, which is what may be done in
    // the child of a program with threads; its one implementation, in `spawn`, keeps it (rustix, no allocation).
    unsafe {
        command.pre_exec(move || child.prepare());
    }
}
