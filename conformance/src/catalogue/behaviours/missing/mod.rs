//! The behaviours of the catalogue that have no check yet. To add a check, move the entry to the file of its group.

mod dep;
mod hostile;
mod limit;
mod module;
mod tools;

use super::BEHAVIOUR;
use crate::catalogue::entry::{Checked, Entry};

/// The reason of an entry for which nothing but the check is missing.
const NOT_WRITTEN: &str = "not written yet";

/// What most of these entries have in common. Each file sets the group.
const MISSING: Entry = Entry { check: Checked::Missing(NOT_WRITTEN), ..BEHAVIOUR };

/// All of them, by group in the order of the catalogue.
pub(super) const ENTRIES: &[&[Entry]] =
    &[dep::ENTRIES, limit::ENTRIES, module::ENTRIES, tools::ENTRIES, hostile::ENTRIES];
