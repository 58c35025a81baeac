//! The fuzz target for [`conformance::replay::modprobe_options`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::modprobe_options(data));
