//! `modinfo`: not there yet.

use super::{Failed, Invocation};
use crate::log::Priority;

/// Says so.
///
/// # Errors
/// [`Failed`], always.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    invocation.log("modinfo", Priority::Error, false).error("not available yet; use the modinfo of the system");
    Err(Failed)
}
