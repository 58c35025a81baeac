//! The fuzz target for [`laws::request`].
#![no_main]

kmodlab_fuzz::target!(laws::request);
