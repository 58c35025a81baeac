//! The fuzz target for [`laws::module_lists`].
#![no_main]

kmodlab_fuzz::target!(laws::module_lists);
