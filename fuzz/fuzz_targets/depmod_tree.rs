//! The fuzz target for [`laws::depmod_tree`].
#![no_main]

kmodlab_fuzz::target!(laws::depmod_tree);
