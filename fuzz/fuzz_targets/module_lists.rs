//! See `conformance::replay::module_lists`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::module_lists(data));
