//! The lines by which kernels explain that they refuse a module.
//!
//! They were read in the sources of Debian's kernels 5.10.262, 6.1.176, 6.12.118 and 7.3.4, and in the image of 6.18.15; that of
//! kernel/bpf/btf.c is known from reports since 5.11. Lines
//! about something else, such as a taint, are not listed. `conformance/tests/kernel_reasons.rs` provokes those that a guest can
//! provoke. Three lines are not in the image of 6.18.15: it does not check the index of a symbol's section, nor the types of the
//! sections with the names of sections and symbols.

/// A line of the kernel log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownLine {
    /// Its text: `{module}` is the name of the module, `*` is any text.
    pub text: &'static str,
    /// The file that prints it; until 5.17, `kernel/module.c` for those below `kernel/module/`.
    pub source: &'static str,
    /// The oldest and the newest of these kernels that have it.
    pub kernels: (&'static str, &'static str),
}

const fn known(text: &'static str, source: &'static str, first: &'static str, last: &'static str) -> KnownLine {
    KnownLine { text, source, kernels: (first, last) }
}

/// Three lines of Linux 6.14 and later have no newline (those about extended versions, and `symbol name out of bounds in string
/// table`): the log shows them only after the next message, which is too late for a tool.
///
/// Part of these lines is parsed further, see [`super::Reason`].
pub const LINES: &[KnownLine] = &[
    known("{module}: Unknown symbol * (err *)", "kernel/module/main.c", "5.10", "7.3"),
    known("{module}: disagrees about version of symbol *", "kernel/module/version.c", "5.10", "7.3"),
    known("{module}: no symbol version for *", "kernel/module/version.c", "5.10", "7.3"),
    known("{module}: version magic '*' should be '*'", "kernel/module/main.c", "5.10", "7.3"),
    known("{module}: Unknown parameter `*'", "kernel/params.c", "5.10", "7.3"),
    known("{module}: `*' invalid for parameter `*'", "kernel/params.c", "5.10", "7.3"),
    known("{module}: `*' too large for parameter `*'", "kernel/params.c", "5.10", "7.3"),
    known("Module {module} is blacklisted", "kernel/module/main.c", "5.10", "7.3"),
    known(
        "{module}: module uses symbol (*) from namespace *, but does not import it.",
        "kernel/module/main.c",
        "5.10",
        "7.3",
    ),
    known("{module}: module tries to import module namespace: *", "kernel/module/main.c", "6.18", "7.3"),
    known(
        "{module}: module using GPL-only symbols uses symbols from proprietary module *.",
        "kernel/module/main.c",
        "5.10",
        "5.10",
    ),
    known(
        "{module}: module using GPL-only symbols uses symbols * from proprietary module *.",
        "kernel/module/main.c",
        "6.1",
        "7.3",
    ),
    known("{module}: gave up waiting for init of module *.", "kernel/module/main.c", "5.10", "7.3"),
    known("{module}: exports duplicate symbol * (owned by *)", "kernel/module/main.c", "5.10", "7.3"),
    known("{module}: no flags for exported symbols", "kernel/module/main.c", "7.3", "7.3"),
    known("{module}: please compile with -fno-common", "kernel/module/main.c", "5.10", "7.3"),
    known("{module}: Symbol * has an invalid section index * (max *)", "kernel/module/main.c", "6.1", "7.3"),
    known("{module}: Could not allocate * bytes percpu data", "kernel/module/main.c", "5.10", "7.3"),
    known("{module}: module has no symbols (stripped?)", "kernel/module/main.c", "5.10", "7.3"),
    known("{module}: No module found in object", "kernel/module/main.c", "5.10", "6.1"),
    known("{module}: has both .ctors and .init_array.", "kernel/module/main.c", "5.10", "7.3"),
    known(
        "{module}: module is marked as livepatch module, but livepatch support is disabled",
        "kernel/module/main.c",
        "5.10",
        "7.3",
    ),
    known("{module}: module sysfs not initialized", "kernel/module/sysfs.c", "5.10", "7.3"),
    known("{module}: module is already loaded", "kernel/module/sysfs.c", "5.10", "7.3"),
    known("{module}: section * (index *) has invalid WRITE|EXEC flags", "kernel/module/strict_rwx.c", "5.10", "7.3"),
    known(
        "module {module}: Exactly one .gnu.linkonce.this_module section must exist.",
        "kernel/module/main.c",
        "6.12",
        "7.3",
    ),
    known(
        "module {module}: .gnu.linkonce.this_module section must have a size set",
        "kernel/module/main.c",
        "6.12",
        "7.3",
    ),
    known(
        "module {module}: .gnu.linkonce.this_module must occupy memory during process execution",
        "kernel/module/main.c",
        "6.12",
        "7.3",
    ),
    known(
        "module {module}: .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time",
        "kernel/module/main.c",
        "6.12",
        "7.3",
    ),
    known("Module has invalid ELF structures", "kernel/module/main.c", "5.10", "5.10"),
    known("Invalid ELF header len *", "kernel/module/main.c", "6.1", "7.3"),
    known("Invalid ELF header magic: != *", "kernel/module/main.c", "6.1", "7.3"),
    known("Invalid ELF header type: * != *", "kernel/module/main.c", "6.1", "7.3"),
    known("Invalid architecture in ELF header: *", "kernel/module/main.c", "6.1", "7.3"),
    known("Invalid module architecture in ELF header: *", "kernel/module/main.c", "6.12", "7.3"),
    known("Invalid ELF section header size", "kernel/module/main.c", "6.1", "7.3"),
    known("Invalid ELF section header overflow", "kernel/module/main.c", "6.1", "7.3"),
    known(
        "ELF Spec violation: section 0 type(*)!=SH_NULL or non-zero len or addr",
        "kernel/module/main.c",
        "6.1",
        "7.3",
    ),
    known("Invalid ELF section in module (section * type *)", "kernel/module/main.c", "5.10", "7.3"),
    known("Invalid ELF section hdr(type *)", "kernel/module/main.c", "6.1", "6.1"),
    known("Invalid ELF section name index: * || e_shstrndx (*) >= e_shnum (*)", "kernel/module/main.c", "6.1", "7.3"),
    known("Invalid ELF section name table type: *", "kernel/module/main.c", "6.12", "7.3"),
    known("empty section name table", "kernel/module/main.c", "6.1", "7.3"),
    known("ELF Spec violation: section name table isn't null terminated", "kernel/module/main.c", "6.1", "7.3"),
    known("Invalid ELF section name in module (section * type *)", "kernel/module/main.c", "5.10", "7.3"),
    known("Only one .modinfo section must exist.", "kernel/module/main.c", "6.12", "7.3"),
    known("Invalid ELF sh_link!=SHN_UNDEF(*) or (sh_link(*) >= hdr->e_shnum(*)", "kernel/module/main.c", "6.1", "7.3"),
    known("Invalid ELF symbol string table type: *", "kernel/module/main.c", "6.12", "7.3"),
    known("empty symbol string table", "kernel/module/main.c", "6.18", "7.3"),
    known("symbol string table missing leading NUL", "kernel/module/main.c", "6.18", "7.3"),
    known("symbol string table isn't NUL terminated", "kernel/module/main.c", "6.18", "7.3"),
    known("symbol name out of bounds in string table", "kernel/module/main.c", "6.18", "7.3"),
    known("extended version crc+name presence does not match", "kernel/module/main.c", "6.18", "7.3"),
    known("more extended version crcs than names", "kernel/module/main.c", "6.18", "7.3"),
    known("module: {module}: Unknown relocation: *", "arch/x86/kernel/module.c", "5.10", "7.3"),
    known("module: {module}: Unknown rela relocation: *", "arch/x86/kernel/module.c", "5.10", "7.3"),
    known(
        "module: x86/modules: Skipping invalid relocation target, existing value is nonzero for *",
        "arch/x86/kernel/module.c",
        "5.10",
        "6.1",
    ),
    known(
        "module: x86/modules: Invalid relocation target, existing value is nonzero for *",
        "arch/x86/kernel/module.c",
        "6.12",
        "7.3",
    ),
    known(
        "module: x86/modules: Invalid relocation target, existing value does not match expected value for *",
        "arch/x86/kernel/module.c",
        "6.12",
        "7.3",
    ),
    known("module: overflow in relocation type *", "arch/x86/kernel/module.c", "5.10", "7.3"),
    known("module: `{module}' likely not compiled with -mcmodel=kernel", "arch/x86/kernel/module.c", "5.10", "7.3"),
    known("Loading of * is rejected", "kernel/module/signing.c", "5.10", "7.3"),
    known("Module hash * is blacklisted", "kernel/module/signing.c", "5.10", "6.12"),
    known("module: not signed with expected PKCS#7 message", "kernel/module_signature.c", "5.10", "7.3"),
    known("module: PKCS#7 signature info has unexpected non-zero params", "kernel/module_signature.c", "5.10", "7.3"),
    known("PKCS7: Inconsistently supplied authAttrs", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Unsupported digest algo: *", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Unsupported pkey algo: *", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Only support pkcs7_signedData type", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Unsupported SignedData version", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Unsupported SignerInfo version", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: SignedData-SignerInfo version mismatch", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Unsupported data type *", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known(
        "PKCS7: Mismatch between global data type (*) and sinfo * (*)",
        "crypto/asymmetric_keys/pkcs7_parser.c",
        "5.10",
        "7.3",
    ),
    known("PKCS7: S/MIME Caps only allowed with Authenticode", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known(
        "PKCS7: Authenticode AuthAttrs only allowed with Authenticode",
        "crypto/asymmetric_keys/pkcs7_parser.c",
        "5.10",
        "7.3",
    ),
    known("PKCS7: Repeated/multivalue AuthAttrs not permitted", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Missing required AuthAttr", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Unexpected Authenticode AuthAttr", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Authenticode requires AuthAttrs", "crypto/asymmetric_keys/pkcs7_parser.c", "5.10", "7.3"),
    known("PKCS7: Sig *: No messageDigest", "crypto/asymmetric_keys/pkcs7_verify.c", "5.10", "7.3"),
    known("PKCS7: Sig *: Invalid digest size (*)", "crypto/asymmetric_keys/pkcs7_verify.c", "5.10", "7.3"),
    known("PKCS7: Sig *: Message digest doesn't match", "crypto/asymmetric_keys/pkcs7_verify.c", "5.10", "7.3"),
    known(
        "PKCS7: Sig *: X.509 chain contains auth-skid nonmatch (*->*)",
        "crypto/asymmetric_keys/pkcs7_verify.c",
        "5.10",
        "7.3",
    ),
    known("PKCS7: Sig *: X.509 chain contains loop", "crypto/asymmetric_keys/pkcs7_verify.c", "5.10", "7.3"),
    known(
        "PKCS7: Message signed outside of X.509 validity window",
        "crypto/asymmetric_keys/pkcs7_verify.c",
        "5.10",
        "7.3",
    ),
    known("PKCS7: Invalid module sig (not pkcs7-data)", "crypto/asymmetric_keys/pkcs7_verify.c", "5.10", "7.3"),
    known("PKCS7: Invalid module sig (has authattrs)", "crypto/asymmetric_keys/pkcs7_verify.c", "5.10", "7.3"),
    known(
        "PKCS7: Sig *: X.509 algo and PKCS#7 sig algo don't match",
        "crypto/asymmetric_keys/pkcs7_verify.c",
        "5.10",
        "5.10",
    ),
    known("PKCS7: *: No digest available", "crypto/asymmetric_keys/pkcs7_verify.c", "7.3", "7.3"),
    known("X.509: Cert * is blacklisted", "crypto/asymmetric_keys/x509_public_key.c", "5.10", "7.3"),
    known("X.509: Couldn't decode AuthKeyIdentifier", "crypto/asymmetric_keys/x509_cert_parser.c", "5.10", "7.3"),
    known(
        "X.509: Got cert with pkey (*) and sig (*) algorithm OIDs",
        "crypto/asymmetric_keys/x509_cert_parser.c",
        "5.10",
        "5.10",
    ),
    known(
        "X.509: signatureAlgorithm (*) differs from tbsCertificate.signature (*)",
        "crypto/asymmetric_keys/x509_cert_parser.c",
        "6.1",
        "7.3",
    ),
    known(
        "Lockdown: *: unsigned module loading is restricted; see man kernel_lockdown.7",
        "security/lockdown/lockdown.c",
        "5.10",
        "7.3",
    ),
    known(
        "Lockdown: *: unsafe module parameters is restricted; see man kernel_lockdown.7",
        "security/lockdown/lockdown.c",
        "5.10",
        "7.3",
    ),
    known("LoadPin: kernel-module* *denied obj=*", "security/loadpin/loadpin.c", "5.10", "7.3"),
    known(
        "ima: impossible to appraise a module without a file descriptor. sig_enforce kernel parameter might help",
        "security/integrity/ima/ima_main.c",
        "5.10",
        "7.3",
    ),
    known("failed to validate module [{module}] BTF: *", "kernel/bpf/btf.c", "5.11", "7.3"),
    known("Failed to load code tags of type * from the module {module}", "lib/codetag.c", "7.3", "7.3"),
    known("livepatch: symbol '*' not found in symbol table", "kernel/livepatch/core.c", "5.10", "7.3"),
    known("livepatch: unresolvable ambiguity for symbol '*' in object '*'", "kernel/livepatch/core.c", "5.10", "7.3"),
    known(
        "livepatch: symbol position * for symbol '*' in object '*' not found",
        "kernel/livepatch/core.c",
        "5.10",
        "7.3",
    ),
    known("livepatch: symbol * is not marked as a livepatch symbol", "kernel/livepatch/core.c", "5.10", "6.18"),
    known(
        "livepatch: symbol * at rela sec * idx * is not marked as a livepatch symbol",
        "kernel/livepatch/core.c",
        "7.3",
        "7.3",
    ),
    known("livepatch: symbol * has an incorrectly formatted name", "kernel/livepatch/core.c", "5.10", "7.3"),
    known(
        "livepatch: invalid access to vmlinux symbol '*' from module-specific livepatch relocation section",
        "kernel/livepatch/core.c",
        "5.10",
        "7.3",
    ),
    known("livepatch: section * has an incorrectly formatted name", "kernel/livepatch/core.c", "5.10", "7.3"),
    known(
        "livepatch: patch '*' failed for module '*', refusing to load module '{module}'",
        "kernel/livepatch/core.c",
        "5.10",
        "7.3",
    ),
    known("livepatch: vmlinux.ko: invalid module name", "kernel/livepatch/core.c", "5.10", "7.3"),
    known("livepatch: module {module} is not marked as a livepatch module", "kernel/livepatch/core.c", "5.10", "7.3"),
    known(
        "livepatch: Livepatch patch ({module}) is not compatible with the already installed livepatches.",
        "kernel/livepatch/core.c",
        "5.10",
        "7.3",
    ),
    known("livepatch: failed to enable patch '{module}'", "kernel/livepatch/core.c", "5.10", "7.3"),
];

/// The lines about a value of a parameter. A line of [`LINES`] that names the module and the parameter follows. `*` at the
/// beginning is the parameter.
pub const PARAMETER_LINES: &[KnownLine] = &[
    known("*: string parameter too long", "kernel/params.c", "5.10", "7.3"),
    known("*: can only take * arguments", "kernel/params.c", "5.10", "7.3"),
    known("*: needs at least * arguments", "kernel/params.c", "5.10", "7.3"),
    known("*: string doesn't fit in * chars.", "kernel/params.c", "5.10", "7.3"),
];
