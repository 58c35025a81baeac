//! Facts of the one machine that we boot, in one place: an x86-64 PC under QEMU.
//!
//! `pc` is chosen over `microvm`, which is 0.3 s faster to boot, because microvm has a single 16550
//! port, hangs in some boots while it calibrates its clock, and shows nothing at all with some kernels.

/// QEMU's program for this machine.
pub const QEMU: &str = "qemu-system-x86_64";
/// How to get it on Debian and Ubuntu.
pub const QEMU_PACKAGE: &str = "qemu-system-x86";
/// Machine type. Its name for the guest's memory is what templates map from a file.
pub const MACHINE: &str = "pc,memory-backend=mem";
/// CPU under TCG. QEMU 7.2 emulates cmpxchg16b wrongly in rare cases and 6.12 and later use it.
pub const CPU_TCG: &str = "qemu64,-cx16";
/// CPU under KVM.
pub const CPU_KVM: &str = "host";
/// Virtual time: one guest instruction takes 2^3 ns, and idle time is skipped. A fixed shift repeats guest
/// time to a fraction of a millisecond; `shift=auto` follows the host's clock.
pub const ICOUNT: &str = "shift=3,sleep=off";
/// Frequency of the guest's time stamp counter under virtual time: one tick is one nanosecond.
pub const TSC_KHZ_VIRTUAL: u32 = 1_000_000;
/// Guest memory.
pub const MEMORY_MIB: u32 = 256;
/// Kernel parameters of every guest. `loglevel=7` because a kernel may be configured to keep warnings off its
/// console; `earlyprintk` so that a kernel that dies before its console is up says why (it costs no time that
/// could be measured); a panic resets the machine at once, by the way that every x86 has (a triple fault).
pub const APPEND: [&str; 6] =
    ["console=ttyS0", "earlyprintk=serial,ttyS0,115200", "rdinit=/init", "panic=-1", "reboot=t", "loglevel=7"];

/// Kernel parameters of [`crate::Profile::Fast`]. There is no PCI and no ACPI, kprobe events vanish and built-in signing
/// keys are not loaded, so this is not for conformance.
pub const APPEND_FAST: [&str; 8] = [
    "acpi=off",
    "pci=off",
    "no_timer_check",
    "cryptomgr.notests",
    "initcall_blacklist=init_kprobe_trace,load_system_certificate_list",
    "noreplace-smp",
    "mitigations=off",
    "nokaslr",
];
