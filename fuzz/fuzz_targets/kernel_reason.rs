//! The fuzz target for [`conformance::replay::kernel_reason`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::kernel_reason(data));
