//! See `conformance::replay::modules_dep`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::modules_dep(data));
