//! See `conformance::replay::proc_modules`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::proc_modules(data));
