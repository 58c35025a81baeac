//! The fuzz target for [`laws::modprobe_options`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::modprobe_options(data));
