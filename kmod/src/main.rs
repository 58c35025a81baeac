//! The multi-call program: one file under eight names.
//!
//! It is `#![no_main]` because the kernel starts it without open descriptors and possibly without `/dev`, in which case the
//! startup code of a plain Rust `main` aborts.
#![no_main]

use kmod::commands::{Invocation, run};
use kmod::sys::{
    RecordingAllocator, StandardStreams, arguments, exit_when_out_of_memory, has_elevated_privileges,
    survive_failed_writes,
};
use std::ffi::{c_char, c_int};

#[global_allocator]
static ALLOCATOR: RecordingAllocator = RecordingAllocator;

/// The entry point.
///
/// # Safety
/// Only the C runtime may call it, with the arguments of `main`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // Must be first: a file opened earlier could become standard error.
    let Ok(streams) = StandardStreams::secure() else { return 1 };
    survive_failed_writes();
    exit_when_out_of_memory();
    run(Invocation {
        // SAFETY: the C runtime passes argc strings, then a null pointer, and does not modify them during the call.
        arguments: unsafe { arguments(argc, argv) },
        streams,
        modprobe_options: std::env::var_os("MODPROBE_OPTIONS"),
        kmod_log: if has_elevated_privileges() { None } else { std::env::var_os("KMOD_LOG") },
        posixly_correct: std::env::var_os("POSIXLY_CORRECT").is_some(),
    })
}
