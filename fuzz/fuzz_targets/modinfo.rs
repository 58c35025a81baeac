//! The fuzz target for [`laws::modinfo`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::modinfo(data));
