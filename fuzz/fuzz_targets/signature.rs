//! The fuzz target for [`laws::signature`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::signature(data));
