//! The fuzz target for [`laws::depmod_d`].
#![no_main]

kmodlab_fuzz::target!(laws::depmod_d);
