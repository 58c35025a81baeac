//! The fuzz target for [`laws::modinfo`].
#![no_main]

kmodlab_fuzz::target!(laws::modinfo);
