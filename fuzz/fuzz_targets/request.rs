//! The fuzz target for [`laws::request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::request(data));
