//! Checks the machine that it runs in; the agent starts it. See `conformance::bundle`.

use std::os::fd::{FromRawFd, OwnedFd};

/// The socket to the agent, which started us with it.
const PORT: i32 = 3;

fn main() {
    // SAFETY: the agent gave us this descriptor, and nothing else in this process owns it.
    let port = unsafe { OwnedFd::from_raw_fd(PORT) };
    // The machine is switched off as soon as the socket closes: it is held until all is said.
    let _held = port.try_clone();
    if let Err(reason) = conformance::bundle::runner::run(port, &mut std::io::stdout()) {
        println!("Bail out! {reason}");
    }
    println!("{}", conformance::bundle::END);
}
