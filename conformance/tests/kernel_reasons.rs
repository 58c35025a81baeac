//! Refused modules: insmod shows the line of the kernel log that explains the refusal. Each line of `kmod::execute::reason::LINES`
//! is provoked, or listed with the reason why a guest cannot provoke it.
//!
//! By default this runs on the default kernel; `KMODLAB_REASON_KERNELS="5.10 7.3"` selects others.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use conformance::catalogue::entry::{About, Check, Entry};
use conformance::check::lab::{Lab, LabError};
use conformance::run::verdict::Verdict;
use kmod::execute::reason::LINES;
use std::collections::BTreeSet;
use support::elf::{self, Elf};
use support::lab::{Setup, entry, run};

/// A module that the kernel refuses.
struct Refusal {
    /// The line, as in [`LINES`].
    line: &'static str,
    /// What insmod shows, if it is not the line without its prefix; `*` is any text. Empty if it shows only the errno.
    shown: Option<&'static str>,
    module: &'static str,
    parameters: &'static [&'static str],
    /// A section that the module has only with some configurations of the kernel.
    section: Option<&'static str>,
    /// Whether some configurations of the kernel accept the module.
    may_load: bool,
    edit: fn(&mut Elf),
}

const fn refusal(line: &'static str, edit: fn(&mut Elf)) -> Refusal {
    Refusal { line, shown: None, module: "dummy", parameters: &[], section: None, may_load: false, edit }
}

const fn shown(line: &'static str, shown: &'static str, edit: fn(&mut Elf)) -> Refusal {
    Refusal { shown: Some(shown), ..refusal(line, edit) }
}

const fn with_section(section: &'static str, refusal: Refusal) -> Refusal {
    Refusal { section: Some(section), ..refusal }
}

const fn may_load(refusal: Refusal) -> Refusal {
    Refusal { may_load: true, ..refusal }
}

/// The kernel prints the line without a newline: it cannot be read before the next message.
const UNFINISHED: &str = "";

/// A parameter whose value has 256 bytes.
const LONG_PARAMETER: &str = concat!(
    "netconsole=",
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
);

const NO_SYMBOL: &str = "no_such_symbol";

/// Refusals on a kernel with its default command line.
const REFUSALS: &[Refusal] = &[
    shown("{module}: Unknown symbol * (err *)", "dummy needs no_such_symbol", |elf| {
        let symbol = elf.imports()[0];
        elf.rename_symbol(symbol, NO_SYMBOL);
    }),
    with_section(
        "__versions",
        shown("{module}: disagrees about version of symbol *", "dummy needs another version of *", |elf| {
            let at = elf.get(elf.section("__versions"), elf::OFFSET);
            elf.0[at] ^= 1;
        }),
    ),
    with_section(
        "__versions",
        refusal("{module}: no symbol version for *", |elf| {
            let at = elf.get(elf.section("__versions"), elf::OFFSET) + 64;
            elf.0[at + 8..at + 64].fill(b'x');
            elf.0[at + 63] = 0;
        }),
    ),
    shown("{module}: version magic '*' should be '*'", "dummy was built for '*', the kernel is '*'", |elf| {
        elf.replace(b"mod_unload", b"mod_UNLOAD");
    }),
    Refusal {
        parameters: &["numdummies=x"],
        ..shown("{module}: `*' invalid for parameter `*'", "parameter 'numdummies' of dummy cannot be 'x'", |_| {})
    },
    Refusal {
        module: "netconsole",
        parameters: &[LONG_PARAMETER],
        ..shown(
            "{module}: `*' too large for parameter `*'",
            "parameter 'netconsole' of netconsole cannot be '*': string doesn't fit in 255 chars.",
            |_| {},
        )
    },
    may_load(refusal("{module}: module uses symbol (*) from namespace *, but does not import it.", |elf| {
        without_versions(elf);
        let symbol = elf.imports()[0];
        elf.rename_symbol(symbol, "crypto_cipher_setkey");
    })),
    refusal("{module}: module tries to import module namespace: *", |elf| {
        without_versions(elf);
        elf.add_info("import_ns=module:x");
        let symbol = elf.imports()[0];
        elf.rename_symbol(symbol, "crypto_cipher_setkey");
    }),
    Refusal {
        module: "llc",
        ..refusal("{module}: exports duplicate symbol * (owned by *)", |elf| set_name(elf, "llx"))
    },
    Refusal {
        module: "llc",
        ..refusal("{module}: no flags for exported symbols", |elf| {
            let header = elf.section("__kflagstab");
            elf.rename(header, "__other");
            set_name(elf, "llx");
        })
    },
    refusal("{module}: please compile with -fno-common", |elf| {
        let symbol = elf.imports()[0];
        elf.set(symbol, elf::SYMBOL_SECTION, 0xfff2);
    }),
    refusal("{module}: Symbol * has an invalid section index * (max *)", |elf| {
        let symbol = elf.imports()[0];
        elf.set(symbol, elf::SYMBOL_SECTION, 0x7000);
    }),
    refusal("{module}: module has no symbols (stripped?)", |elf| {
        let header = elf.section(".symtab");
        elf.set(header, elf::TYPE, 1);
    }),
    refusal("{module}: No module found in object", |elf| {
        let header = elf.section(THIS_MODULE);
        elf.rename(header, ".other");
    }),
    refusal("{module}: module is already loaded", |elf| set_name(elf, "printk")),
    refusal("{module}: section * (index *) has invalid WRITE|EXEC flags", |elf| {
        let header = elf.section(".text");
        elf.flag(header, elf::WRITE);
    }),
    refusal("module {module}: Exactly one .gnu.linkonce.this_module section must exist.", |elf| {
        let header = elf.section(THIS_MODULE);
        elf.rename(header, ".other");
    }),
    refusal("module {module}: .gnu.linkonce.this_module section must have a size set", |elf| {
        let header = elf.section(THIS_MODULE);
        elf.set(header, elf::TYPE, 8);
    }),
    refusal("module {module}: .gnu.linkonce.this_module must occupy memory during process execution", |elf| {
        let header = elf.section(THIS_MODULE);
        elf.set(header, elf::FLAGS, elf::WRITE);
    }),
    refusal(
        "module {module}: .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time",
        |elf| {
            let header = elf.section(THIS_MODULE);
            let size = elf.get(header, elf::SIZE) as u64;
            elf.set(header, elf::SIZE, size - 8);
        },
    ),
    refusal("Module has invalid ELF structures", |elf| elf.set(0, elf::NAMES, 0)),
    refusal("Invalid ELF header len *", |elf| elf.0.truncate(10)),
    shown("Invalid ELF header magic: != *", "Invalid ELF header magic: != \\x7fELF", |elf| elf.0[0] = b'x'),
    refusal("Invalid ELF header type: * != *", |elf| elf.set(0, elf::FILE_TYPE, 3)),
    refusal("Invalid architecture in ELF header: *", |elf| elf.set(0, elf::MACHINE, 3)),
    refusal("Invalid ELF section header size", |elf| elf.set(0, elf::ENTRY_SIZE, 1)),
    refusal("Invalid ELF section header overflow", |elf| elf.set(0, elf::SECTIONS, 1 << 40)),
    refusal("ELF Spec violation: section 0 type(*)!=SH_NULL or non-zero len or addr", |elf| {
        let header = elf.header(0);
        elf.set(header, elf::TYPE, 1);
    }),
    refusal("Invalid ELF section in module (section * type *)", |elf| {
        let header = elf.section(".text");
        elf.set(header, elf::OFFSET, 1 << 40);
    }),
    refusal("Invalid ELF section hdr(type *)", |elf| {
        let header = elf.names();
        elf.set(header, elf::OFFSET, 1 << 40);
    }),
    refusal("Invalid ELF section name index: * || e_shstrndx (*) >= e_shnum (*)", |elf| elf.set(0, elf::NAMES, 0)),
    refusal("Invalid ELF section name table type: *", |elf| {
        let header = elf.names();
        elf.set(header, elf::TYPE, 1);
    }),
    refusal("empty section name table", |elf| {
        let header = elf.names();
        elf.set(header, elf::SIZE, 0);
    }),
    refusal("ELF Spec violation: section name table isn't null terminated", |elf| {
        let header = elf.names();
        unterminated(elf, header);
    }),
    refusal("Invalid ELF section name in module (section * type *)", |elf| {
        let header = elf.section(".text");
        elf.set(header, elf::NAME, 1 << 30);
    }),
    refusal("Only one .modinfo section must exist.", |elf| {
        let header = elf.section(".text");
        elf.rename(header, ".modinfo");
    }),
    refusal("Invalid ELF sh_link!=SHN_UNDEF(*) or (sh_link(*) >= hdr->e_shnum(*)", |elf| {
        let header = elf.section(".symtab");
        elf.set(header, elf::LINK, 9999);
    }),
    refusal("Invalid ELF symbol string table type: *", |elf| {
        let header = elf.section(".strtab");
        elf.set(header, elf::TYPE, 1);
    }),
    refusal("empty symbol string table", |elf| {
        let header = elf.section(".strtab");
        elf.set(header, elf::SIZE, 0);
    }),
    refusal("symbol string table missing leading NUL", |elf| {
        let at = elf.get(elf.section(".strtab"), elf::OFFSET);
        elf.0[at] = b'x';
    }),
    refusal("symbol string table isn't NUL terminated", |elf| {
        let header = elf.section(".strtab");
        unterminated(elf, header);
    }),
    shown("symbol name out of bounds in string table", UNFINISHED, |elf| {
        let symbol = elf.imports()[0];
        elf.set(symbol, elf::SYMBOL_NAME, 1 << 30);
    }),
    shown("extended version crc+name presence does not match", UNFINISHED, |elf| {
        let header = elf.section(".comment");
        elf.rename(header, "__version_ext_crcs");
        elf.flag(header, elf::ALLOC);
    }),
    shown("more extended version crcs than names", UNFINISHED, |elf| {
        let header = elf.section(".comment");
        elf.rename(header, "__version_ext_crcs");
        elf.flag(header, elf::ALLOC);
        elf.set(header, elf::SIZE, 12);
        let header = elf.section(".note.GNU-stack");
        elf.rename(header, "__version_ext_names");
        elf.flag(header, elf::ALLOC);
        elf.grow(header, b"a\0");
    }),
    refusal("module: {module}: Unknown rela relocation: *", |elf| {
        let (_, at) = elf.relocation(".rela.init.text");
        elf.set(at, (8, 4), 200);
    }),
    refusal("module: x86/modules: Skipping invalid relocation target, existing value is nonzero for *", nonzero_target),
    refusal("module: x86/modules: Invalid relocation target, existing value is nonzero for *", nonzero_target),
    shown("module: overflow in relocation type *", "`dummy' likely not compiled with -mcmodel=kernel", overflow),
    refusal("module: `{module}' likely not compiled with -mcmodel=kernel", overflow),
    refusal("module: PKCS#7 signature info has unexpected non-zero params", |elf| sign(elf, [1, 0, 2], b"x")),
    shown("module: not signed with expected PKCS#7 message", "dummy was built for '*', the kernel is '*'", |elf| {
        // Not fatal unless signatures are required: it is refused for another reason, which names the module.
        elf.replace(b"mod_unload", b"mod_UNLOAD");
        sign(elf, [0, 0, 1], b"x");
    }),
    refusal("PKCS7: Only support pkcs7_signedData type", |elf| {
        // ContentInfo with the type pkcs7-data.
        sign(elf, [0, 0, 2], b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x00");
    }),
    may_load(with_section(
        ".BTF",
        refusal("failed to validate module [{module}] BTF: *", |elf| {
            let at = elf.get(elf.section(".BTF"), elf::OFFSET);
            elf.0[at] ^= 1;
        }),
    )),
    refusal("livepatch: section * has an incorrectly formatted name", |elf| livepatch(elf, ".other", None)),
    refusal("livepatch: symbol * is not marked as a livepatch symbol", |elf| livepatch(elf, KLP_SECTION, None)),
    refusal("livepatch: symbol * at rela sec * idx * is not marked as a livepatch symbol", |elf| {
        livepatch(elf, KLP_SECTION, None);
    }),
    refusal("livepatch: symbol * has an incorrectly formatted name", |elf| {
        livepatch(elf, KLP_SECTION, Some("plain"));
    }),
    refusal("livepatch: symbol '*' not found in symbol table", |elf| {
        livepatch(elf, KLP_SECTION, Some(".klp.sym.vmlinux.no_such_symbol,0"));
    }),
    refusal("livepatch: symbol position * for symbol '*' in object '*' not found", |elf| {
        livepatch(elf, KLP_SECTION, Some(".klp.sym.vmlinux.kernel_init,5"));
    }),
    refusal("livepatch: unresolvable ambiguity for symbol '*' in object '*'", |elf| {
        livepatch(elf, KLP_SECTION, Some(".klp.sym.vmlinux.c_start,0"));
    }),
];

/// Refusals with these words on the command line.
const BOOTED: &[(&str, Refusal)] = &[
    (
        "module_blacklist=dummy",
        shown("Module {module} is blacklisted", "dummy is in module_blacklist= of the kernel command line", |_| {}),
    ),
    ("module.sig_enforce=1", refusal("Loading of * is rejected", |_| {})),
    (
        "lockdown=integrity",
        refusal("Lockdown: *: unsigned module loading is restricted; see man kernel_lockdown.7", |_| {}),
    ),
];

/// Lines that no guest here can provoke.
const NOT_PROVOKED: &[(&str, &[&str])] = &[
    ("a module ignores unknown parameters", &["{module}: Unknown parameter `*'"]),
    (
        "no module of the guest has such a parameter",
        &["Lockdown: *: unsafe module parameters is restricted; see man kernel_lockdown.7"],
    ),
    (
        "needs a proprietary module that was built for it",
        &[
            "{module}: module using GPL-only symbols uses symbols from proprietary module *.",
            "{module}: module using GPL-only symbols uses symbols * from proprietary module *.",
        ],
    ),
    ("needs a module whose init function waits for 30 s", &["{module}: gave up waiting for init of module *."]),
    ("the kernel also prints a stack trace, which is a finding", &["{module}: Could not allocate * bytes percpu data"]),
    (
        "needs a kernel with another configuration",
        &[
            "{module}: has both .ctors and .init_array.",
            "{module}: module is marked as livepatch module, but livepatch support is disabled",
            "LoadPin: kernel-module* *denied obj=*",
            "ima: impossible to appraise a module without a file descriptor. sig_enforce kernel parameter might help",
            "Failed to load code tags of type * from the module {module}",
        ],
    ),
    (
        "only during boot, or on another architecture",
        &[
            "{module}: module sysfs not initialized",
            "Invalid module architecture in ELF header: *",
            "module: {module}: Unknown relocation: *",
        ],
    ),
    (
        "needs a signature or a certificate that was made for it",
        &[
            "Module hash * is blacklisted",
            "PKCS7: Inconsistently supplied authAttrs",
            "PKCS7: Unsupported digest algo: *",
            "PKCS7: Unsupported pkey algo: *",
            "PKCS7: Unsupported SignedData version",
            "PKCS7: Unsupported SignerInfo version",
            "PKCS7: SignedData-SignerInfo version mismatch",
            "PKCS7: Unsupported data type *",
            "PKCS7: Mismatch between global data type (*) and sinfo * (*)",
            "PKCS7: S/MIME Caps only allowed with Authenticode",
            "PKCS7: Authenticode AuthAttrs only allowed with Authenticode",
            "PKCS7: Repeated/multivalue AuthAttrs not permitted",
            "PKCS7: Missing required AuthAttr",
            "PKCS7: Unexpected Authenticode AuthAttr",
            "PKCS7: Authenticode requires AuthAttrs",
            "PKCS7: Sig *: No messageDigest",
            "PKCS7: Sig *: Invalid digest size (*)",
            "PKCS7: Sig *: Message digest doesn't match",
            "PKCS7: Sig *: X.509 chain contains auth-skid nonmatch (*->*)",
            "PKCS7: Sig *: X.509 chain contains loop",
            "PKCS7: Message signed outside of X.509 validity window",
            "PKCS7: Invalid module sig (not pkcs7-data)",
            "PKCS7: Invalid module sig (has authattrs)",
            "PKCS7: Sig *: X.509 algo and PKCS#7 sig algo don't match",
            "PKCS7: *: No digest available",
            "X.509: Cert * is blacklisted",
            "X.509: Couldn't decode AuthKeyIdentifier",
            "X.509: Got cert with pkey (*) and sig (*) algorithm OIDs",
            "X.509: signatureAlgorithm (*) differs from tbsCertificate.signature (*)",
        ],
    ),
    (
        "needs a livepatch that was built for it",
        &[
            "module: x86/modules: Invalid relocation target, existing value does not match expected value for *",
            "livepatch: invalid access to vmlinux symbol '*' from module-specific livepatch relocation section",
            "livepatch: patch '*' failed for module '*', refusing to load module '{module}'",
            "livepatch: vmlinux.ko: invalid module name",
            "livepatch: module {module} is not marked as a livepatch module",
            "livepatch: Livepatch patch ({module}) is not compatible with the already installed livepatches.",
            "livepatch: failed to enable patch '{module}'",
        ],
    ),
];

const THIS_MODULE: &str = ".gnu.linkonce.this_module";
const KLP_SECTION: &str = ".klp.rela.vmlinux..text";

/// The kernel does not compare versions: it can load this module only because it allows forced loads.
fn without_versions(elf: &mut Elf) {
    if let Some(header) = elf.find("__versions") {
        elf.set(header, elf::FLAGS, 0);
    }
}

/// Changes the name in `struct module`.
fn set_name(elf: &mut Elf, name: &str) {
    let at = elf.get(elf.section(THIS_MODULE), elf::OFFSET) + 24;
    elf.0[at..at + 56].fill(0);
    elf.0[at..at + name.len()].copy_from_slice(name.as_bytes());
}

fn unterminated(elf: &mut Elf, header: usize) {
    let end = elf.get(header, elf::OFFSET) + elf.get(header, elf::SIZE);
    elf.0[end - 1] = b'x';
}

fn nonzero_target(elf: &mut Elf) {
    let (_, at) = elf.relocation(".rela.init.text");
    let target = elf.get(elf.section(".init.text"), elf::OFFSET) + elf.get(at, (0, 8));
    elf.0[target..target + 4].fill(0xff);
}

/// A relocation of type R_X86_64_32S whose value has more than 32 bits.
fn overflow(elf: &mut Elf) {
    let (_, at) = elf.relocation(".rela.init.text");
    elf.set(at, (8, 4), 11);
    elf.set(at, (16, 8), 1 << 40);
}

/// Appends a signature with these values for algorithm, hash and type.
fn sign(elf: &mut Elf, [algorithm, hash, id_type]: [u8; 3], signature: &[u8]) {
    elf.0.extend(signature);
    elf.0.extend([algorithm, hash, id_type, 0, 0, 0, 0, 0]);
    elf.0.extend((signature.len() as u32).to_be_bytes());
    elf.0.extend(b"~Module signature appended~\n");
}

/// Makes the relocations of .init.text those of a livepatch, with this name for the section, and for a symbol.
fn livepatch(elf: &mut Elf, section: &str, symbol: Option<&str>) {
    elf.add_info("livepatch=Y");
    let (number, _) = elf.relocation(".rela.init.text");
    let header = elf.section(".rela.init.text");
    elf.rename(header, section);
    elf.flag(header, elf::LIVEPATCH | elf::ALLOC);
    if let Some(name) = symbol {
        let symbol = elf.symbol(number);
        elf.set(symbol, elf::SYMBOL_SECTION, 0xff20);
        elf.rename_symbol(symbol, name);
    }
}

/// Lines that a release within their range does not have: the checks were backported to the older series first. Without them, such
/// a module crashes the kernel or is loaded.
const NOT_YET: &[(&str, &str)] = &[
    ("6.18.15", "{module}: Symbol * has an invalid section index * (max *)"),
    ("6.18.15", "Invalid ELF section name table type: *"),
    ("6.18.15", "Invalid ELF symbol string table type: *"),
];

/// Whether a kernel of this release has a line.
fn has(release: &str, line: &str) -> bool {
    let version = release.split(['-', '+']).next().unwrap();
    if NOT_YET.contains(&(version, line)) {
        return false;
    }
    let number = |version: &str| -> (u32, u32) {
        let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap(), parts.next().unwrap())
    };
    let known = LINES.iter().find(|known| known.text == line).unwrap_or_else(|| panic!("not listed: {line}"));
    (number(known.kernels.0)..=number(known.kernels.1)).contains(&number(release))
}

/// Whether a text matches a pattern in which `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    let escaped: String =
        pattern.chars().flat_map(|c| if "[]?\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
    kmod::name::fnmatch(escaped.as_bytes(), text.as_bytes())
}

fn try_one(lab: &mut Lab<'_>, refusal: &Refusal) -> Check {
    let release = lab.pair().release.clone();
    if !has(&release, refusal.line) {
        return Ok(());
    }
    if refusal.module == "netconsole" {
        lab.load_dependencies("netconsole")?;
    }
    if refusal.module == "llc" && refusal.line.contains("duplicate") {
        lab.load("llc")?;
    }
    let mut image = Elf::new(lab.module_image(refusal.module)?);
    if refusal.section.is_some_and(|section| image.find(section).is_none()) {
        return Ok(());
    }
    (refusal.edit)(&mut image);
    let file = format!("/run/lab/{}.ko", refusal.module);
    lab.write(&file, &image.0)?;
    lab.mark_kmsg()?;
    let command = [&["insmod", &file][..], refusal.parameters].concat();
    let ran = lab.tool(&command)?;
    if refusal.may_load && ran.stderr.is_empty() {
        let name = format!("{}: rmmod", refusal.line);
        return lab.expect_tool_as(&name, &["rmmod", refusal.module], 0, "").map(drop);
    }
    let stderr = String::from_utf8_lossy(&ran.stderr).trim_end().to_owned();
    let log: Vec<String> =
        lab.kmsg()?.into_iter().map(|record| String::from_utf8_lossy(&record.text).into_owned()).collect();
    let names = [refusal.module, "llx", "printk"];
    let line = |name: &&str| refusal.line.replace("{module}", name);
    let logged = names.iter().any(|name| log.iter().any(|text| matches(&line(name), text)));
    lab.expect(
        &format!("{}: logged", refusal.line),
        if logged { String::new() } else { format!("not in {log:?}") },
        "",
    );
    let shown = names.iter().any(|name| {
        let line = line(name);
        let line = line.strip_prefix("module: ").unwrap_or(&line);
        let line = line.strip_prefix(&format!("{name}: ")).unwrap_or(line);
        match refusal.shown.unwrap_or(line) {
            UNFINISHED => !stderr.is_empty(),
            text => matches(&format!("*: {text}"), &stderr),
        }
    });
    lab.expect(
        &format!("{}: shown", refusal.line),
        if shown { String::new() } else { format!("not in {stderr:?}") },
        "",
    );
    Ok(())
}

fn all(lab: &mut Lab<'_>) -> Check {
    REFUSALS.iter().try_for_each(|refusal| try_one(lab, refusal))?;
    disabled(lab)
}

/// The last one: it cannot be undone.
fn disabled(lab: &mut Lab<'_>) -> Check {
    lab.load("nls_utf8")?;
    lab.write("/proc/sys/kernel/modules_disabled", b"1")?;
    let file = lab.module_file("loop")?;
    let cause = "Operation not permitted: the sysctl kernel.modules_disabled is 1";
    lab.expect_tool(&["insmod", &file], 1, &format!("insmod: ERROR: could not insert module loop.ko: {cause}"))?;
    lab.expect_tool(&["modprobe", "loop"], 1, &format!("modprobe: ERROR: could not insert 'loop': {cause}"))?;
    lab.expect_tool(&["rmmod", "nls_utf8"], 1, &format!("rmmod: ERROR: could not remove module nls_utf8: {cause}"))?;
    lab.expect_tool(
        &["modprobe", "-r", "nls_utf8"],
        1,
        &format!("modprobe: ERROR: could not remove 'nls_utf8': {cause}"),
    )?;
    Ok(())
}

fn booted(lab: &mut Lab<'_>) -> Check {
    let command_line = String::from_utf8_lossy(&lab.read("/proc/cmdline")?).into_owned();
    for (word, refusal) in BOOTED {
        if command_line.split_whitespace().any(|given| given == *word) {
            return try_one(lab, refusal);
        }
    }
    Err(LabError::Unexpected(format!("no refusal for the command line {command_line}")))
}

const fn behaviour(id: &'static str, check: fn(&mut Lab<'_>) -> Check) -> Entry {
    Entry { about: About::Both, ..entry(id, "a refused module is explained", check) }
}

static ALL: Entry = behaviour("tool.reasons", all);
static BLACKLIST: Entry = behaviour("tool.reasons-booted", booted);

fn kernels() -> Vec<String> {
    let chosen = std::env::var("KMODLAB_REASON_KERNELS").unwrap_or_else(|_| "default".to_owned());
    chosen.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn every_known_line_is_provoked_or_listed_with_a_reason() {
    let provoked = REFUSALS.iter().chain(BOOTED.iter().map(|(_, refusal)| refusal)).map(|refusal| refusal.line);
    let not_provoked = NOT_PROVOKED.iter().flat_map(|(_, lines)| lines.iter().copied());
    let tried: BTreeSet<&str> = provoked.chain(not_provoked).collect();
    let known: BTreeSet<&str> = LINES.iter().map(|known| known.text).collect();
    assert_eq!(tried, known);
}

#[test]
fn a_refused_module_is_explained_by_the_line_of_the_kernel_log() {
    if !support::vm_or_skip() {
        return;
    }
    for kernel in kernels() {
        let rows = run(vec![&ALL], &Setup { mark: "kmodlab.test=refused", kernel: &kernel, ..Setup::default() });
        assert_eq!(rows[0].verdict, Verdict::Pass, "{kernel}: {:#?}", rows[0]);
    }
}

#[test]
fn a_module_that_the_command_line_forbids_is_explained() {
    if !support::vm_or_skip() {
        return;
    }
    for kernel in kernels() {
        for (word, _) in BOOTED {
            let mark = format!("kmodlab.test=forbidden {word}");
            let rows = run(vec![&BLACKLIST], &Setup { mark: &mark, kernel: &kernel, ..Setup::default() });
            assert_eq!(rows[0].verdict, Verdict::Pass, "{kernel}, {word}: {:#?}", rows[0]);
        }
    }
}
