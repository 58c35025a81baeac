//! The fuzz target for [`conformance::replay::arguments`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::arguments(data));
