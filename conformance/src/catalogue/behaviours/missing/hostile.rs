//! Hostile input: behaviours without a check.

use super::MISSING;
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{About, Entry, Group};

const HOSTILE: Entry = Entry { group: Group::Hostile, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[Entry {
    id: "hostile.many-aliases",
    catalogue: "HOST-08",
    statement: "modprobe resolves a name within a second in a directory with a million alias patterns",
    source: "modules.alias; docs/facts/kernel.md#host-08",
    about: About::Both,
    check: Missing("needs a module directory with a million aliases, which does not fit into the lab's guest"),
    ..HOSTILE
}];
