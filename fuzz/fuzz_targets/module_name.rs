//! See `conformance::replay::module_name`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::module_name(data));
