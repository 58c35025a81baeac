//! The fuzz target for [`conformance::replay::signature`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::signature(data));
