//! The fuzz target for [`laws::kernel_reason`].
#![no_main]

kmodlab_fuzz::target!(laws::kernel_reason);
