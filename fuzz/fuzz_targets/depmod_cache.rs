//! The fuzz target for [`laws::depmod_cache`].
#![no_main]

kmodlab_fuzz::target!(laws::depmod_cache);
