//! The program: one file under seven names. `#![no_main]`, because the kernel starts it with no descriptor open and perhaps
//! no `/dev`, and the start-up code of a plain Rust `main` aborts there.
#![no_main]

use kmod::commands::{Invocation, run};
use kmod::sys::{StandardStreams, arguments, has_foreign_rights};
use std::ffi::{c_char, c_int};

/// What the C runtime calls.
///
/// # Safety
/// Called by the C runtime only, with the arguments that it has for `main`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // Before anything else: what is opened next must not become standard error.
    let Ok(streams) = StandardStreams::secure() else { return 1 };
    run(Invocation {
        // SAFETY: the C runtime's promise: argc strings, then a null pointer, unchanged during the call.
        arguments: unsafe { arguments(argc, argv) },
        streams,
        modprobe_options: std::env::var_os("MODPROBE_OPTIONS"),
        kmod_log: if has_foreign_rights() { None } else { std::env::var_os("KMOD_LOG") },
        posixly_correct: std::env::var_os("POSIXLY_CORRECT").is_some(),
    })
}
