//! The fuzz target for [`laws::proc_modules`].
#![no_main]

kmodlab_fuzz::target!(laws::proc_modules);
