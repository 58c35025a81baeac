//! A host inside the guest: where the initramfs holds [`PROGRAM`], PID 1 starts it and serves it over a socket, and not the
//! second serial port. So a machine without any host side checks itself.

use crate::sys;
use rustix::fd::OwnedFd;
use rustix::fs::Access;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// The program that asks; it has the socket as its descriptor 3.
const PROGRAM: &std::ffi::CStr = c"/bin/kmodlab-self";

/// Is there one?
pub fn is_there() -> bool {
    rustix::fs::access(PROGRAM, Access::EXEC_OK).is_ok()
}

/// Starts it; our end of the socket.
pub fn start() -> Result<OwnedFd, String> {
    let failed = |errno: rustix::io::Errno| format!("the program that checks this machine cannot be started: {errno}");
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(failed)?;
    match sys::fork().map_err(failed)? {
        sys::Fork::Child => {
            sys::default_signals();
            // Where it has that number already, dup2 would leave it to be closed by exec.
            let theirs = rustix::io::fcntl_dupfd_cloexec(&theirs, 4);
            if theirs.and_then(|theirs| sys::install(&theirs, 3)).is_ok() {
                let name = PROGRAM.to_owned();
                let path = c"PATH=/sbin:/usr/sbin:/bin:/usr/bin".to_owned();
                sys::execute(PROGRAM, &[name], &[path]);
            }
            sys::exit(127)
        }
        // Its end is seen by the socket's, and PID 1 reaps it as any other.
        sys::Fork::Parent(_) => Ok(ours),
    }
}
