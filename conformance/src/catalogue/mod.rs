//! The catalogue: which behaviours there are, what each needs, and how users select them.

pub mod behaviours;
pub mod config_check;
pub mod deviations;
pub mod entry;
pub mod filter;
pub(crate) mod glob;
pub mod probes;
pub mod reference;
pub mod select;
pub mod suggest;
