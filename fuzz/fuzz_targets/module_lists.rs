//! The fuzz target for [`laws::module_lists`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::module_lists(data));
