//! The path in `/proc/sys/kernel/modprobe`: its file, and which program the next request runs.

mod file;
mod limit;
mod program;
mod root;

use super::BEHAVIOUR;
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{Cost, Entry, Group, Need};

const PATH: Entry = Entry { group: Group::Path, ..BEHAVIOUR };

/// The module with which a check sees the errno of a request.
const ORACLE: Need = Need::Module("ip_tables");

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "path.next-request",
        catalogue: "PATH-01",
        statement: "a path written to /proc/sys/kernel/modprobe takes effect at the next request",
        source: "call_modprobe() reads modprobe_path at each request (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        check: By(program::next_request),
        ..PATH
    },
    Entry {
        id: "path.newline",
        catalogue: "PATH-02",
        statement: "the newline that echo appends is not part of the path",
        source: "proc_dostring() stops at the first newline (kernel/sysctl.c)",
        check: By(file::newline),
        ..PATH
    },
    Entry {
        id: "path.no-splitting",
        catalogue: "PATH-03",
        statement: "the path is a single file name: it is not split at spaces and not passed to a shell",
        source: "call_usermodehelper_setup() passes the path to execve unchanged (kernel/umh.c)",
        needs: &[ORACLE],
        check: By(program::no_splitting),
        ..PATH
    },
    Entry {
        id: "path.terminator",
        catalogue: "PATH-04",
        statement: "the path ends at the first newline or NUL of a write, and write(2) returns the full length",
        source: "proc_dostring() (kernel/sysctl.c)",
        check: By(file::terminator),
        ..PATH
    },
    Entry {
        id: "path.length",
        catalogue: "PATH-05",
        statement: "a path longer than 255 bytes is truncated to 255, and write(2) still returns the full length",
        source: "KMOD_PATH_LEN is 256 (include/linux/kmod.h); proc_dostring() (kernel/sysctl.c)",
        check: By(file::length),
        ..PATH
    },
    Entry {
        id: "path.empty-disables",
        catalogue: "PATH-06",
        statement: "an empty path disables auto-loading: requests fail with ENOENT, without a helper, a log line or a trace event",
        source: "__request_module() (kernel/module/kmod.c); kernel commit d7d27cfc5cf0",
        cost: Cost::Slow,
        needs: &[ORACLE],
        check: By(program::empty_disables),
        ..PATH
    },
    Entry {
        id: "path.missing",
        catalogue: "PATH-07",
        statement: "a request with a nonexistent path fails with ENOENT; it is traced, and the kernel logs nothing",
        source: "__request_module() (kernel/module/kmod.c); selftests/kmod/kmod.sh test 0010",
        needs: &[ORACLE],
        check: By(program::missing),
        ..PATH
    },
    Entry {
        id: "path.not-executable",
        catalogue: "PATH-08",
        statement: "a request fails with EACCES if the path cannot be executed (file mode, directory, noexec mount)",
        source: "do_open_execat() (fs/exec.c), returned by call_usermodehelper_exec() (kernel/umh.c)",
        needs: &[ORACLE],
        check: By(program::not_executable),
        ..PATH
    },
    Entry {
        id: "path.exec-errors",
        catalogue: "PATH-09",
        statement: "a request fails with the errno of execve: ELOOP for a symlink loop, ENOTDIR for a file used as a directory, ETXTBSY for a file that is open for writing",
        source: "call_usermodehelper_exec_async() returns the error of kernel_execve() (kernel/umh.c); docs/facts/kernel.md#path-errors",
        needs: &[ORACLE],
        check: By(program::exec_errors),
        ..PATH
    },
    Entry {
        id: "path.missing-interpreter",
        catalogue: "PATH-10",
        statement: "a script whose interpreter does not exist makes a request fail with ENOENT at once",
        source: "load_script() (fs/binfmt_script.c); docs/facts/kernel.md#path-errors",
        needs: &[ORACLE],
        check: By(program::missing_interpreter),
        ..PATH
    },
    Entry {
        id: "path.not-a-program",
        catalogue: "PATH-11",
        statement: "a path to a file that is not a program fails with ENOEXEC: after a recursion of binfmt requests up to 6.13, at once since 6.14",
        source: "search_binary_handler() (fs/exec.c), commit fa1bdca98d74; docs/facts/kernel.md#path-garbage",
        cost: Cost::Storm,
        needs: &[ORACLE],
        probes: &["binfmt-requests"],
        check: By(program::not_a_program),
        ..PATH
    },
    Entry {
        id: "path.relative",
        catalogue: "PATH-12",
        statement: "a relative path is resolved from the working directory of PID 1",
        source: "kernel threads share init's fs_struct (kernel/umh.c); observed on 5.10 to 7.3",
        check: By(root::relative),
        ..PATH
    },
    Entry {
        id: "path.who-may-write",
        catalogue: "PATH-13",
        statement: "only uid 0 of the initial user namespace may write the path; capabilities do not matter",
        source: "test_perm() (fs/proc/proc_sysctl.c); docs/facts/kernel.md#path-permission",
        needs: &[Need::Config("CONFIG_USER_NS=y")],
        check: By(file::who_may_write),
        ..PATH
    },
    Entry {
        id: "path.one-value",
        catalogue: "PATH-14",
        statement: "there is one path for the whole system: a write in other namespaces changes it for all",
        source: "modprobe_path is a global variable (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        needs: &[Need::Config("CONFIG_USER_NS=y"), Need::Config("CONFIG_PID_NS=y"), Need::Config("CONFIG_NET_NS=y")],
        check: By(root::one_value),
        ..PATH
    },
    Entry {
        id: "path.offset",
        catalogue: "PATH-15",
        statement: "a second write(2) appends to the path, a write at an offset replaces the path from there on, and a write past its end changes nothing",
        source: "proc_dostring(), sysctl_writes_strict (kernel/sysctl.c); docs/facts/kernel.md#path-writes",
        check: By(file::offset),
        ..PATH
    },
    Entry {
        id: "path.switched-at-limit",
        catalogue: "PATH-16",
        statement: "a request that waits at the limit runs the path that is set when its wait ends",
        source: "call_modprobe() reads modprobe_path after the wait (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        cost: Cost::Storm,
        check: By(limit::switched),
        ..PATH
    },
    Entry {
        id: "path.root-of-init",
        catalogue: "PATH-17",
        statement: "the path is resolved in the root directory of PID 1, not in that of the caller",
        source: "call_usermodehelper_exec_async() runs in a child of a kernel thread (kernel/umh.c); docs/facts/kernel.md#helper-identity",
        check: By(root::root_of_init),
        ..PATH
    },
    Entry {
        id: "path.unshared-root",
        catalogue: "PATH-18",
        statement: "after PID 1 has unshared its fs_struct, helpers keep its old root up to 6.18, and no helper starts on 7.3",
        source: "validate_fs_switch() (fs/fs_struct.c); docs/facts/kernel.md#path-18",
        probes: &["init-fs"],
        check: By(root::unshared),
        ..PATH
    },
    Entry {
        id: "path.modules-disabled",
        catalogue: "PATH-19",
        statement: "with kernel.modules_disabled set, the path can still be written and a request still starts the helper",
        source: "docs/facts/kernel.md#modules-disabled",
        needs: &[Need::Module("dummy")],
        check: By(program::modules_disabled),
        ..PATH
    },
    Entry {
        id: "path.default",
        catalogue: "PATH-20",
        statement: "after boot, the path is CONFIG_MODPROBE_PATH: /sbin/modprobe, unless the configuration names another",
        source: "modprobe_path (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#path-default",
        probes: &["default-path"],
        check: By(file::default),
        ..PATH
    },
    Entry {
        id: "path.mode",
        catalogue: "PATH-21",
        statement: "the file of the path has mode 0644 and belongs to root: the effective uid 0 may write it, gid 0 may not, and everyone may read it",
        source: "test_perm() (fs/proc/proc_sysctl.c); kern_table[] (kernel/sysctl.c), module_sysctl_table[] (kernel/module/main.c) in 7.3; docs/facts/kernel.md#path-permission",
        check: By(file::mode),
        ..PATH
    },
    Entry {
        id: "path.checked-at-write",
        catalogue: "PATH-22",
        statement: "write(2) checks the uid again: a descriptor that root has opened cannot be written as another uid",
        source: "proc_sys_call_handler() calls sysctl_perm() (fs/proc/proc_sysctl.c)",
        check: By(file::checked_at_write),
        ..PATH
    },
    Entry {
        id: "path.read",
        catalogue: "PATH-23",
        statement: "read(2) returns the path and one newline, in pieces of any length and from any offset",
        source: "proc_dostring() (kernel/sysctl.c); docs/facts/kernel.md#path-reads",
        check: By(file::read),
        ..PATH
    },
    Entry {
        id: "path.nothing-written",
        catalogue: "PATH-24",
        statement: "a write of no bytes and opening with O_TRUNC leave the path unchanged",
        source: "proc_dostring() (kernel/sysctl.c); docs/facts/kernel.md#path-writes",
        check: By(file::nothing_written),
        ..PATH
    },
    Entry {
        id: "path.failed-write",
        catalogue: "PATH-25",
        statement: "a write of 4 MiB fails with ENOMEM and one from an invalid address with EFAULT, and the path stays as it is",
        source: "proc_sys_call_handler() (fs/proc/proc_sysctl.c); docs/facts/kernel.md#path-writes",
        check: By(file::failed_write),
        ..PATH
    },
    Entry {
        id: "path.lenient-writes",
        catalogue: "PATH-26",
        statement: "with kernel.sysctl_writes_strict=0 or -1 each write(2) replaces the whole path, and 0 logs one warning for a write at an offset",
        source: "proc_first_pos_non_zero_ignore() and _proc_do_string() (kernel/sysctl.c); docs/facts/kernel.md#path-lenient",
        check: By(file::lenient_writes),
        ..PATH
    },
    Entry {
        id: "path.emptied-at-limit",
        catalogue: "PATH-27",
        statement: "a request that waits at the limit while the path is emptied starts no helper and counts as successful",
        source: "call_usermodehelper_exec() (kernel/umh.c) returns 0 for an empty path; docs/facts/kernel.md#path-emptied",
        cost: Cost::Storm,
        check: By(limit::emptied),
        ..PATH
    },
    Entry {
        id: "path.read-only-mount",
        catalogue: "PATH-28",
        statement: "a read-only bind mount over the file makes writes through it fail with EROFS, and those through another mount of proc still succeed",
        source: "do_dentry_open() needs write access to the mount (fs/open.c); docs/facts/kernel.md#path-permission",
        check: By(file::read_only_mount),
        ..PATH
    },
    Entry {
        id: "path.is-what-runs",
        catalogue: "RTE-03",
        statement: "without CONFIG_STATIC_USERMODEHELPER, the path that is shown is the program that is run",
        source: "call_usermodehelper_setup() (kernel/umh.c); docs/facts/kernel.md#path-static",
        needs: &[Need::Config("CONFIG_STATIC_USERMODEHELPER=n")],
        check: By(program::is_what_runs),
        ..PATH
    },
];
