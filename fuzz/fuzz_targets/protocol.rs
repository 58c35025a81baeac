//! The fuzz target for [`laws::protocol`].
#![no_main]

kmodlab_fuzz::target!(laws::protocol);
