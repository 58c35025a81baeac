//! The fuzz target for [`conformance::replay::filter`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::filter(data));
