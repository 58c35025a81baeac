//! The system calls that load and remove modules: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{Cost, Entry, Group};

const MODULE: Entry = Entry { group: Group::Module, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "module.duplicate",
        catalogue: "MOD-01",
        statement: "loading a module that is loaded fails with EEXIST",
        source: "add_unformed_module() (kernel/module/main.c); docs/facts/kernel.md#sys-22",
        check: Missing(NOT_WRITTEN),
        ..MODULE
    },
    Entry {
        id: "module.parallel-same-file",
        catalogue: "MOD-02",
        statement: "of parallel loads of one file, one succeeds and the others fail with EEXIST up to 6.4; all succeed since 6.5",
        source: "idempotent_init_module() (kernel/module/main.c), commit 9b9879fc0327; docs/facts/kernel.md#mod-02",
        cost: Cost::Storm,
        probes: &["parallel-loads"],
        check: Missing(NOT_WRITTEN),
        ..MODULE
    },
    Entry {
        id: "module.parallel-copies",
        catalogue: "MOD-03",
        statement: "of parallel loads of copies of a file, one succeeds and the others fail with EEXIST",
        source: "add_unformed_module() (kernel/module/main.c); docs/facts/kernel.md#mod-03",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..MODULE
    },
    Entry {
        id: "module.parallel-failing",
        catalogue: "MOD-04",
        statement: "parallel loads of a file with a bad parameter fail with EINVAL or EBUSY up to 6.4, and all with EINVAL since 6.5",
        source: "module_patient_check_exists(), idempotent_init_module() (kernel/module/main.c); docs/facts/kernel.md#mod-04",
        cost: Cost::Storm,
        probes: &["parallel-loads"],
        check: Missing(NOT_WRITTEN),
        ..MODULE
    },
    Entry {
        id: "module.failed-load",
        catalogue: "MOD-07",
        statement: "a failed load leaves nothing in /proc/modules and /sys/module",
        source: "load_module() (kernel/module/main.c); docs/facts/kernel.md#mod-07",
        check: Missing(NOT_WRITTEN),
        ..MODULE
    },
    Entry {
        id: "module.states",
        catalogue: "MOD-08",
        statement: "a module is coming while it initialises, then live, and going while it is removed",
        source: "/sys/module/NAME/initstate; docs/facts/kernel.md#mod-08",
        check: Missing("needs a module with a slow initialisation, which must be built for each kernel"),
        ..MODULE
    },
    Entry {
        id: "module.version-magic",
        catalogue: "MOD-09",
        statement: "a module for another release is loaded where the kernel compares symbol versions, and refused with ENOEXEC where it does not",
        source: "same_magic() (kernel/module/version.c); docs/facts/kernel.md#sys-12",
        probes: &["modversions"],
        check: Missing(NOT_WRITTEN),
        ..MODULE
    },
    Entry {
        id: "module.compressed",
        catalogue: "MOD-10",
        statement: "finit_module(2) with MODULE_INIT_COMPRESSED_FILE loads a .ko.xz if the kernel decompresses xz, and fails otherwise",
        source: "module_decompress() (kernel/module/decompress.c); docs/facts/kernel.md#sys-36; docs/facts/kernel.md#sys-40",
        probes: &["decompression"],
        check: Missing(NOT_WRITTEN),
        ..MODULE
    },
    Entry {
        id: "module.disabled",
        catalogue: "MOD-11",
        statement: "kernel.modules_disabled cannot be reset; afterwards a request starts its helper and every load fails with EPERM",
        source: "may_init_module() (kernel/module/main.c); docs/facts/kernel.md#modules-disabled",
        check: Missing(NOT_WRITTEN),
        ..MODULE
    },
    Entry {
        id: "module.blacklist-parameter",
        catalogue: "MOD-12",
        statement: "a module in module_blacklist= is refused with EPERM and a log line",
        source: "blacklisted() (kernel/module/main.c); docs/facts/kernel.md#sys-33",
        check: Missing("needs a lab with boot parameters per behaviour"),
        ..MODULE
    },
    Entry {
        id: "module.init-eexist",
        catalogue: "MOD-13",
        statement: "a module whose init function returns EEXIST fails with EEXIST up to 6.18, and with EBUSY on 7.3",
        source: "do_init_module() (kernel/module/main.c); docs/facts/kernel.md#sys-34",
        probes: &["init-eexist"],
        check: Missing("needs a module that fails in this way, which must be built for each kernel"),
        ..MODULE
    },
];
