//! Finds and reads configuration files: the only part of `config` that accesses the file system.

use super::ConfigWarning;
use super::lines::{Lines, LogicalLine};
use crate::file::open_regular;
use crate::memory;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, TryReserveError};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// The directories of modprobe.d, highest priority first.
pub const DEFAULT_DIRECTORIES: [&str; 5] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];

/// The number of bytes that are read of a configuration file.
pub const SIZE_LIMIT: u64 = 64 << 20;

/// The number of bytes that are read at once.
const PART: usize = 64 << 10;

/// The most memory that one byte of configuration may become: names of two bytes, each with its allocation.
const GROWTH: usize = 32;

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
pub(crate) fn list(source: &ConfigSource, warnings: &mut impl Extend<ConfigWarning>) -> Vec<PathBuf> {
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

fn list_directory(
    directory: &Path,
    files: &mut BTreeMap<OsString, PathBuf>,
    warnings: &mut impl Extend<ConfigWarning>,
) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return unreadable(directory, error, warnings),
    };
    for entry in entries {
        match entry {
            Ok(entry) if is_config_name(entry.file_name().as_bytes()) => {
                let path = entry.path();
                if path.is_dir() {
                    warnings.extend([ConfigWarning::Directory(path)]);
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
fn unreadable(file: &Path, cause: io::Error, warnings: &mut impl Extend<ConfigWarning>) {
    if !matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        warnings.extend([ConfigWarning::Unreadable { file: file.to_owned(), cause }]);
    }
}

/// Why a file, or its rest, was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("could not be read: {}", crate::sys::strerror_io(.0))]
    Io(io::Error),
    #[error("not a regular file, not read")]
    NotAFile,
    #[error("larger than {SIZE_LIMIT} bytes, the rest is ignored")]
    TooLarge,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TryReserveError> for ReadError {
    fn from(_: TryReserveError) -> Self {
        Self::out_of_memory()
    }
}

impl ReadError {
    pub(crate) fn out_of_memory() -> Self {
        Self::Io(rustix::io::Errno::NOMEM.into())
    }

    /// Reports the error, unless the file is missing.
    pub(crate) fn warn(self, file: &Path, warnings: &mut impl Extend<ConfigWarning>) {
        match self {
            Self::Io(error) => unreadable(file, error, warnings),
            Self::NotAFile => warnings.extend([ConfigWarning::NotAFile(file.to_owned())]),
            Self::TooLarge => warnings.extend([ConfigWarning::TooLarge(file.to_owned())]),
        }
    }
}

/// Reads a file line by line, up to [`SIZE_LIMIT`]. `each` gets every line that is complete within the limit.
///
/// # Errors
/// [`ReadError`], or the error of `each`.
pub(crate) fn read_lines(
    path: &Path,
    each: &mut impl FnMut(LogicalLine<'_>) -> Result<(), TryReserveError>,
) -> Result<(), ReadError> {
    read_lines_to(path, SIZE_LIMIT, each)
}

fn read_lines_to(
    path: &Path,
    limit: u64,
    each: &mut impl FnMut(LogicalLine<'_>) -> Result<(), TryReserveError>,
) -> Result<(), ReadError> {
    let Some(mut file) = open(path)? else { return Ok(()) };
    let mut part = Vec::new();
    part.try_reserve_exact(PART)?;
    part.resize(PART, 0);
    let mut lines = Lines::default();
    let mut each = |line: LogicalLine<'_>| {
        if let Some(text) = line.text.filter(|text| text.len() > PART) {
            require_memory(text.len())?;
        }
        each(line)?;
        Ok::<(), ReadError>(())
    };
    let mut left = limit;
    loop {
        let length = match file.read(&mut part) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            return lines.finish(&mut each);
        }
        let within = usize::try_from(left).map_or(length, |left| length.min(left));
        require_memory(within)?;
        lines.add(part.get(..within).unwrap_or_default(), &mut each)?;
        left -= within as u64;
        if within < length {
            return Err(ReadError::TooLarge);
        }
    }
}

/// Opens a file. Returns `None` for `/dev/null`: a link to it hides a file of a directory with lower priority.
fn open(path: &Path) -> Result<Option<File>, ReadError> {
    use std::os::unix::fs::MetadataExt as _;
    let data = fs::metadata(path)?;
    let device = data.rdev();
    if data.file_type().is_char_device() && (rustix::fs::major(device), rustix::fs::minor(device)) == (1, 3) {
        return Ok(None);
    }
    // Checked before the open, too: that of a device may have effects.
    if !data.is_file() {
        return Err(ReadError::NotAFile);
    }
    match open_regular(path) {
        Ok((file, _)) => Ok(Some(file)),
        Err(error) if error.raw_os_error().is_none() => Err(ReadError::NotAFile),
        Err(error) => Err(error.into()),
    }
}

/// Fails if there is not enough memory for the entries of a text of this length, which are many small allocations.
fn require_memory(length: usize) -> Result<(), TryReserveError> {
    memory::require(length.saturating_mul(GROWTH))
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
        assert_eq!(config.masks.lines.iter().map(|mask| mask.pattern.clone()).collect::<Vec<_>>(), [b"x"]);
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

    /// What is wrong with each of these files of kmod.d.
    fn problems(make: impl FnOnce(&Path)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let source = ConfigSource { kmod_d: vec![dir.path().join("kmod.d")], ..ConfigSource::default() };
        let (config, warnings) = Config::load(&source);
        assert!(warnings.is_empty(), "{warnings:?}");
        let place = dir.path().to_str().unwrap();
        config.masks.problems.iter().map(|problem| problem.to_string().replace(place, "")).collect()
    }

    #[test]
    fn a_file_of_kmod_d_that_cannot_be_read_masks_every_module() {
        use std::os::unix::fs::symlink;
        let found = problems(|dir| {
            let at = |name: &str| dir.join("kmod.d").join(name);
            write(at("a.conf"), "mask x\n");
            symlink("b.conf", at("b.conf")).unwrap();
            symlink("/nowhere/c.conf", at("c.conf")).unwrap();
            symlink("/dev/zero", at("d.conf")).unwrap();
            fs::create_dir(at("e.conf")).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, at("f.conf"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
                .unwrap();
            File::create(at("g.conf")).unwrap().set_len(SIZE_LIMIT + 1).unwrap();
        });
        insta::assert_snapshot!(found.join("\n"), @r"
        /kmod.d/e.conf is a directory
        /kmod.d/b.conf could not be read: Too many levels of symbolic links
        /kmod.d/c.conf could not be read: No such file or directory
        /kmod.d/d.conf is not a regular file
        /kmod.d/f.conf is not a regular file
        /kmod.d/g.conf is larger than 67108864 bytes
        ");
        let found = problems(|dir| symlink("kmod.d", dir.join("kmod.d")).unwrap());
        insta::assert_snapshot!(found.join("\n"), @"/kmod.d could not be read: Too many levels of symbolic links");
    }

    #[test]
    fn missing_files_and_links_to_dev_null_mask_nothing() {
        use std::os::unix::fs::symlink;
        assert_eq!(problems(|_| ()), [""; 0]);
        let found = problems(|dir| {
            fs::create_dir(dir.join("kmod.d")).unwrap();
            symlink("/dev/null", dir.join("kmod.d/a.conf")).unwrap();
        });
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.conf");
        write(path.clone(), "blacklist a\nblacklist b\nblacklist c\n");
        let read = |limit| {
            let mut lines = Vec::new();
            let each = &mut |line: LogicalLine<'_>| {
                lines.push(String::from_utf8_lossy(line.text.unwrap()).into_owned());
                Ok(())
            };
            let result = read_lines_to(&path, limit, each).map_err(|error| error.to_string());
            (lines.join(","), result)
        };
        let too_large = Err(format!("larger than {SIZE_LIMIT} bytes, the rest is ignored"));
        assert_eq!(read(36), ("blacklist a,blacklist b,blacklist c,".to_owned(), Ok(())));
        assert_eq!(read(35), ("blacklist a,blacklist b".to_owned(), too_large.clone()));
        assert_eq!(read(24), ("blacklist a,blacklist b".to_owned(), too_large));
    }

    #[test]
    fn a_file_of_20_mib_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.conf");
        let comment = format!("#{}\n", "x".repeat(1023));
        write(path.clone(), &(comment.repeat(20 << 10) + "blacklist last\n"));
        let (config, warnings) = Config::load(&ConfigSource { paths: vec![path], ..ConfigSource::default() });
        assert_eq!((config.blacklist, warnings.len()), (vec![b"last".to_vec()], 0));
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
