//! The fuzz target for [`conformance::replay::request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::request(data));
