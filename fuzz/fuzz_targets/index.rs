//! The fuzz target for [`laws::index`].
#![no_main]

kmodlab_fuzz::target!(laws::index);
