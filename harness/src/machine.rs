//! Constants of the one supported machine, an x86-64 PC under QEMU.
//!
//! The machine type is `pc` although `microvm` boots 0.3 s faster: microvm has a single 16550 port, hangs in some
//! boots while the kernel calibrates its clock, and prints nothing at all with some kernels.

/// The QEMU program for this machine.
pub const QEMU: &str = "qemu-system-x86_64";
/// The package that contains it on Debian and Ubuntu.
pub const QEMU_PACKAGE: &str = "qemu-system-x86";
/// The machine type, with the id of the memory object that templates map from a file.
pub const MACHINE: &str = "pc,memory-backend=mem";
/// The CPU model under TCG. QEMU 7.2 emulates cmpxchg16b wrongly in rare cases, and kernels from 6.12 on use it. With
/// RDRAND, which QEMU fills from the host, the kernel's random generator is ready early in the boot; QEMU 7.2 has no
/// RDSEED under TCG.
pub const CPU_TCG: &str = "qemu64,-cx16,+rdrand";
/// The CPU model under KVM.
pub const CPU_KVM: &str = "host";
/// Virtual time: one guest instruction takes 2^3 ns, and idle time is skipped. With a fixed shift, guest time is
/// reproducible to a fraction of a millisecond; `shift=auto` follows the host's clock.
pub const ICOUNT: &str = "shift=3,sleep=off";
/// The frequency of the guest's time stamp counter under virtual time: one tick is one nanosecond.
pub const TSC_KHZ_VIRTUAL: u32 = 1_000_000;
/// The size of guest memory.
pub const MEMORY_MIB: u32 = 256;
/// Kernel parameters of every guest. `loglevel=7`: a kernel may be configured to keep warnings off its console.
/// `earlyprintk`: a kernel that dies before its console works still prints why; the cost is not measurable.
/// `panic=-1 reboot=t`: a panic resets the machine at once, by a triple fault, which works on every x86.
/// `random.trust_cpu=on`: a kernel may be configured not to seed its random generator from RDRAND alone.
/// `cryptomgr.notests`: self-tests of crypto algorithms take a sixth of a boot and do not affect module loading.
pub const APPEND: [&str; 8] = [
    "console=ttyS0",
    "earlyprintk=serial,ttyS0,115200",
    "rdinit=/init",
    "panic=-1",
    "reboot=t",
    "loglevel=7",
    "random.trust_cpu=on",
    "cryptomgr.notests",
];

/// Additional kernel parameters under TCG. `nolapic_timer`: the kernel measures the local APIC's timer in a loop of 100 ms
/// that spins, and TCG needs a seventh of a boot for it. Without that timer the kernel uses the HPET, as on a machine
/// whose APIC has none.
pub const APPEND_TCG: [&str; 1] = ["nolapic_timer"];

/// Additional kernel parameters of [`crate::Profile::Fast`]. They turn off PCI, ACPI and kprobe events, and built-in
/// signing keys are not loaded, so this profile is not for conformance runs.
pub const APPEND_FAST: [&str; 7] = [
    "acpi=off",
    "pci=off",
    "no_timer_check",
    "initcall_blacklist=init_kprobe_trace,load_system_certificate_list",
    "noreplace-smp",
    "mitigations=off",
    "nokaslr",
];
