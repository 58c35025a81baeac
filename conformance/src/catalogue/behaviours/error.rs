//! What callers and the kernel log report about a failure.

mod callers;
mod files;
mod log;
mod parameters;
mod signatures;
mod symbols;

use super::BEHAVIOUR;
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Cost, Entry, Group, Need};

pub(super) use log::ENTRIES as LOG_ENTRIES;

const ERROR: Entry = Entry { group: Group::Error, ..BEHAVIOUR };

const DUMMY: Need = Need::Module("dummy");
const SIGNED: Need = Need::Config("CONFIG_MODULE_SIG=y");

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "error.helper-fails",
        catalogue: "ERR-01",
        statement: "a helper that fails or dies from a signal gives the caller the errno of a missing module, and nothing is logged",
        source: "docs/facts/kernel.md#result; docs/facts/kernel.md#err-01",
        needs: &[Need::Module("ip_tables")],
        check: By(callers::helper_fails),
        ..ERROR
    },
    Entry {
        id: "error.nothing-loaded",
        catalogue: "ERR-02",
        statement: "if a helper succeeds but the file system is still missing, the kernel logs that once per boot and is not tainted",
        source: "get_fs_type() (fs/filesystems.c), commit 26c5d78c9761; docs/facts/kernel.md#log-no-fs",
        needs: &[Need::Module("squashfs")],
        check: By(callers::nothing_loaded),
        ..ERROR
    },
    Entry {
        id: "error.short-file",
        catalogue: "ERR-03",
        statement: "a file that is too short for an ELF header is refused with ENOEXEC and a log line, an empty one with EINVAL and none",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#sys-08",
        probes: &["elf-messages"],
        check: By(files::short_file),
        ..ERROR
    },
    Entry {
        id: "error.not-elf",
        catalogue: "ERR-04",
        statement: "a file that is not ELF, or is compressed and loaded without the flag for it, is refused with ENOEXEC and a log line",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#sys-09; docs/facts/kernel.md#sys-37",
        needs: &[Need::Module("nls_utf8")],
        probes: &["elf-messages"],
        check: By(files::not_elf),
        ..ERROR
    },
    Entry {
        id: "error.truncated",
        catalogue: "ERR-05",
        statement: "a truncated module is refused with ENOEXEC and a log line",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#sys-10",
        needs: &[Need::Module("nls_utf8")],
        probes: &["elf-messages"],
        check: By(files::truncated),
        ..ERROR
    },
    Entry {
        id: "error.elf-header",
        catalogue: "ERR-06",
        statement: "a module with an invalid field in its ELF header is refused with ENOEXEC and a log line about that field",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#sys-11",
        needs: &[Need::Module("nls_utf8")],
        probes: &["elf-messages"],
        check: By(files::elf_header),
        ..ERROR
    },
    Entry {
        id: "error.version-magic",
        catalogue: "ERR-07",
        statement: "a module for another release is refused with ENOEXEC and both version magics in the log, unless the kernel compares symbol versions instead",
        source: "check_modinfo() (kernel/module/main.c), same_magic() (kernel/module/version.c); docs/facts/kernel.md#sys-12",
        needs: &[DUMMY],
        probes: &["modversions"],
        check: By(symbols::version_magic),
        ..ERROR
    },
    Entry {
        id: "error.licence",
        catalogue: "ERR-08",
        statement: "a module that uses GPL-only symbols without a GPL-compatible licence is refused with ENOENT, and the log names the licence and the symbols",
        source: "set_license() (kernel/module/main.c); docs/facts/kernel.md#sys-15",
        needs: &[DUMMY, Need::Module("nls_utf8")],
        check: By(symbols::licence),
        ..ERROR
    },
    Entry {
        id: "error.unknown-symbols",
        catalogue: "ERR-09",
        statement: "a module with unknown symbols is refused with ENOENT and one log line per symbol",
        source: "simplify_symbols() (kernel/module/main.c); docs/facts/kernel.md#sys-16",
        needs: &[Need::Module("garp")],
        check: By(symbols::unknown_symbols),
        ..ERROR
    },
    Entry {
        id: "error.parameters",
        catalogue: "ERR-10",
        statement: "an invalid or missing parameter value is refused with EINVAL and an out-of-range one with ERANGE, each with a log line",
        source: "parse_args() (kernel/params.c); docs/facts/kernel.md#sys-24",
        needs: &[DUMMY],
        check: By(parameters::refused),
        ..ERROR
    },
    Entry {
        id: "error.signature",
        catalogue: "ERR-11",
        statement: "an unsigned module taints the kernel with one log line, and is refused where signatures are enforced",
        source: "module_sig_check() (kernel/module/signing.c); docs/facts/kernel.md#sys-18; docs/facts/kernel.md#sys-20",
        needs: &[SIGNED, DUMMY, Need::Module("nls_utf8")],
        check: By(signatures::unsigned),
        ..ERROR
    },
    Entry {
        id: "error.decompression",
        catalogue: "ERR-12",
        statement: "a compressed module that the kernel cannot decompress is refused with EINVAL and a log line",
        source: "module_decompress() (kernel/module/decompress.c); docs/facts/kernel.md#sys-38",
        needs: &[
            Need::Module("nls_utf8"),
            Need::Config("CONFIG_MODULE_DECOMPRESS=y"),
            Need::Config("CONFIG_MODULE_COMPRESS_XZ=y"),
        ],
        probes: &["decompression"],
        check: By(files::decompression),
        ..ERROR
    },
    Entry {
        id: "error.altered",
        catalogue: "ERR-13",
        statement: "a signed module with a changed byte is refused with EKEYREJECTED, and nothing is logged",
        source: "mod_verify_sig() (kernel/module/signing.c); docs/facts/kernel.md#sys-17",
        needs: &[SIGNED, DUMMY],
        check: By(signatures::altered),
        ..ERROR
    },
    Entry {
        id: "error.trace",
        catalogue: "ERR-14",
        statement: "the trace event module_request occurs once per request, and not for an empty path, a name that is too long or a request that is rejected at the limit",
        source: "trace_module_request() in __request_module() (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#trace",
        cost: Cost::Storm,
        check: By(callers::trace),
        ..ERROR
    },
    Entry {
        id: "error.syslog",
        catalogue: "ERR-15",
        statement: "modprobe -s without a syslog daemon reports its error once and causes no request",
        source: "modprobe(8), -s; the kernel's historic kmod text; docs/facts/kernel.md#err-15",
        about: About::Both,
        needs: &[Need::Command("modprobe")],
        check: By(callers::syslog),
        ..ERROR
    },
    Entry {
        id: "error.wait-status",
        catalogue: "ERR-16",
        statement: "request_module() returns the wait status of a helper that fails: 256 for exit 1",
        source: "call_usermodehelper_exec() (kernel/umh.c); lib/test_kmod.c",
        needs: &[Need::Module("test_kmod")],
        check: By(callers::wait_status),
        ..ERROR
    },
    Entry {
        id: "error.section-headers",
        catalogue: "ERR-17",
        statement: "a module with an invalid section header is refused with ENOEXEC and a log line about that header",
        source: "elf_validity_check() (kernel/module/main.c); docs/facts/kernel.md#err-17",
        needs: &[Need::Module("nls_utf8")],
        probes: &["elf-messages"],
        check: By(files::section_headers),
        ..ERROR
    },
    Entry {
        id: "error.symbol-versions",
        catalogue: "ERR-18",
        statement: "a module with a wrong or missing symbol version is refused, and the log names the symbol",
        source: "check_version(), check_modstruct_version() (kernel/module/version.c); docs/facts/kernel.md#err-18",
        needs: &[DUMMY, Need::Config("CONFIG_MODVERSIONS=y")],
        probes: &["modversions"],
        check: By(symbols::symbol_versions),
        ..ERROR
    },
    Entry {
        id: "error.long-parameter",
        catalogue: "ERR-19",
        statement: "a parameter value that does not fit is refused with ENOSPC and a log line",
        source: "parse_args() (kernel/params.c); docs/facts/kernel.md#sys-26",
        needs: &[Need::Module("netconsole")],
        check: By(parameters::too_long),
        ..ERROR
    },
    Entry {
        id: "error.ignored-parameters",
        catalogue: "ERR-20",
        statement: "an unknown parameter and parameters after -- are ignored with a warning",
        source: "unknown_module_param_cb(), load_module() (kernel/module/main.c); docs/facts/kernel.md#sys-27; docs/facts/kernel.md#sys-28",
        needs: &[DUMMY],
        check: By(parameters::ignored),
        ..ERROR
    },
    Entry {
        id: "error.signature-trailer",
        catalogue: "ERR-21",
        statement: "a module with a signature trailer of another type or an incomplete marker counts as unsigned; one with wrong lengths or reserved fields is refused with EBADMSG",
        source: "mod_check_sig() (kernel/module_signature.c); docs/facts/kernel.md#sys-18; docs/facts/kernel.md#sys-19",
        needs: &[SIGNED, DUMMY],
        check: By(signatures::trailer),
        ..ERROR
    },
    Entry {
        id: "error.lockdown",
        catalogue: "ERR-22",
        statement: "a kernel in lockdown refuses an unsigned module with EPERM and a log line, and loads a signed one",
        source: "module_sig_check() (kernel/module/signing.c); docs/facts/kernel.md#sys-21",
        needs: &[SIGNED, DUMMY, Need::Config("CONFIG_SECURITY_LOCKDOWN_LSM=y")],
        check: By(signatures::lockdown),
        ..ERROR
    },
];
