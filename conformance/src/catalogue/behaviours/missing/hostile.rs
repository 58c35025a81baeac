//! Hostile input: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{About, Cost, Entry, Group};

const HOSTILE: Entry = Entry { group: Group::Hostile, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "hostile.random-names",
        catalogue: "HOST-01",
        statement: "10000 random names from an unprivileged caller reach the helper unchanged, one request each",
        source: "docs/facts/kernel.md#name-bytes; docs/facts/kernel.md#host-01",
        cost: Cost::Storm,
        check: Missing("not written yet; a check must first generate names that its transcript does not depend on"),
        ..HOSTILE
    },
    Entry {
        id: "hostile.option-names",
        catalogue: "HOST-02",
        statement: "a requested name that looks like an option, a path or a shell command has no effect as one",
        source: "-- in call_modprobe(); CVE-2000-1095; docs/facts/kernel.md#host-02",
        about: About::Both,
        check: Missing(NOT_WRITTEN),
        ..HOSTILE
    },
    Entry {
        id: "hostile.path-names",
        catalogue: "HOST-03",
        statement: "modprobe loads no file that a requested name gives as a path",
        source: "modprobe(8); docs/facts/kernel.md#host-03",
        about: About::Both,
        check: Missing(NOT_WRITTEN),
        ..HOSTILE
    },
    Entry {
        id: "hostile.format-names",
        catalogue: "HOST-04",
        statement: "a requested name with printf conversions reaches the helper unchanged",
        source: "docs/facts/kernel.md#name-bytes; docs/facts/kernel.md#host-04",
        check: Missing(NOT_WRITTEN),
        ..HOSTILE
    },
    Entry {
        id: "hostile.name-storm",
        catalogue: "HOST-05",
        statement: "a storm of names from an unprivileged caller runs at most 50 helpers at a time and otherwise fails with ETIME",
        source: "CVE-2012-4398; docs/facts/kernel.md#host-05",
        about: About::Both,
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..HOSTILE
    },
    Entry {
        id: "hostile.kill-storm",
        catalogue: "HOST-06",
        statement: "the helpers of callers that kill themselves do not count towards the limit",
        source: "docs/facts/kernel.md#limit-callers; docs/facts/kernel.md#host-06",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..HOSTILE
    },
    Entry {
        id: "hostile.damaged-modules",
        catalogue: "HOST-07",
        statement: "a damaged module is refused without an oops and without a taint, however it is requested",
        source: "docs/facts/kernel.md#loading-and-unloading; docs/facts/kernel.md#host-07",
        about: About::Both,
        check: Missing(NOT_WRITTEN),
        ..HOSTILE
    },
    Entry {
        id: "hostile.many-aliases",
        catalogue: "HOST-08",
        statement: "modprobe resolves a name within a second in a directory with a million alias patterns",
        source: "modules.alias; docs/facts/kernel.md#host-08",
        about: About::Both,
        check: Missing("needs a module directory with a million aliases, which does not fit into the lab's guest"),
        ..HOSTILE
    },
    Entry {
        id: "hostile.replaced-helper",
        catalogue: "HOST-09",
        statement: "a helper that is replaced during a storm of requests runs entirely as its old or its new file",
        source: "docs/facts/kernel.md#host-09",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..HOSTILE
    },
    Entry {
        id: "hostile.set-id-helper",
        catalogue: "HOST-10",
        statement: "a helper with a set-uid bit or file capabilities runs with the ids of its file",
        source: "bprm_fill_uid() (fs/exec.c); docs/facts/kernel.md#host-10",
        check: Missing("not written yet; what is right has not been observed on any kernel"),
        ..HOSTILE
    },
];
