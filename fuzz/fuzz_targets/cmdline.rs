//! The fuzz target for [`conformance::replay::cmdline`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::cmdline(data));
