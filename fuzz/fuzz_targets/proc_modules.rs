//! The fuzz target for [`laws::proc_modules`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::proc_modules(data));
