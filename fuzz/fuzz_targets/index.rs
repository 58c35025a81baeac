//! The fuzz target for [`laws::index`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::index(data));
