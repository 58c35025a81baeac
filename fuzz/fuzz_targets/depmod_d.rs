//! The fuzz target for [`laws::depmod_d`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::depmod_d(data));
