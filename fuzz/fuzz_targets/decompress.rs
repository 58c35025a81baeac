//! The fuzz target for [`conformance::replay::decompress`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::decompress(data));
