//! See `conformance::replay::depmod_cache`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::depmod_cache(data));
