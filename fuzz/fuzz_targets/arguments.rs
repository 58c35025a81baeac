//! The fuzz target for [`laws::arguments`].
#![no_main]

kmodlab_fuzz::target!(laws::arguments);
