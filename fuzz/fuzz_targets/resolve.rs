//! The fuzz target for [`laws::resolve`].
#![no_main]

kmodlab_fuzz::target!(laws::resolve);
