//! The guest's program. As `/init` (or `agent`) it is PID 1 and serves the host over the second serial
//! port; under any other name it is the recording helper, which the kernel starts instead of modprobe.
//!
//! There is no Rust `main`: the kernel starts a helper with no open descriptor, and Rust's runtime needs
//! descriptors 0 to 2. It opens `/dev/null` for missing ones and aborts if that is missing too.
//!
//! ```text
//!   init        PID 1: mounts, the serial port, the request loop
//!   insert      modules that belong to the guest itself
//!   inner_host  a host inside the guest, instead of the serial port
//!   jobs        children that carry out actions; reaping; results
//!   caller      gives a job its uid, capabilities and namespaces
//!   actions     one operation each: run, files, triggers, modules
//!   kmsg        /dev/kmsg, with the flush that makes late lines visible
//!   trace       kernel trace events
//!   processes   /proc/PID
//!   settle      waits for the end of the kernel's boot
//!   helper      the recording helper
//!   sys         every system call that needs `unsafe`
//! ```
#![cfg_attr(not(test), no_main)]

mod actions;
mod caller;
mod helper;
mod init;
mod inner_host;
mod insert;
mod jobs;
mod kmsg;
mod processes;
mod settle;
mod status;
mod sys;
mod time;
mod trace;

use std::ffi::{c_char, c_int};

/// The entry point that the C library calls with the arguments of execve(2).
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int {
    enter(argv, envp)
}

#[cfg_attr(test, allow(dead_code))]
fn enter(argv: *const *const c_char, envp: *const *const c_char) -> c_int {
    // SAFETY: `main`'s arguments are NULL-terminated arrays of C strings.
    let (argv, envp) = unsafe { (sys::copy_strings(argv), sys::copy_strings(envp)) };
    let name = argv.first().map_or(&b""[..], |path| path.rsplit(|&b| b == b'/').next().unwrap_or(path));
    match name {
        b"init" | b"agent" if rustix::process::getpid().is_init() => init::main(),
        b"init" | b"agent" => {
            eprintln!("agent: this program must run as PID 1 of the guest (rdinit=/init)");
            2
        }
        _ => helper::main(argv, envp),
    }
}
