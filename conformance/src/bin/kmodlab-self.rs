//! Checks the machine that it runs on. The agent starts it; see `conformance::bundle`.

use std::os::fd::{FromRawFd, OwnedFd};

/// The socket to the agent, which is inherited from it.
const PORT: i32 = 3;

fn main() {
    // SAFETY: the agent passes this descriptor to the program, and nothing else in this process owns it.
    let port = unsafe { OwnedFd::from_raw_fd(PORT) };
    // The machine powers off when the socket closes, so this copy keeps it open until everything is printed.
    let _open = port.try_clone();
    if let Err(reason) = conformance::bundle::runner::run(port, &mut std::io::stdout()) {
        println!("Bail out! {reason}");
    }
    println!("{}", conformance::bundle::END);
}
