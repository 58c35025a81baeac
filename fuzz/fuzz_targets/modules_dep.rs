//! The fuzz target for [`conformance::replay::modules_dep`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::replay::modules_dep(data));
