//! The fuzz target for [`conformance::replay::modinfo`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::modinfo(data));
