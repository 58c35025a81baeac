//! Waits for the parts of the kernel's boot that continue after the start of init, within limits.

use crate::actions::files;
use crate::sys;
use crate::time::Moment;
use agent::proto::GuestMillis;
use std::thread::sleep;
use std::time::Duration;

/// Waits until the kernel's random generator is ready, so that no clone of this guest ever has to. The kernel gathers
/// entropy only while somebody waits for it; a child waits, so that the wait can be bounded.
pub fn wait_for_random() {
    if sys::random_ready(false) {
        return;
    }
    let Ok(child) = sys::fork() else { return };
    match child {
        sys::Fork::Child => {
            sys::default_signals();
            sys::random_ready(true);
            sys::exit(0)
        }
        sys::Fork::Parent(pid) => {
            let deadline = Moment::after(GuestMillis(10_000));
            while !sys::random_ready(false) {
                if deadline.passed() {
                    eprintln!("agent: the random generator is not ready; clones may have to wait for it");
                    break;
                }
                sleep(Duration::from_millis(5));
            }
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        }
    }
}

/// Waits until the kernel has refined its clock source. It does so about a second after its start, and its log lines
/// would otherwise appear during a check.
pub fn wait_for_clock() {
    const CURRENT: &[u8] = b"/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let deadline = Moment::after(GuestMillis(5000));
    while files::read(CURRENT, 64).is_ok_and(|name| name.starts_with(b"tsc-early")) && !deadline.passed() {
        sleep(Duration::from_millis(10));
    }
}
