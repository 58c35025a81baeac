//! A host inside the guest: if the initramfs contains [`PROGRAM`], PID 1 starts it and serves it over a socket instead
//! of the second serial port. So a machine without any host side checks itself.

use crate::sys;
use rustix::fd::OwnedFd;
use rustix::fs::Access;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// The program that sends the requests; the socket is its descriptor 3.
const PROGRAM: &std::ffi::CStr = c"/bin/kmodlab-self";

/// Returns whether the initramfs contains the program.
pub fn is_there() -> bool {
    rustix::fs::access(PROGRAM, Access::EXEC_OK).is_ok()
}

/// Starts the program and returns our end of the socket.
pub fn start() -> Result<OwnedFd, String> {
    let failed = |errno| format!("cannot start {}: {}", PROGRAM.to_bytes().escape_ascii(), sys::strerror(errno));
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(failed)?;
    match sys::fork().map_err(failed)? {
        sys::Fork::Child => {
            sys::default_signals();
            // dup2(3, 3) would leave close-on-exec set, so move the socket above 3 first.
            let theirs = rustix::io::fcntl_dupfd_cloexec(&theirs, 4);
            if theirs.and_then(|theirs| sys::install(&theirs, 3)).is_ok() {
                let name = PROGRAM.to_owned();
                let path = c"PATH=/sbin:/usr/sbin:/bin:/usr/bin".to_owned();
                sys::execute(PROGRAM, &[name], &[path]);
            }
            sys::exit(127)
        }
        // When it ends, the socket is closed, and PID 1 reaps it like any other child.
        sys::Fork::Parent(_) => Ok(ours),
    }
}
