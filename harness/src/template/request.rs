//! What a caller requests: a machine, and the boots that are acceptable for it.

use super::saved::FORMAT;
use crate::monitor::Finding;
use crate::qemu::Qemu;
use crate::spec::{Channels, Role, Spec, qemu_args};
use sha2::{Digest, Sha256};
use std::path::Path;

/// A machine whose template is requested.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// The QEMU that runs it; its version is part of the template's key.
    pub qemu: &'a Qemu,
    /// The machine; QEMU's arguments are part of the template's key, except the paths of files.
    pub spec: &'a Spec,
    /// Identifies the contents of kernel and initramfs.
    pub key: &'a str,
}

impl Machine<'_> {
    /// Returns the arguments that are part of the template's key: all but the paths of files, whose contents are in
    /// the caller's key.
    pub(super) fn key_arguments(&self) -> Vec<String> {
        let nowhere = Path::new("");
        let spec = Spec { kernel: nowhere.into(), initramfs: nowhere.into(), ..self.spec.clone() };
        let channels = Channels::Descriptors { agent: 0, qmp: 0 };
        let args = qemu_args(&spec, Role::Template { memory: 0 }, channels);
        args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    /// Returns the name of the template's directory, a hash of its key.
    pub(super) fn content_name(&self) -> String {
        let (format, arguments) = (FORMAT.to_string(), self.key_arguments());
        let mut hasher = Sha256::new();
        for part in [&format, self.key, &self.qemu.banner].into_iter().chain(arguments.iter().map(String::as_str)) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        super::hex::hex(&hasher.finalize()[..16])
    }
}

/// The boots that may become templates.
#[derive(Clone, Copy)]
pub struct BootPolicy<'a> {
    /// Returns whether a boot with this finding on its console is acceptable.
    pub accepts: &'a dyn Fn(&Finding) -> bool,
    /// The maximum number of boots if they are not acceptable, at least 1.
    pub boots: u32,
}

impl Default for BootPolicy<'_> {
    /// Accepts no finding; three boots.
    fn default() -> Self {
        Self { accepts: &|_| false, boots: 3 }
    }
}

impl BootPolicy<'_> {
    pub(super) fn accepts_all(&self, findings: &[Finding]) -> bool {
        findings.iter().all(|finding| (self.accepts)(finding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::Version;
    use crate::spec::Profile;

    #[test]
    fn the_name_depends_on_the_machine_and_not_on_the_paths_of_its_files() {
        let name = |spec: &Spec, key, banner: &str| {
            let version = Version { major: 7, minor: 2 };
            let qemu = Qemu { path: "qemu".into(), version, banner: banner.to_owned() };
            Machine { qemu: &qemu, spec, key }.content_name()
        };
        let spec = Spec::new("/a/kernel", "/a/initramfs");
        let base = name(&spec, "key", "QEMU 7.2");
        assert_eq!(name(&Spec::new("/b/kernel", "/b/initramfs"), "key", "QEMU 7.2"), base);
        let others = [
            name(&spec, "other", "QEMU 7.2"),
            name(&spec, "key", "QEMU 8.2"),
            name(&Spec { mem_mib: 512, ..spec.clone() }, "key", "QEMU 7.2"),
            name(&Spec { profile: Profile::Fast, ..spec.clone() }, "key", "QEMU 7.2"),
            name(&Spec { virtual_time: false, ..spec.clone() }, "key", "QEMU 7.2"),
            name(&Spec { cpu: "max".to_owned(), ..spec.clone() }, "key", "QEMU 7.2"),
            name(&Spec { append: vec!["quiet".into()], ..spec.clone() }, "key", "QEMU 7.2"),
        ];
        assert!(others.iter().all(|other| *other != base), "{base} {others:?}");
    }
}
