//! The fuzz target for [`laws::symbols`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::symbols(data));
