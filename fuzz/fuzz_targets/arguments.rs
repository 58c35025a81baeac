//! The fuzz target for [`laws::arguments`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::arguments(data));
