//! The fuzz target for [`conformance::replay::proc_modules`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::proc_modules(data));
