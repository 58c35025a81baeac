//! Finds and reads configuration files: the only part of `config` that accesses the file system.

use super::ConfigWarning;
use crate::file::read_regular;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// The directories of modprobe.d, highest priority first.
pub const DEFAULT_DIRECTORIES: [&str; 5] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];

/// The size in bytes of the largest configuration file that is read.
pub const SIZE_LIMIT: u64 = 16 << 20;

/// The files and directories of the configuration.
#[derive(Debug, Clone, Default)]
pub struct ConfigSource {
    /// Directories and files of modprobe.d, highest priority first. Missing ones are ignored silently.
    pub paths: Vec<PathBuf>,
    /// `modules.softdep` and `modules.weakdep` of the module directory, sorted by name among the other files.
    pub from_tree: Vec<PathBuf>,
    /// Directories and files of kmod.d ([`super::mask`]), highest priority first.
    pub kmod_d: Vec<PathBuf>,
    /// `/proc/cmdline`.
    pub command_line: Option<PathBuf>,
}

impl ConfigSource {
    /// Returns the configuration of the running system, for a module directory.
    #[must_use]
    pub fn system(module_directory: &Path) -> Self {
        Self {
            paths: DEFAULT_DIRECTORIES.map(PathBuf::from).to_vec(),
            from_tree: ["modules.softdep", "modules.weakdep"].map(|name| module_directory.join(name)).to_vec(),
            kmod_d: super::mask::DEFAULT_DIRECTORIES.map(PathBuf::from).to_vec(),
            command_line: Some(PathBuf::from("/proc/cmdline")),
        }
    }

    /// Returns the directories and files of kmod.d alone.
    pub(super) fn kmod_d_only(&self) -> Self {
        Self { paths: self.kmod_d.clone(), ..Self::default() }
    }
}

/// Returns the files to read: sorted by base name across all directories. Of several files of one name, the first
/// directory's is read.
pub(crate) fn list(source: &ConfigSource, warnings: &mut Vec<ConfigWarning>) -> Vec<PathBuf> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for path in &source.paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => list_directory(path, &mut files, warnings),
            Ok(_) => add(&mut files, path.clone()),
            Err(error) => unreadable(path, error, warnings),
        }
    }
    for path in &source.from_tree {
        add(&mut files, path.clone());
    }
    files.into_values().collect()
}

fn list_directory(directory: &Path, files: &mut BTreeMap<OsString, PathBuf>, warnings: &mut Vec<ConfigWarning>) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return unreadable(directory, error, warnings),
    };
    for entry in entries {
        match entry {
            Ok(entry) if is_config_name(entry.file_name().as_bytes()) => {
                let path = entry.path();
                if path.is_dir() {
                    warnings.push(ConfigWarning::Directory(path));
                } else {
                    add(files, path);
                }
            }
            Ok(_) => {}
            Err(error) => return unreadable(directory, error, warnings),
        }
    }
}

fn is_config_name(name: &[u8]) -> bool {
    !name.starts_with(b".") && name.ends_with(b".conf")
}

fn add(files: &mut BTreeMap<OsString, PathBuf>, path: PathBuf) {
    let Some(name) = path.file_name() else { return };
    if let Entry::Vacant(entry) = files.entry(name.to_owned()) {
        entry.insert(path);
    }
}

/// A missing file is not worth a warning: `-C` may name one, and an initramfs without `/dev/null` has dangling links.
fn unreadable(file: &Path, source: io::Error, warnings: &mut Vec<ConfigWarning>) {
    if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        warnings.push(ConfigWarning::Unreadable { file: file.to_owned(), source });
    }
}

/// Reads a file. Returns `None`, after a warning, if it cannot be read.
pub(crate) fn read(path: &Path, warnings: &mut Vec<ConfigWarning>) -> Option<Vec<u8>> {
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) => {
            unreadable(path, error, warnings);
            return None;
        }
    };
    // A link to /dev/null hides a file of a directory with lower priority.
    if kind.is_char_device() {
        return None;
    }
    if !kind.is_file() {
        warnings.push(ConfigWarning::NotAFile(path.to_owned()));
        return None;
    }
    read_regular(path, SIZE_LIMIT).map_err(|error| unreadable(path, error, warnings)).ok()
}

/// Reads at most 64 KiB of a file of procfs.
pub(super) fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(64 << 10).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn files_of_all_directories_are_sorted_by_name_and_the_first_directory_wins() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(at("etc/b.conf"), "blacklist etc_b\n");
        write(at("lib/b.conf"), "blacklist lib_b\n");
        write(at("lib/a.conf"), "blacklist lib_a\n");
        write(at("lib/z.conf"), "blacklist lib_z\n");
        write(at("lib/.x.conf"), "blacklist hidden\n");
        write(at("lib/x.cnf"), "blacklist other\n");
        write(at("lib/.conf"), "blacklist short\n");
        write(at("tree/modules.softdep"), "softdep x pre: y\nblacklist tree\n");
        let source = ConfigSource {
            paths: vec![at("etc"), at("none"), at("lib")],
            from_tree: vec![at("tree/modules.softdep"), at("tree/modules.weakdep")],
            ..ConfigSource::default()
        };
        let (config, warnings) = Config::load(&source);
        assert!(warnings.is_empty(), "{warnings:?}");
        let names: Vec<_> = config.blacklist.iter().map(|name| String::from_utf8_lossy(name)).collect();
        assert_eq!(names, ["lib_a", "etc_b", "tree", "lib_z"]);
    }

    #[test]
    fn directories_pipes_and_links_to_nowhere_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d.conf")).unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join("n.conf")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", dir.path().join("o.conf")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("p.conf"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let source = ConfigSource { paths: vec![dir.path().to_owned()], ..ConfigSource::default() };
        let (_, warnings) = Config::load(&source);
        let shown: Vec<_> =
            warnings.iter().map(|w| w.to_string().replace(dir.path().to_str().unwrap(), "DIR")).collect();
        assert_eq!(
            shown,
            [
                "Directories inside directories are not supported: DIR/d.conf",
                "DIR/p.conf: not a regular file, not read"
            ]
        );
    }

    #[test]
    fn masks_are_read_from_kmod_d_only() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("etc/a.conf"), "mask x\n");
        write(dir.path().join("lib/a.conf"), "mask hidden\n");
        let kmod_d = ["etc", "none", "lib"].map(|name| dir.path().join(name)).to_vec();
        let source = ConfigSource { paths: vec![dir.path().join("etc/a.conf")], kmod_d, ..ConfigSource::default() };
        let (config, warnings) = Config::load(&source);
        assert_eq!(config.masks.0.iter().map(|mask| mask.pattern.clone()).collect::<Vec<_>>(), [b"x"]);
        // modprobe.d does not know the keyword.
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn an_unreadable_file_or_directory_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a.conf"), dir.path().join("link"));
        std::os::unix::fs::symlink(&file, &file).unwrap();
        std::os::unix::fs::symlink(&link, &link).unwrap();
        let paths = vec![dir.path().to_owned(), link, file.join("below"), dir.path().join("none")];
        let (_, warnings) = Config::load(&ConfigSource { paths, ..ConfigSource::default() });
        let shown: Vec<_> =
            warnings.iter().map(|w| w.to_string().replace(dir.path().to_str().unwrap(), "DIR")).collect();
        let too_many = "could not be read: Too many levels of symbolic links";
        assert_eq!(shown, ["link", "a.conf/below", "a.conf"].map(|name| format!("DIR/{name}: {too_many}")));
    }

    #[test]
    fn the_kernel_command_line_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let command_line = dir.path().join("cmdline");
        write(command_line.clone(), &format!("{} foo.bar=1\n", "quiet ".repeat(700)));
        let source = ConfigSource { command_line: Some(command_line), ..ConfigSource::default() };
        let options = Config::load(&source).0.options;
        assert_eq!(
            (options.len(), options[0].name.as_slice(), options[0].text.as_slice()),
            (1, &b"foo"[..], &b"bar=1"[..])
        );
    }

    #[test]
    fn the_running_system_has_the_default_directories() {
        let system = ConfigSource::system(Path::new("/lib/modules/1"));
        assert_eq!(system.paths[0], Path::new("/etc/modprobe.d"));
        assert_eq!(system.kmod_d[0], Path::new("/etc/kmod.d"));
        assert_eq!(
            system.from_tree,
            ["/lib/modules/1/modules.softdep", "/lib/modules/1/modules.weakdep"].map(PathBuf::from)
        );
        assert_eq!(system.command_line, Some(PathBuf::from("/proc/cmdline")));
    }

    #[test]
    fn a_single_file_may_have_any_name() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("any"), "blacklist x\n");
        let source = ConfigSource { paths: vec![dir.path().join("any")], ..ConfigSource::default() };
        assert_eq!(Config::load(&source).0.blacklist, [b"x"]);
    }
}
