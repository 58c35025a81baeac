//! See `conformance::replay::decompress`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::decompress(data));
