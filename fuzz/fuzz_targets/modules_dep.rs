//! The fuzz target for [`laws::modules_dep`].
#![no_main]

kmodlab_fuzz::target!(laws::modules_dep);
