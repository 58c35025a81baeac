//! The environment in which a helper starts: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{About, Entry, Group};

const ENV: Entry = Entry { group: Group::Env, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "env.arguments",
        catalogue: "ENV-01",
        statement: "the helper's arguments are the path, -q, -- and the requested name",
        source: "call_modprobe() (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#helper-argv",
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.variables",
        catalogue: "ENV-02",
        statement: "the helper's environment is HOME=/, TERM=linux and PATH=/sbin:/usr/sbin:/bin:/usr/bin",
        source: "call_modprobe() (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#helper-argv",
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.descriptors",
        catalogue: "ENV-03",
        statement: "the helper starts without open file descriptors",
        source: "docs/facts/kernel.md#helper-fds",
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.output",
        catalogue: "ENV-04",
        statement: "modprobe never writes a message into a file that it has opened",
        source: "docs/facts/kernel.md#helper-fds; docs/facts/kernel.md#env-04",
        about: About::Both,
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.credentials",
        catalogue: "ENV-05",
        statement: "the helper runs as uid 0 with all capabilities and neither no_new_privs nor a seccomp filter, regardless of the caller",
        source: "docs/facts/kernel.md#helper-identity",
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.namespaces",
        catalogue: "ENV-06",
        statement: "the helper runs in the initial namespaces, even if the caller is in others",
        source: "docs/facts/kernel.md#helper-identity",
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.limits",
        catalogue: "ENV-07",
        statement: "the helper has umask 022, nice 0, no session, and the resource limits of kthreadd",
        source: "docs/facts/kernel.md#helper-identity",
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.signals",
        catalogue: "ENV-08",
        statement: "the helper starts with no signal blocked or ignored",
        source: "docs/facts/kernel.md#helper-identity",
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.capabilities",
        catalogue: "ENV-09",
        statement: "the sets in /proc/sys/kernel/usermodehelper can only shrink, and limit the capabilities of the helper",
        source: "proc_cap_handler() (kernel/umh.c); docs/facts/kernel.md#helper-caps",
        check: Missing(NOT_WRITTEN),
        ..ENV
    },
    Entry {
        id: "env.ptrace",
        catalogue: "ENV-10",
        statement: "the process that causes a request cannot trace its helper",
        source: "__ptrace_may_access() (kernel/ptrace.c); CVE-2003-0127",
        check: Missing("needs an action of the agent for ptrace(2)"),
        ..ENV
    },
    Entry {
        id: "env.other-helpers",
        catalogue: "RTE-01",
        statement: "request-key, core_pattern and uevent_helper start their helpers in the same environment, and the limit on module requests does not apply to them",
        source: "call_usermodehelper_setup() (kernel/umh.c); docs/facts/kernel.md#rte-01",
        check: Missing("needs actions of the agent for request_key(2) and for a process that dumps core"),
        ..ENV
    },
    Entry {
        id: "env.no-route-helper",
        catalogue: "RTE-02",
        statement: "a missing route starts no helper",
        source: "the kernel's historic kmod text; docs/facts/kernel.md#rte-02",
        check: Missing("needs an action of the agent for rtnetlink messages"),
        ..ENV
    },
];
