//! See `conformance::replay::kernel_reason`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::kernel_reason(data));
