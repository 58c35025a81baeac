//! The limit on concurrent requests: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{Cost, Entry, Group, Need};

const LOOP: Entry = Entry { group: Group::Loop, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "loop.rejected-name",
        catalogue: "LOOP-05",
        statement: "the cut-off is logged at level warning with the name of the request that is rejected",
        source: "__request_module() (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.etime",
        catalogue: "LOOP-06",
        statement: "a request that is rejected at the limit fails with ETIME",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#errno-oracle",
        cost: Cost::Storm,
        needs: &[Need::Module("ip_tables")],
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.two-names",
        catalogue: "LOOP-08",
        statement: "a recursion through two names shares the one limit",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-not-per-name",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.retries",
        catalogue: "LOOP-09",
        statement: "while helpers retry inside a recursion, at most 50 helpers exist at any moment and the system stays usable",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#loop-09",
        cost: Cost::Storm,
        check: Missing("needs a bound on the guest time of a check: the recursion does not end within two minutes"),
        ..LOOP
    },
    Entry {
        id: "loop.parallel",
        catalogue: "LOOP-10",
        statement: "200 parallel requests with quick helpers all get their helper, and nothing is logged",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-storms",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.short-waits",
        catalogue: "LOOP-11",
        statement: "80 parallel requests with helpers of one second all get their helper, and nothing is logged",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-storms",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.long-waits",
        catalogue: "LOOP-12",
        statement: "of 130 parallel requests with helpers of three seconds, 100 get their helper and 30 fail after five seconds",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-storms",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.rate-limit",
        catalogue: "LOOP-13",
        statement: "the cut-off is logged at most ten times in five seconds, followed by the number of suppressed messages",
        source: "pr_warn_ratelimited() in __request_module(); docs/facts/kernel.md#limit-rate",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.kill-throttled",
        catalogue: "LOOP-14",
        statement: "SIGKILL ends a caller that waits at the limit at once up to 6.3, and only at the end of its wait since 6.4",
        source: "__request_module() (kernel/kmod.c up to 6.3; kernel/module/kmod.c since 6.4, commit 25a1b5b518f4)",
        cost: Cost::Storm,
        probes: &["cutoff"],
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.kill-waiting",
        catalogue: "LOOP-15",
        statement: "a fatal signal ends a caller that waits for its helper at once, and the helper continues",
        source: "UMH_KILLABLE in call_modprobe() (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.killed-callers",
        catalogue: "LOOP-16",
        statement: "killed callers free their places at the limit while their helpers still run",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-callers",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.nested",
        catalogue: "LOOP-17",
        statement: "a helper that needs a module itself causes one nested request and no loop",
        source: "the kernel's historic kmod text; docs/facts/kernel.md#limit-nested",
        check: Missing(NOT_WRITTEN),
        ..LOOP
    },
    Entry {
        id: "loop.small-memory",
        catalogue: "LOOP-18",
        statement: "the limit is 50 in a guest with 64 MiB of memory, too",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        cost: Cost::Storm,
        check: Missing("needs a guest with less memory than the lab's"),
        ..LOOP
    },
];
