//! The module tools under test: commands, traits, and files in the guest.

use std::path::PathBuf;

/// The commands that a subject may provide.
pub const COMMANDS: [&str; 7] = ["depmod", "insmod", "kmod-request", "lsmod", "modinfo", "modprobe", "rmmod"];

/// The module tools under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub(super) name: String,
    pub(super) commands: Vec<String>,
    pub(super) traits: Option<Vec<String>>,
    pub(super) files: Vec<GuestFile>,
    pub(super) id: String,
    pub(super) notes: Vec<String>,
}

/// A file of a subject in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFile {
    /// The absolute path in the guest.
    pub guest_path: PathBuf,
    /// The permissions.
    pub mode: u32,
    /// The content.
    pub source: Source,
}

/// The content of a [`GuestFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of the host.
    Host(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A symlink with this target.
    Link(String),
}

impl Subject {
    /// Returns the name used in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the commands it provides, sorted; each is `/sbin/COMMAND` in the guest.
    pub fn commands(&self) -> &[String] {
        &self.commands
    }

    /// Returns what it supports besides its commands, by the names in subjects.toml; `None` for a subject that is not in
    /// the catalogue.
    pub fn traits(&self) -> Option<&[String]> {
        self.traits.as_deref()
    }

    /// Sets what it supports, for a subject that is not in the catalogue. If commands are among the traits, the others do
    /// not count as commands of the subject.
    #[must_use]
    pub fn with_traits(mut self, traits: &[String]) -> Subject {
        let (commands, traits): (Vec<String>, Vec<String>) =
            traits.iter().cloned().partition(|name| COMMANDS.contains(&name.as_str()));
        if !commands.is_empty() {
            self.commands.retain(|command| commands.contains(command));
        }
        Subject { traits: Some(traits), ..self }
    }

    /// Returns its files in the guest.
    pub fn files(&self) -> &[GuestFile] {
        &self.files
    }

    /// Returns a hash of names, modes and contents, for cache keys.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns notes for the user, such as a version that differs from the locked one.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
