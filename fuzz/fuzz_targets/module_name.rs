//! The fuzz target for [`conformance::replay::module_name`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::module_name(data));
