//! The fuzz target for [`conformance::replay::resolve`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::resolve(data));
