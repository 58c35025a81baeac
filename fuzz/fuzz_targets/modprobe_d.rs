//! The fuzz target for [`laws::modprobe_d`].
#![no_main]

kmodlab_fuzz::target!(laws::modprobe_d);
