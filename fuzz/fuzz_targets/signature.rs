//! The fuzz target for [`laws::signature`].
#![no_main]

kmodlab_fuzz::target!(laws::signature);
