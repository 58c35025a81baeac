//! See `conformance::replay::arguments`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::arguments(data));
