//! The path in `/proc/sys/kernel/modprobe`: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{Cost, Entry, Group, Need};

const PATH: Entry = Entry { group: Group::Path, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "path.exec-errors",
        catalogue: "PATH-09",
        statement: "a request fails with the errno of execve: ELOOP for a symlink loop, ENOTDIR for a file used as a directory, ETXTBSY for a file that is open for writing",
        source: "call_usermodehelper_exec_async() returns the error of kernel_execve() (kernel/umh.c); docs/facts/kernel.md#path-errors",
        needs: &[Need::Module("ip_tables")],
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.missing-interpreter",
        catalogue: "PATH-10",
        statement: "a script whose interpreter does not exist makes a request fail with ENOENT at once",
        source: "load_script() (fs/binfmt_script.c); docs/facts/kernel.md#path-errors",
        needs: &[Need::Module("ip_tables")],
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.not-a-program",
        catalogue: "PATH-11",
        statement: "a path to a file that is not a program fails with ENOEXEC: after a recursion of binfmt requests up to 6.13, at once since 6.14",
        source: "search_binary_handler() (fs/exec.c), commit fa1bdca98d74; docs/facts/kernel.md#path-garbage",
        cost: Cost::Storm,
        probes: &["binfmt-requests"],
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.one-value",
        catalogue: "PATH-14",
        statement: "there is one path for the whole system: a write in other namespaces changes it for all",
        source: "modprobe_path is a global variable (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.offset",
        catalogue: "PATH-15",
        statement: "a second write(2) appends to the path, and a write at an offset replaces the path from there on",
        source: "proc_first_pos_non_zero_ignore() and sysctl_writes_strict (kernel/sysctl.c)",
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.switched-at-limit",
        catalogue: "PATH-16",
        statement: "a request that waits at the limit runs the path that is set when its wait ends",
        source: "call_modprobe() reads modprobe_path after the wait (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.root-of-init",
        catalogue: "PATH-17",
        statement: "the path is resolved in the root directory of PID 1, not in that of the caller",
        source: "call_usermodehelper_exec_async() runs in a child of a kernel thread (kernel/umh.c); docs/facts/kernel.md#helper-identity",
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.unshared-root",
        catalogue: "PATH-18",
        statement: "after PID 1 has unshared its fs_struct, helpers keep its old root up to 6.18, and no helper starts on 7.3",
        source: "validate_fs_switch() (fs/fs_struct.c); docs/facts/kernel.md#path-18",
        probes: &["init-fs"],
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.modules-disabled",
        catalogue: "PATH-19",
        statement: "with kernel.modules_disabled set, the path can still be written and a request still starts the helper",
        source: "docs/facts/kernel.md#modules-disabled",
        check: Missing(NOT_WRITTEN),
        ..PATH
    },
    Entry {
        id: "path.is-what-runs",
        catalogue: "RTE-03",
        statement: "without CONFIG_STATIC_USERMODEHELPER, the path that is shown is the program that is run",
        source: "call_usermodehelper_setup() (kernel/umh.c); docs/facts/kernel.md#path-static",
        check: Missing("needs a kernel with CONFIG_STATIC_USERMODEHELPER to compare with"),
        ..PATH
    },
];
