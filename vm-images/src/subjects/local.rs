//! Subjects on the host: our own tools, and programs of the user.

use super::SubjectError;
use super::builder::SubjectBuilder;
use super::libraries::SearchPath;
use super::subject::{COMMANDS, GuestFile, Subject};
use crate::catalogue::{Catalogue, OURS};
use std::fs;
use std::path::{Path, PathBuf};

impl Subject {
    /// Returns our own tools: the static program `kmod` in the directory of guest programs.
    pub fn ours(guest_dir: &Path) -> Result<Subject, SubjectError> {
        let program = guest_dir.join("kmod");
        if !program.is_file() {
            return Err(SubjectError::OursNotBuilt { dir: guest_dir.to_owned() });
        }
        let mut builder = SubjectBuilder::new(SearchPath::host(&[]));
        let all: Vec<&str> = COMMANDS.to_vec();
        builder.multi_call(&program, "/sbin/kmod", &all)?;
        let catalogue = Catalogue::builtin()?;
        builder.traits = catalogue.traits(OURS).map(<[String]>::to_vec);
        builder.finish(OURS)
    }

    /// Examines a program of the user, or a directory of tools. A file provides the command in its name (`modprobe`,
    /// `my-modprobe`), or if there is none, all commands whose names it contains. Libraries are searched in `lib_dirs`, in
    /// the program's own search path, and in the host's directories. Nothing is run.
    pub fn from_path(path: &Path, lib_dirs: &[PathBuf]) -> Result<Subject, SubjectError> {
        let read = |source| SubjectError::Read { path: path.to_owned(), source };
        let meta = fs::metadata(path).map_err(read)?;
        let canonical =
            |dir: &PathBuf| dir.canonicalize().map_err(|source| SubjectError::Read { path: dir.clone(), source });
        let lib_dirs: Vec<PathBuf> = lib_dirs.iter().map(canonical).collect::<Result<_, _>>()?;
        let mut builder = SubjectBuilder::new(SearchPath::host(&lib_dirs));
        if meta.is_dir() {
            builder.directory(path)?;
        } else {
            builder.single(path)?;
        }
        builder.finish(&path.display().to_string())
    }

    /// Returns the libraries that a program of the host needs in a guest, without the program itself.
    ///
    /// # Errors
    /// [`SubjectError`] if the file is not a program, or a library was not found.
    pub fn program_with_libraries(host: &Path) -> Result<Vec<GuestFile>, SubjectError> {
        let mut builder = SubjectBuilder::new(SearchPath::host(&[]));
        builder.libraries_of(host)?;
        Ok(builder.into_files())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subjects::elf;
    use crate::subjects::subject::Source;
    use std::os::unix::fs::PermissionsExt as _;

    fn put(path: &Path, bytes: &[u8], mode: u32) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_owned()
    }

    fn static_program() -> Vec<u8> {
        elf::sample_program(None, &[], None)
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
    fn our_own_tools_provide_every_command() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("kmod"), &static_program(), 0o755);
        let subject = Subject::ours(dir.path()).unwrap();
        assert_eq!(subject.commands(), COMMANDS);
        assert!(subject.traits().unwrap().contains(&"modprobe --wait".to_owned()));
        assert_eq!(listing(&subject, dir.path())[1..3], ["/sbin/insmod -> /sbin/kmod", "/sbin/kmod = kmod"]);
        let error = Subject::ours(&dir.path().join("gone")).unwrap_err();
        let gone = dir.path().join("gone");
        assert_eq!(error.to_string(), format!("kmodlab's module tools are not in {}", gone.display()));
    }

    #[test]
    fn a_file_provides_the_command_in_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["modprobe", "my-modprobe", "modprobe.static"] {
            let path = put(&dir.path().join(name), &static_program(), 0o755);
            let subject = Subject::from_path(&path, &[]).unwrap();
            assert_eq!((subject.commands(), subject.traits()), (&["modprobe".to_owned()][..], None));
            assert_eq!(listing(&subject, dir.path()), [format!("/sbin/modprobe = {name}")]);
        }
    }

    #[test]
    fn a_file_without_a_command_in_its_name_provides_those_it_contains() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = [static_program(), b"\0insmod\0rmmod\0".to_vec()].concat();
        let path = put(&dir.path().join("toybox"), &bytes, 0o755);
        let subject = Subject::from_path(&path, &[]).unwrap();
        assert_eq!(
            listing(&subject, dir.path()),
            ["/sbin/insmod -> /sbin/toybox", "/sbin/rmmod -> /sbin/toybox", "/sbin/toybox = toybox"]
        );
        let path = put(&dir.path().join("other"), &static_program(), 0o755);
        let error = Subject::from_path(&path, &[]).unwrap_err().to_string();
        let commands = "depmod, insmod, kmod-request, lsmod, modinfo, modprobe, rmmod";
        assert_eq!(error, format!("the subject {} provides none of the commands {commands}", path.display()));
    }

    #[test]
    fn a_directory_provides_the_tools_in_it() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("sbin/modprobe"), &static_program(), 0o755);
        put(&dir.path().join("lsmod"), &static_program(), 0o755);
        let subject = Subject::from_path(dir.path(), &[]).unwrap();
        assert_eq!(subject.commands(), ["lsmod", "modprobe"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Subject::from_path(empty.path(), &[]), Err(SubjectError::NoCommand { .. })));
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = |name: &str, bytes: &[u8], mode| {
            let path = put(&dir.path().join(name).join("modprobe"), bytes, mode);
            let error = Subject::from_path(&path, &[]).unwrap_err();
            crate::chain(&error).replace(&dir.path().display().to_string(), "DIR")
        };
        assert_eq!(error("a", &static_program(), 0o644), "the subject DIR/a/modprobe is not executable");
        assert_eq!(
            error("b", b"text", 0o755),
            "the subject DIR/b/modprobe is neither an ELF program nor a script (no #! line)"
        );
        assert_eq!(
            error("c", &elf::sample_program(None, &["libnowhere.so.7"], None), 0o755),
            "the subject DIR/c/modprobe needs libnowhere.so.7 (for DIR/c/modprobe), which was not found"
        );
        assert_eq!(
            error("d", b"#! /no/such/sh -e\nexit 0\n", 0o755),
            "the subject DIR/d/modprobe is a script whose interpreter, /no/such/sh, does not exist on this host"
        );
        let error = Subject::from_path(Path::new("/no/such"), &[]).unwrap_err();
        assert_eq!(crate::chain(&error), "cannot read /no/such: No such file or directory");
    }

    #[test]
    fn a_script_is_accompanied_by_its_interpreter() {
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
    fn the_id_depends_on_the_contents_and_not_on_the_path() {
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
