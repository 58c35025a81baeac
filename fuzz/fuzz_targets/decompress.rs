//! The fuzz target for [`laws::decompress`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::decompress(data));
