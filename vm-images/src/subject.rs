//! The module tools under test: which files they bring into the guest, and which commands they answer to.
//!
//! A subject is looked at, never run: commands are told by names, libraries by ELF headers, interpreters by the
//! first line of a script.

mod libraries;
mod package;
mod parts;

pub use package::{Unpacked, unpacked};

use crate::cache::CacheError;
use crate::elf::ElfError;
use crate::fetch::FetchError;
use crate::options::Options;
use libraries::Places;
use parts::Parts;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Every command that a subject may bring.
pub const COMMANDS: [&str; 6] = ["depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod"];

/// The tools under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    name: String,
    commands: Vec<String>,
    files: Vec<GuestFile>,
    id: String,
    notes: Vec<String>,
}

/// One thing that a subject puts into the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFile {
    /// Where, absolute.
    pub guest_path: PathBuf,
    /// Permissions.
    pub mode: u32,
    /// What.
    pub source: Source,
}

/// What a [`GuestFile`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The bytes of a file of the host.
    Host(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A symbolic link to this target.
    Link(String),
}

/// Why something cannot be a subject.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It cannot be read.
    #[error("cannot read the subject {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It has no execute permission.
    #[error("the subject {} is not executable", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// It is neither a program for this machine nor a script.
    #[error("the subject {} is neither a program nor a script: {reason}", path.display())]
    NotAProgram {
        /// The file.
        path: PathBuf,
        /// What it is not.
        reason: ElfError,
    },
    /// A library, or the dynamic loader, is nowhere.
    #[error(
        "the subject {} needs {library} (for {needed_by}), which was not found",
        path.display()
    )]
    MissingLibrary {
        /// The subject.
        path: PathBuf,
        /// What is missing.
        library: String,
        /// The program or library that needs it.
        needed_by: String,
    },
    /// A script's interpreter is not on this host.
    #[error("the subject {} is a script for {interpreter}, which is not on this host", path.display())]
    MissingInterpreter {
        /// The script.
        path: PathBuf,
        /// Its interpreter.
        interpreter: String,
    },
    /// It answers to no command.
    #[error("the subject {} provides none of the commands {}", path.display(), COMMANDS.join(", "))]
    NoCommand {
        /// The file or directory.
        path: PathBuf,
    },
    /// Our own tools are not built.
    #[error("kmodlab's module tools are not in {}", dir.display())]
    OursNotBuilt {
        /// Where they were looked for.
        dir: PathBuf,
    },
    /// Fetching it failed, or it cannot be had here.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl Subject {
    /// Our own tools: the static program `kmod` in the directory of guest programs.
    pub fn ours(guest_dir: &Path) -> Result<Subject, SubjectError> {
        let program = guest_dir.join("kmod");
        if !program.is_file() {
            return Err(SubjectError::OursNotBuilt { dir: guest_dir.to_owned() });
        }
        let mut parts = Parts::new(Places::host(&[]));
        let all: Vec<&str> = COMMANDS.to_vec();
        parts.multi_call(&program, "/sbin/kmod", &all)?;
        parts.finish("ours")
    }

    /// A program of the user's own, or a directory of tools. A file is taken for the command in its name (`modprobe`,
    /// `my-modprobe`); without one in its name, for all whose names stand in it. Libraries are looked for in `lib_dirs`, where
    /// the program says, and in the host's directories; nothing is run.
    pub fn from_path(path: &Path, lib_dirs: &[PathBuf]) -> Result<Subject, SubjectError> {
        let read = |source| SubjectError::Read { path: path.to_owned(), source };
        let meta = fs::metadata(path).map_err(read)?;
        let lib_dirs: Vec<PathBuf> =
            lib_dirs.iter().map(|dir| dir.canonicalize()).collect::<Result<_, _>>().map_err(read)?;
        let mut parts = Parts::new(Places::host(&lib_dirs));
        if meta.is_dir() {
            parts.directory(path)?;
        } else {
            parts.single(path)?;
        }
        parts.finish(&path.display().to_string())
    }

    /// A program of the host that is no subject, with the libraries that it needs: files as they would lie in a guest, the
    /// program itself left out.
    ///
    /// # Errors
    /// [`SubjectError`] if it is no program, or a library is nowhere.
    pub fn program_with_libraries(host: &Path) -> Result<Vec<GuestFile>, SubjectError> {
        let mut parts = Parts::new(Places::host(&[]));
        parts.libraries_of(host)?;
        Ok(parts.into_files())
    }

    /// Tools from a package, by the name of the catalogue: `kmod-30`, `kmod-34`, `busybox`. Unpacked with their
    /// libraries into the cache, never installed.
    pub fn fetch(name: &str, options: &Options<'_>) -> Result<Subject, SubjectError> {
        package::fetch(name, options)
    }

    /// What reports call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The commands that it brings, sorted; each is at `/sbin/COMMAND` in the guest.
    pub fn commands(&self) -> &[String] {
        &self.commands
    }

    /// What goes into the guest.
    pub fn files(&self) -> &[GuestFile] {
        &self.files
    }

    /// Hash of names, modes and contents, for cache keys.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the user should know about it, such as a version that is not the locked one.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf;
    use std::os::unix::fs::PermissionsExt as _;

    fn put(path: &Path, bytes: &[u8], mode: u32) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_owned()
    }

    fn static_program() -> Vec<u8> {
        elf::made(None, &[], None)
    }

    fn listing(subject: &Subject, dir: &Path) -> Vec<String> {
        let line = |file: &GuestFile| {
            let source = match &file.source {
                Source::Link(target) => format!("-> {target}"),
                Source::Host(path) => format!("= {}", path.strip_prefix(dir).unwrap_or(path).display()),
                Source::Bytes(bytes) => format!("{} bytes", bytes.len()),
            };
            format!("{} {source}", file.guest_path.display())
        };
        subject.files().iter().map(line).collect()
    }

    #[test]
    fn ours_answers_to_every_command() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("kmod"), &static_program(), 0o755);
        let subject = Subject::ours(dir.path()).unwrap();
        assert_eq!(subject.commands(), COMMANDS);
        assert_eq!(listing(&subject, dir.path())[1..3], ["/sbin/insmod -> /sbin/kmod", "/sbin/kmod = kmod"]);
        let error = Subject::ours(&dir.path().join("gone")).unwrap_err();
        assert!(matches!(error, SubjectError::OursNotBuilt { .. }), "{error}");
    }

    #[test]
    fn a_file_is_the_command_in_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["modprobe", "my-modprobe", "modprobe.static"] {
            let path = put(&dir.path().join(name), &static_program(), 0o755);
            let subject = Subject::from_path(&path, &[]).unwrap();
            assert_eq!(subject.commands(), ["modprobe"]);
            assert_eq!(listing(&subject, dir.path()), [format!("/sbin/modprobe = {name}")]);
        }
    }

    #[test]
    fn a_file_without_a_command_in_its_name_answers_to_those_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = [static_program(), b"\0insmod\0rmmod\0".to_vec()].concat();
        let path = put(&dir.path().join("toybox"), &bytes, 0o755);
        let subject = Subject::from_path(&path, &[]).unwrap();
        assert_eq!(
            listing(&subject, dir.path()),
            ["/sbin/insmod -> /sbin/toybox", "/sbin/rmmod -> /sbin/toybox", "/sbin/toybox = toybox"]
        );
        let path = put(&dir.path().join("other"), &static_program(), 0o755);
        assert!(matches!(Subject::from_path(&path, &[]), Err(SubjectError::NoCommand { .. })));
    }

    #[test]
    fn a_directory_brings_the_tools_in_it() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("sbin/modprobe"), &static_program(), 0o755);
        put(&dir.path().join("lsmod"), &static_program(), 0o755);
        let subject = Subject::from_path(dir.path(), &[]).unwrap();
        assert_eq!(subject.commands(), ["lsmod", "modprobe"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Subject::from_path(empty.path(), &[]), Err(SubjectError::NoCommand { .. })));
    }

    #[test]
    fn what_cannot_be_started_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let error = |name: &str, bytes: &[u8], mode| {
            let path = put(&dir.path().join(name).join("modprobe"), bytes, mode);
            Subject::from_path(&path, &[]).unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR")
        };
        assert_eq!(error("a", &static_program(), 0o644), "the subject DIR/a/modprobe is not executable");
        assert_eq!(
            error("b", b"text", 0o755),
            "the subject DIR/b/modprobe is neither a program nor a script: it is no ELF file"
        );
        assert_eq!(
            error("c", &elf::made(None, &["libnowhere.so.7"], None), 0o755),
            "the subject DIR/c/modprobe needs libnowhere.so.7 (for DIR/c/modprobe), which was not found"
        );
        assert_eq!(
            error("d", b"#! /no/such/sh -e\nexit 0\n", 0o755),
            "the subject DIR/d/modprobe is a script for /no/such/sh, which is not on this host"
        );
        assert!(matches!(Subject::from_path(Path::new("/no/such"), &[]), Err(SubjectError::Read { .. })));
    }

    #[test]
    fn a_script_brings_its_interpreter() {
        let dir = tempfile::tempdir().unwrap();
        let shell = put(&dir.path().join("shell"), &static_program(), 0o755);
        let script = format!("#!{} -e\nexit 0\n", shell.display());
        let path = put(&dir.path().join("modprobe"), script.as_bytes(), 0o755);
        let subject = Subject::from_path(&path, &[]).unwrap();
        let paths: Vec<&Path> = subject.files().iter().map(|file| file.guest_path.as_path()).collect();
        assert_eq!(paths.len(), 2);
        assert!(paths.contains(&shell.as_path()) && paths.contains(&Path::new("/sbin/modprobe")));
    }

    #[test]
    fn the_id_follows_the_contents_and_not_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let id = |place: &str, bytes: &[u8]| {
            let path = put(&dir.path().join(place).join("modprobe"), bytes, 0o755);
            Subject::from_path(&path, &[]).unwrap().id().to_owned()
        };
        let other = [static_program(), vec![0]].concat();
        assert_eq!(id("a", &static_program()), id("b", &static_program()));
        assert_ne!(id("a", &static_program()), id("c", &other));
    }
}
