//! The fuzz target for [`laws::module_name`].
#![no_main]

kmodlab_fuzz::target!(laws::module_name);
