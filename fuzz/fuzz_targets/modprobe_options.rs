//! See `conformance::replay::modprobe_options`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::modprobe_options(data));
