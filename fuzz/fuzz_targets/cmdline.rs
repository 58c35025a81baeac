//! The fuzz target for [`laws::cmdline`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::cmdline(data));
