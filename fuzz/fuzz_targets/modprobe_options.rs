//! The fuzz target for [`laws::modprobe_options`].
#![no_main]

kmodlab_fuzz::target!(laws::modprobe_options);
