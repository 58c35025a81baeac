//! The tools: behaviours without a check, all of which promise something that the kernel's historic kmod text describes.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{About, Cost, Entry, Group};

const CONFIG: Entry = Entry { group: Group::Config, ..MISSING };
const UNLOAD: Entry = Entry { group: Group::Unload, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "config.save-and-restore",
        catalogue: "CFG-06",
        statement: "settings that are saved when a module is removed are restored when it is loaded again",
        source: "the kernel's historic kmod text; docs/facts/kernel.md#cfg-06",
        about: About::Both,
        check: Missing("needs module tools that save and restore settings; no subject has them"),
        ..CONFIG
    },
    Entry {
        id: "config.no-hook-after-failure",
        catalogue: "CFG-07",
        statement: "settings are not restored after a failed load and not saved after a failed removal",
        source: "the kernel's historic kmod text; docs/facts/kernel.md#cfg-07",
        about: About::Both,
        check: Missing("needs module tools that save and restore settings; no subject has them"),
        ..CONFIG
    },
    Entry {
        id: "config.parallel-save",
        catalogue: "CFG-08",
        statement: "concurrent loads do not mix up saved settings",
        source: "the kernel's historic kmod text; docs/facts/kernel.md#cfg-08",
        about: About::Both,
        check: Missing("needs module tools that save and restore settings; no subject has them"),
        ..CONFIG
    },
    Entry {
        id: "config.hostile-settings",
        catalogue: "CFG-09",
        statement: "a damaged file of saved settings is ignored or rejected",
        source: "the kernel's historic kmod text; docs/facts/kernel.md#cfg-09",
        about: About::Both,
        check: Missing("needs module tools that save and restore settings; no subject has them"),
        ..CONFIG
    },
    Entry {
        id: "unload.no-autoclean",
        catalogue: "UNL-01",
        statement: "rmmod -a is a usage error: C kmod has no automatic removal of unused modules",
        source: "rmmod(8); docs/facts/kernel.md#unl-01",
        about: About::Both,
        check: Missing(NOT_WRITTEN),
        ..UNLOAD
    },
    Entry {
        id: "unload.autoclean",
        catalogue: "UNL-02",
        statement: "removing all unused modules repeatedly removes a chain of dependencies from its top",
        source: "the kernel's historic kmod text; docs/facts/kernel.md#unl-02",
        about: About::Both,
        check: Missing("needs module tools that remove unused modules; no subject has them"),
        ..UNLOAD
    },
    Entry {
        id: "unload.autoclean-in-use",
        catalogue: "UNL-03",
        statement: "removing all unused modules spares a module that is in use or permanent",
        source: "docs/facts/kernel.md#unl-03; docs/facts/kernel.md#sys-46",
        about: About::Both,
        check: Missing("needs module tools that remove unused modules; no subject has them"),
        ..UNLOAD
    },
    Entry {
        id: "unload.autoclean-race",
        catalogue: "UNL-04",
        statement: "a module that is requested while unused modules are removed is loaded, or the request fails cleanly",
        source: "docs/facts/kernel.md#unl-04",
        about: About::Both,
        cost: Cost::Storm,
        check: Missing("needs module tools that remove unused modules; no subject has them"),
        ..UNLOAD
    },
    Entry {
        id: "unload.autoclean-devices",
        catalogue: "UNL-05",
        statement: "removing all unused modules spares those whose network devices are up",
        source: "docs/facts/kernel.md#unl-05",
        about: About::Both,
        check: Missing("needs module tools that remove unused modules; no subject has them"),
        ..UNLOAD
    },
];
