//! Builds a subject from files of the host, by their names and headers. Nothing is run.

use super::SubjectError;
use super::elf::ElfError;
use super::libraries::{self, Missing, SearchPath};
use super::subject::{COMMANDS, GuestFile, Source, Subject};
use crate::cache::ContentId;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// An interpreter may itself be a script; the kernel follows this many levels.
const SCRIPT_DEPTH: usize = 4;

/// A subject under construction.
pub(super) struct SubjectBuilder {
    search_path: SearchPath,
    commands: Vec<String>,
    /// The traits of a subject of the catalogue.
    pub traits: Option<Vec<String>>,
    files: BTreeMap<PathBuf, GuestFile>,
}

impl SubjectBuilder {
    pub fn new(search_path: SearchPath) -> SubjectBuilder {
        SubjectBuilder { search_path, commands: Vec::new(), traits: None, files: BTreeMap::new() }
    }

    /// Adds a program and everything it needs to run.
    pub fn program(&mut self, host: &Path, guest: &str) -> Result<(), SubjectError> {
        self.add_needs(host, host, 0)?;
        self.add(guest, 0o755, Source::Host(host.to_owned()));
        Ok(())
    }

    /// Adds everything that a program needs to run, without the program.
    pub fn libraries_of(&mut self, host: &Path) -> Result<(), SubjectError> {
        self.add_needs(host, host, 0)
    }

    pub fn into_files(self) -> Vec<GuestFile> {
        self.files.into_values().collect()
    }

    /// Adds a multi-call program, which behaves according to the name under which it is run.
    pub fn multi_call(&mut self, host: &Path, guest: &str, commands: &[&str]) -> Result<(), SubjectError> {
        self.program(host, guest)?;
        for command in commands {
            let link = format!("/sbin/{command}");
            if link != guest {
                self.add(&link, 0o777, Source::Link(guest.to_owned()));
            }
            self.commands.push((*command).to_owned());
        }
        Ok(())
    }

    /// Adds the tools in a directory.
    pub fn directory(&mut self, dir: &Path) -> Result<(), SubjectError> {
        for command in COMMANDS {
            let subdirs = ["", "sbin", "bin", "usr/sbin", "usr/bin"];
            let found = subdirs.iter().map(|subdir| dir.join(subdir).join(command)).find(|path| path.is_file());
            if let Some(path) = found {
                self.program(&path, &format!("/sbin/{command}"))?;
                self.commands.push(command.to_owned());
            }
        }
        if self.commands.is_empty() {
            return Err(SubjectError::NoCommand { path: dir.to_owned() });
        }
        Ok(())
    }

    /// Adds a single file as the command in its name, or as all commands it contains.
    pub fn single(&mut self, path: &Path) -> Result<(), SubjectError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(command) = command_in_name(&name) {
            self.program(path, &format!("/sbin/{command}"))?;
            self.commands.push(command.to_owned());
            return Ok(());
        }
        let bytes = fs::read(path).map_err(|source| SubjectError::Read { path: path.to_owned(), source })?;
        let commands: Vec<&str> = COMMANDS.into_iter().filter(|command| contains(&bytes, command.as_bytes())).collect();
        // Check first that it is a program at all, which is the more helpful error.
        self.program(path, &format!("/sbin/{name}"))?;
        if commands.is_empty() {
            return Err(SubjectError::NoCommand { path: path.to_owned() });
        }
        self.multi_call(path, &format!("/sbin/{name}"), &commands)
    }

    /// Adds the libraries and interpreters of `program`; errors name `subject`.
    fn add_needs(&mut self, program: &Path, subject: &Path, depth: usize) -> Result<(), SubjectError> {
        let read = |source| SubjectError::Read { path: program.to_owned(), source };
        let meta = fs::metadata(program).map_err(read)?;
        if meta.is_file() && meta.permissions().mode() & 0o111 == 0 {
            return Err(SubjectError::NotExecutable { path: program.to_owned() });
        }
        let bytes = fs::read(program).map_err(read)?;
        if let Some(interpreter) = interpreter_of(&bytes) {
            let host = Path::new(&interpreter);
            if !host.is_file() || depth == SCRIPT_DEPTH {
                return Err(SubjectError::MissingInterpreter { path: program.to_owned(), interpreter });
            }
            self.add_needs(host, subject, depth + 1)?;
            // A symlink such as sh -> dash: in the guest the file has the name that the script uses.
            self.add(&interpreter, 0o755, Source::Host(host.canonicalize().map_err(read)?));
            return Ok(());
        }
        let libraries = libraries::find(program, &bytes, &self.search_path).map_err(|missing| match missing {
            Missing::Program(ElfError::NotElf) => SubjectError::NotAProgram { path: program.to_owned() },
            Missing::Program(source) => SubjectError::UnusableProgram { path: program.to_owned(), source },
            Missing::Library { name, needed_by } => {
                SubjectError::MissingLibrary { path: subject.to_owned(), library: name, needed_by }
            }
        })?;
        for library in libraries {
            for link in library.links {
                self.add(&link, 0o777, Source::Link(library.guest.clone()));
            }
            self.add(&library.guest, 0o755, Source::Host(library.host));
        }
        Ok(())
    }

    /// Adds a file. A symlink never replaces a file.
    fn add(&mut self, guest: &str, mode: u32, source: Source) {
        let guest_path = PathBuf::from(guest);
        let link = matches!(source, Source::Link(_));
        if !(link && self.files.contains_key(&guest_path)) {
            self.files.insert(guest_path.clone(), GuestFile { guest_path, mode, source });
        }
    }

    pub fn finish(mut self, name: &str) -> Result<Subject, SubjectError> {
        self.commands.sort();
        self.commands.dedup();
        let mut id = ContentId::new();
        for file in self.files.values() {
            id.add(file.guest_path.as_os_str().as_encoded_bytes());
            id.add(file.mode.to_le_bytes());
            match &file.source {
                Source::Bytes(bytes) => id.add(bytes),
                Source::Link(target) => id.add(target),
                Source::Host(path) => {
                    id.add(fs::read(path).map_err(|source| SubjectError::Read { path: path.clone(), source })?);
                }
            }
        }
        Ok(Subject {
            name: name.to_owned(),
            commands: self.commands,
            traits: self.traits,
            files: self.files.into_values().collect(),
            id: id.finish(),
            notes: Vec::new(),
        })
    }
}

/// Returns the command in a file name if there is exactly one: `modprobe`, `my-modprobe`, `modprobe.sh`.
fn command_in_name(name: &str) -> Option<&'static str> {
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let mut found = COMMANDS.into_iter().filter(|command| words.contains(command));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Returns the interpreter in the first line of a script.
fn interpreter_of(bytes: &[u8]) -> Option<String> {
    let line = bytes.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?;
    text.split_ascii_whitespace().next().map(str::to_owned)
}

pub(super) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
