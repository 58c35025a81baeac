//! What callers and the kernel log report about a failure: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{About, Cost, Entry, Group};

const ERROR: Entry = Entry { group: Group::Error, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "error.helper-fails",
        catalogue: "ERR-01",
        statement: "a helper that fails or dies from a signal gives the caller the errno of a missing module, and nothing is logged",
        source: "docs/facts/kernel.md#result; docs/facts/kernel.md#err-01",
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.nothing-loaded",
        catalogue: "ERR-02",
        statement: "a helper that succeeds without loading a file system is logged once per boot, without a taint",
        source: "get_fs_type() (fs/filesystems.c), commit 26c5d78c9761; docs/facts/kernel.md#log-no-fs",
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.short-file",
        catalogue: "ERR-03",
        statement: "a file that is too short for an ELF header is refused with ENOEXEC and a log line",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#sys-08",
        probes: &["elf-messages"],
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.not-elf",
        catalogue: "ERR-04",
        statement: "a file that is not ELF, or is compressed and loaded without the flag for it, is refused with ENOEXEC and a log line",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#sys-09; docs/facts/kernel.md#sys-37",
        probes: &["elf-messages"],
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.truncated",
        catalogue: "ERR-05",
        statement: "a truncated module is refused with ENOEXEC and a log line",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#sys-10",
        probes: &["elf-messages"],
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.elf-header",
        catalogue: "ERR-06",
        statement: "a module with a wrong field in its ELF header is refused with ENOEXEC and a log line for that field",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#sys-11",
        probes: &["elf-messages"],
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.version-magic",
        catalogue: "ERR-07",
        statement: "a module for another release is refused with ENOEXEC and both version magics in the log, unless the kernel compares symbol versions instead",
        source: "check_modinfo() (kernel/module/main.c), same_magic() (kernel/module/version.c); docs/facts/kernel.md#sys-12",
        probes: &["modversions"],
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.licence",
        catalogue: "ERR-08",
        statement: "a module with a licence that is not GPL and GPL-only symbols is refused with ENOENT, and the log names its licence and the symbols",
        source: "set_license() (kernel/module/main.c); docs/facts/kernel.md#sys-15",
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.unknown-symbols",
        catalogue: "ERR-09",
        statement: "a module with unknown symbols is refused with ENOENT and one log line per symbol",
        source: "simplify_symbols() (kernel/module/main.c); docs/facts/kernel.md#sys-16",
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.parameters",
        catalogue: "ERR-10",
        statement: "a bad, out-of-range, missing or too long parameter value is refused with its own errno and a log line",
        source: "parse_args() (kernel/params.c); docs/facts/kernel.md#sys-24",
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.signature",
        catalogue: "ERR-11",
        statement: "an unsigned module taints the kernel with one log line, and is refused where signatures are enforced",
        source: "module_sig_check() (kernel/module/signing.c); docs/facts/kernel.md#sys-18",
        check: Missing("needs a lab with boot parameters per behaviour (module.sig_enforce, lockdown)"),
        ..ERROR
    },
    Entry {
        id: "error.decompression",
        catalogue: "ERR-12",
        statement: "a compressed module that the kernel cannot decompress is refused with EINVAL and a log line",
        source: "module_decompress() (kernel/module/decompress.c); docs/facts/kernel.md#sys-38",
        probes: &["decompression"],
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.altered",
        catalogue: "ERR-13",
        statement: "a signed module with a changed byte is refused with EKEYREJECTED, and nothing is logged",
        source: "mod_verify_sig() (kernel/module/signing.c); docs/facts/kernel.md#sys-17",
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.trace",
        catalogue: "ERR-14",
        statement: "the trace event module_request occurs once per request, and not for an empty path, a name that is too long or a request that is rejected at the limit",
        source: "trace_module_request() in __request_module() (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#trace",
        cost: Cost::Storm,
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.syslog",
        catalogue: "ERR-15",
        statement: "modprobe -s without a syslog daemon reports its error once and causes no request",
        source: "modprobe(8), -s; the kernel's historic kmod text; docs/facts/kernel.md#err-15",
        about: About::Both,
        check: Missing(NOT_WRITTEN),
        ..ERROR
    },
    Entry {
        id: "error.wait-status",
        catalogue: "ERR-16",
        statement: "request_module() returns the wait status of a helper that fails: 256 for exit 1",
        source: "call_usermodehelper_exec() (kernel/umh.c); lib/test_kmod.c",
        check: Missing("needs a kernel with CONFIG_TEST_KMOD, on which kmodlab kselftest runs the kernel's own test"),
        ..ERROR
    },
];
