//! The fuzz target for [`laws::module_name`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::module_name(data));
