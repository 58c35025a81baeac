//! The fuzz target for [`laws::decompress`].
#![no_main]

kmodlab_fuzz::target!(laws::decompress);
