//! The limit on concurrent requests: behaviours without a check.

use super::MISSING;
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{Cost, Entry, Group};

const LOOP: Entry = Entry { group: Group::Loop, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[Entry {
    id: "loop.small-memory",
    catalogue: "LOOP-18",
    statement: "the limit is 50 even in a guest with 64 MiB of memory",
    source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
    cost: Cost::Storm,
    check: Missing(
        "all guests of a run have the same memory; since 4.13 the limit is a constant, which loop.cut-at-50 checks",
    ),
    ..LOOP
}];
