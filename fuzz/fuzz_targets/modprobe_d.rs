//! The fuzz target for [`laws::modprobe_d`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::modprobe_d(data));
