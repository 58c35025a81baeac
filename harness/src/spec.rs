//! The description of a guest machine, and QEMU's arguments for it. Pure: nothing is read or started here.

use crate::machine;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

/// A guest machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The kernel: a bzImage, or a vmlinux that QEMU can enter directly (PVH).
    pub kernel: PathBuf,
    /// The initramfs; its `/init` is the agent.
    pub initramfs: PathBuf,
    /// Kernel parameters, appended to [`machine::APPEND`] and those of the profile.
    pub append: Vec<String>,
    /// Memory in MiB.
    pub mem_mib: u32,
    /// The boot profile.
    pub profile: Profile,
    /// The accelerator.
    pub accel: Accel,
    /// The CPU model under TCG, as for QEMU's `-cpu`.
    pub cpu: String,
    /// Virtual time: guest time advances with instructions, and idle time costs nothing. TCG only.
    pub virtual_time: bool,
    /// Wait on this loopback port for a debugger before the first instruction.
    pub gdb: Option<u16>,
}

impl Spec {
    /// Returns the default machine for a kernel and an initramfs: faithful profile, TCG, virtual time.
    pub fn new(kernel: impl Into<PathBuf>, initramfs: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.into(),
            initramfs: initramfs.into(),
            append: Vec::new(),
            mem_mib: machine::MEMORY_MIB,
            profile: Profile::Faithful,
            accel: Accel::Tcg,
            cpu: machine::CPU_TCG.to_owned(),
            virtual_time: true,
            gdb: None,
        }
    }

    /// Returns whether guest time is virtual: requested, and possible with this accelerator.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        self.virtual_time && self.accel == Accel::Tcg
    }

    /// Returns the kernel's command line.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut parameters: Vec<String> = machine::APPEND.iter().map(ToString::to_string).collect();
        if self.accel == Accel::Tcg {
            parameters.extend(machine::APPEND_TCG.iter().map(ToString::to_string));
        }
        if self.profile == Profile::Fast {
            parameters.extend(machine::APPEND_FAST.iter().map(ToString::to_string));
            // In real time the TSC has the host's frequency, which is not known here.
            if self.is_virtual() {
                parameters.push(format!("tsc_early_khz={}", machine::TSC_KHZ_VIRTUAL));
                parameters.push("tsc=reliable".to_owned());
            }
        }
        parameters.extend(self.append.iter().cloned());
        parameters.join(" ")
    }
}

/// A boot profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The kernel boots as on any other machine.
    #[default]
    Faithful,
    /// A faster boot without some parts of the kernel; see [`machine::APPEND_FAST`].
    Fast,
}

/// An accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// QEMU's software emulation: the same on every host, and supports virtual time.
    #[default]
    Tcg,
    /// The host's KVM; guest time is real.
    Kvm,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Profile::Faithful => "faithful",
            Profile::Fast => "fast",
        })
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accel::Tcg => "tcg",
            Accel::Kvm => "kvm",
        })
    }
}

/// The purpose of a QEMU process. Template and clone have the same devices but map memory differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Boots a guest that is not kept.
    Cold,
    /// Boots a guest with its memory in a memfd.
    Template {
        /// The memfd, which QEMU inherits. Page faults are cheaper than in a file on disk.
        memory: RawFd,
    },
    /// Waits for a template's device state, and maps the template's memory copy-on-write.
    Clone {
        /// The template's file.
        memory: &'a Path,
    },
}

/// The other ends of QEMU's ports. The console is always on QEMU's standard input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Connected sockets that QEMU inherits.
    Descriptors {
        /// The agent's port.
        agent: RawFd,
        /// QEMU's control port.
        qmp: RawFd,
    },
    /// For running QEMU by hand: there is no agent and no control port.
    Terminal,
}

/// Returns QEMU's arguments, without the program.
#[must_use]
pub fn qemu_args(spec: &Spec, role: Role<'_>, channels: Channels) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut arg = |name: &str, value: &dyn AsRef<OsStr>| {
        args.push(name.into());
        args.push(value.as_ref().into());
    };
    arg("-machine", &machine::MACHINE);
    match (spec.accel, spec.is_virtual()) {
        (Accel::Tcg, virtual_time) => {
            arg("-accel", &"tcg");
            arg("-cpu", &spec.cpu);
            if virtual_time {
                arg("-icount", &machine::ICOUNT);
                // The guest's RTC follows guest time, not the host's clock.
                arg("-rtc", &"base=utc,clock=vm");
            }
        }
        (Accel::Kvm, _) => {
            arg("-accel", &"kvm");
            arg("-cpu", &machine::CPU_KVM);
        }
    }
    arg("-smp", &"1");
    arg("-m", &format!("{}M", spec.mem_mib));
    arg("-object", &memory_object(spec.mem_mib, role));
    // A clone already has both in its memory. QEMU would read the files again, a fifth of a clone's start-up time.
    if !matches!(role, Role::Clone { .. }) {
        arg("-kernel", &spec.kernel);
        arg("-initrd", &spec.initramfs);
        arg("-append", &spec.command_line());
    }
    arg("-chardev", &"stdio,id=console,signal=off");
    match channels {
        Channels::Descriptors { agent, qmp } => {
            arg("-chardev", &format!("socket,id=agent,fd={agent}"));
            arg("-chardev", &format!("socket,id=qmp,fd={qmp}"));
            arg("-mon", &"chardev=qmp,mode=control");
        }
        Channels::Terminal => {
            arg("-chardev", &"null,id=agent");
        }
    }
    arg("-serial", &"chardev:console");
    arg("-serial", &"chardev:agent");
    arg("-display", &"none");
    if let Role::Clone { .. } = role {
        arg("-incoming", &"defer");
    }
    if let Some(port) = spec.gdb {
        arg("-gdb", &format!("tcp:127.0.0.1:{port}"));
        args.push("-S".into());
    }
    args.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(OsString::from));
    args
}

fn memory_object(mem_mib: u32, role: Role<'_>) -> OsString {
    let inherited;
    let file = |memory: &Path, share: &str| {
        let mut value = OsString::from(format!("memory-backend-file,id=mem,size={mem_mib}M,share={share},mem-path="));
        // In QEMU's option syntax ",," is a comma in a value.
        for (index, part) in memory.as_os_str().as_encoded_bytes().split(|&byte| byte == b',').enumerate() {
            if index > 0 {
                value.push(",,");
            }
            value.push(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(part));
        }
        value
    };
    match role {
        Role::Cold => format!("memory-backend-ram,id=mem,size={mem_mib}M").into(),
        Role::Template { memory } => {
            inherited = format!("/proc/self/fd/{memory}");
            file(Path::new(&inherited), "on")
        }
        Role::Clone { memory } => file(memory, "off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: Channels = Channels::Descriptors { agent: 11, qmp: 12 };

    /// Formats arguments with one option per line.
    fn shown(args: &[OsString]) -> String {
        let mut text = String::new();
        for arg in args {
            let arg = arg.to_str().unwrap();
            text += if arg.starts_with('-') { "\n" } else { " " };
            text += arg;
        }
        text.trim_start().to_owned()
    }

    fn spec() -> Spec {
        Spec::new("/k/bzImage", "/k/initramfs")
    }

    #[test]
    fn arguments_of_a_cold_boot() {
        insta::assert_snapshot!(shown(&qemu_args(&spec(), Role::Cold, CHANNELS)), @r"
        -machine pc,memory-backend=mem
        -accel tcg
        -cpu qemu64,-cx16,+rdrand
        -icount shift=3,sleep=off
        -rtc base=utc,clock=vm
        -smp 1
        -m 256M
        -object memory-backend-ram,id=mem,size=256M
        -kernel /k/bzImage
        -initrd /k/initramfs
        -append console=ttyS0 earlyprintk=serial,ttyS0,115200 rdinit=/init panic=-1 reboot=t loglevel=7 random.trust_cpu=on cryptomgr.notests nolapic_timer
        -chardev stdio,id=console,signal=off
        -chardev socket,id=agent,fd=11
        -chardev socket,id=qmp,fd=12
        -mon chardev=qmp,mode=control
        -serial chardev:console
        -serial chardev:agent
        -display none
        -nodefaults
        -no-user-config
        -no-reboot
        ");
    }

    #[test]
    fn template_and_clone_differ_only_in_memory_mapping_kernel_and_incoming_state() {
        let memory = Path::new("/cache/a,b/memory");
        let template = qemu_args(&spec(), Role::Template { memory: 13 }, CHANNELS);
        let clone = qemu_args(&spec(), Role::Clone { memory }, CHANNELS);
        let only = |these: &[OsString], those: &[OsString]| {
            these.iter().filter(|arg| !those.contains(arg)).cloned().collect::<Vec<_>>()
        };
        insta::assert_snapshot!(shown(&only(&template, &clone)), @r"
        memory-backend-file,id=mem,size=256M,share=on,mem-path=/proc/self/fd/13
        -kernel /k/bzImage
        -initrd /k/initramfs
        -append console=ttyS0 earlyprintk=serial,ttyS0,115200 rdinit=/init panic=-1 reboot=t loglevel=7 random.trust_cpu=on cryptomgr.notests nolapic_timer
        ");
        insta::assert_snapshot!(shown(&only(&clone, &template)), @r"
        memory-backend-file,id=mem,size=256M,share=off,mem-path=/cache/a,,b/memory
        -incoming defer
        ");
    }

    #[test]
    fn kvm_ignores_virtual_time() {
        let spec = Spec { accel: Accel::Kvm, profile: Profile::Fast, ..spec() };
        insta::assert_snapshot!(shown(&qemu_args(&spec, Role::Cold, CHANNELS)), @r"
        -machine pc,memory-backend=mem
        -accel kvm
        -cpu host
        -smp 1
        -m 256M
        -object memory-backend-ram,id=mem,size=256M
        -kernel /k/bzImage
        -initrd /k/initramfs
        -append console=ttyS0 earlyprintk=serial,ttyS0,115200 rdinit=/init panic=-1 reboot=t loglevel=7 random.trust_cpu=on cryptomgr.notests acpi=off pci=off no_timer_check initcall_blacklist=init_kprobe_trace,load_system_certificate_list noreplace-smp mitigations=off nokaslr
        -chardev stdio,id=console,signal=off
        -chardev socket,id=agent,fd=11
        -chardev socket,id=qmp,fd=12
        -mon chardev=qmp,mode=control
        -serial chardev:console
        -serial chardev:agent
        -display none
        -nodefaults
        -no-user-config
        -no-reboot
        ");
    }

    #[test]
    fn real_time_has_no_icount_and_no_virtual_rtc() {
        let spec = Spec { virtual_time: false, ..spec() };
        let args = shown(&qemu_args(&spec, Role::Cold, Channels::Terminal));
        assert!(!args.contains("icount") && !args.contains("-rtc"), "{args}");
    }

    #[test]
    fn the_parameters_of_the_profile_and_of_the_user_follow_the_default_ones() {
        let spec = Spec { profile: Profile::Fast, append: vec!["modprobe=/x".into()], ..spec() };
        insta::assert_snapshot!(spec.command_line(), @r"console=ttyS0 earlyprintk=serial,ttyS0,115200 rdinit=/init panic=-1 reboot=t loglevel=7 random.trust_cpu=on cryptomgr.notests nolapic_timer acpi=off pci=off no_timer_check initcall_blacklist=init_kprobe_trace,load_system_certificate_list noreplace-smp mitigations=off nokaslr tsc_early_khz=1000000 tsc=reliable modprobe=/x");
    }
}
