//! The fuzz target for [`conformance::replay::symbols`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::symbols(data));
