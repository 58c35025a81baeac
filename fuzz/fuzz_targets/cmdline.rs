//! The fuzz target for [`laws::cmdline`].
#![no_main]

kmodlab_fuzz::target!(laws::cmdline);
