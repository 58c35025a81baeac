//! Module directories: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{About, Entry, Group, Need};

const DEP: Entry = Entry { group: Group::Dep, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "dep.stale-index",
        catalogue: "DEP-04",
        statement: "a request fails without a taint if modules.dep.bin names a file that does not exist",
        source: "docs/facts/kernel.md#dep-04",
        about: About::Both,
        check: Missing(NOT_WRITTEN),
        ..DEP
    },
    Entry {
        id: "dep.before-first-boot",
        catalogue: "DEP-06",
        statement: "after depmod -ae -F System.map VERSION in a build tree, the first request on the booted kernel loads its module",
        source: "depmod(8), -F; docs/facts/kernel.md#dep-06",
        about: About::Both,
        check: Missing("needs a System.map, which the kernel packages do not contain"),
        ..DEP
    },
    Entry {
        id: "dep.unresolved-symbols",
        catalogue: "DEP-07",
        statement: "depmod -e reports the symbols that neither the kernel nor a module exports",
        source: "depmod(8), -e; docs/facts/kernel.md#dep-07",
        about: About::Both,
        check: Missing("needs a System.map or a Module.symvers, which the kernel packages do not contain"),
        ..DEP
    },
    Entry {
        id: "dep.no-unix-request",
        catalogue: "DEP-10",
        statement: "socket(AF_UNIX) requests no module",
        source: "fs_initcall(af_unix_init) (net/unix/af_unix.c); docs/facts/kernel.md#limit-unix",
        needs: &[Need::Config("CONFIG_UNIX=y")],
        check: Missing(NOT_WRITTEN),
        ..DEP
    },
];
