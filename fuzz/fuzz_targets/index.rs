//! The fuzz target for [`conformance::replay::index`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::index(data));
