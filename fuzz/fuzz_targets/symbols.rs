//! The fuzz target for [`laws::symbols`].
#![no_main]

kmodlab_fuzz::target!(laws::symbols);
