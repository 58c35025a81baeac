//! The fuzz target for [`laws::kernel_reason`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::kernel_reason(data));
