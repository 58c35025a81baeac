//! The fuzz target for [`laws::resolve`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::resolve(data));
