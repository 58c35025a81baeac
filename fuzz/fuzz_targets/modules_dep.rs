//! The fuzz target for [`laws::modules_dep`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::modules_dep(data));
