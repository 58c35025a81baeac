//! The fuzz target for [`conformance::replay::depmod_cache`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::depmod_cache(data));
