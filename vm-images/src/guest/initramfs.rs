//! A deterministic initramfs: an uncompressed newc archive whose bytes depend only on its contents.
//!
//! Inode numbers are consecutive, times are 0, owners are root, and entries are sorted, so that parents precede children.
//! Files with the same mode and content are stored once, as hard links, except small ones: a guest that edits one small
//! file must not change another. Format: Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files smaller than this are never shared.
const SHARE_FROM: usize = 4096;
/// The kernel skips entries whose name including NUL is longer than PATH_MAX.
const NAME_LIMIT: usize = 4096;

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// The archive cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A file of the host cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel would skip the path, or the path is outside the archive's root.
    #[error("invalid path in an initramfs: {}: {reason}", path.display())]
    Path {
        /// The path in the guest.
        path: PathBuf,
        /// The reason.
        reason: &'static str,
    },
    /// The file is too large for the format.
    #[error("{} is larger than 4 GiB, the limit of an initramfs", path.display())]
    TooLarge {
        /// The path in the guest.
        path: PathBuf,
    },
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file of the host, read when the archive is built.
    Host(PathBuf),
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content::Bytes(bytes)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Content {
        Content::Bytes(bytes.to_vec())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Content {
        Content::Bytes(text.as_bytes().to_vec())
    }
}

impl From<PathBuf> for Content {
    fn from(path: PathBuf) -> Content {
        Content::Host(path)
    }
}

impl From<&Path> for Content {
    fn from(path: &Path) -> Content {
        Content::Host(path.to_owned())
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Dir { mode: u32 },
    File { mode: u32, content: Content },
    Symlink { target: Vec<u8> },
    Node { mode: u32, major: u32, minor: u32 },
}

/// A collection of entries. Paths are absolute paths in the guest. Missing parents are added with mode 0755. A later entry
/// replaces an earlier one with the same path.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Builder {
    /// Creates an empty archive.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Adds a directory. `mode` contains only permissions.
    pub fn dir(&mut self, path: impl Into<PathBuf>, mode: u32) -> &mut Builder {
        self.insert(path.into(), Entry::Dir { mode: mode & 0o7777 })
    }

    /// Adds a regular file. `mode` contains only permissions.
    pub fn file(&mut self, path: impl Into<PathBuf>, mode: u32, content: impl Into<Content>) -> &mut Builder {
        self.insert(path.into(), Entry::File { mode: mode & 0o7777, content: content.into() })
    }

    /// Adds a symlink.
    pub fn symlink(&mut self, path: impl Into<PathBuf>, target: impl AsRef<[u8]>) -> &mut Builder {
        self.insert(path.into(), Entry::Symlink { target: target.as_ref().to_vec() })
    }

    /// Adds a device, FIFO or socket. `mode` contains the type (such as `S_IFCHR`) and the permissions.
    pub fn node(&mut self, path: impl Into<PathBuf>, mode: u32, major: u32, minor: u32) -> &mut Builder {
        self.insert(path.into(), Entry::Node { mode, major, minor })
    }

    /// Adds a host directory and everything in it: directories, files with their permissions, symlinks.
    pub fn tree(&mut self, guest_dir: impl AsRef<Path>, host_dir: &Path) -> Result<&mut Builder, InitramfsError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| InitramfsError::Read { path, source }
        };
        let mut todo = vec![(guest_dir.as_ref().to_owned(), host_dir.to_owned())];
        while let Some((guest, host)) = todo.pop() {
            let meta = fs::symlink_metadata(&host).map_err(read(&host))?;
            let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
            if meta.is_symlink() {
                let target = fs::read_link(&host).map_err(read(&host))?;
                self.symlink(guest, target.as_os_str().as_encoded_bytes());
            } else if meta.is_dir() {
                for entry in fs::read_dir(&host).map_err(read(&host))? {
                    let name = entry.map_err(read(&host))?.file_name();
                    todo.push((guest.join(&name), host.join(&name)));
                }
                self.dir(guest, mode);
            } else if meta.is_file() {
                self.file(guest, mode, host);
            }
        }
        Ok(self)
    }

    fn insert(&mut self, path: PathBuf, entry: Entry) -> &mut Builder {
        let path = path.strip_prefix("/").map(Path::to_owned).unwrap_or(path);
        self.entries.insert(path, entry);
        self
    }

    /// Reads the host's files and returns the archive.
    pub fn build(&self) -> Result<Vec<u8>, InitramfsError> {
        let mut entries: BTreeMap<&Path, Loaded<'_>> = BTreeMap::new();
        for (path, entry) in &self.entries {
            check(path)?;
            for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
                entries.entry(parent).or_insert(Loaded::Dir { mode: 0o755 });
            }
            entries.insert(path, load(path, entry)?);
        }
        Ok(write(&entries))
    }
}

enum Loaded<'a> {
    Dir { mode: u32 },
    File { mode: u32, bytes: std::borrow::Cow<'a, [u8]> },
    Symlink { target: &'a [u8] },
    Node { mode: u32, major: u32, minor: u32 },
}

fn check(path: &Path) -> Result<(), InitramfsError> {
    use std::path::Component;
    let reject = |reason| Err(InitramfsError::Path { path: Path::new("/").join(path), reason });
    let name = path.as_os_str().as_encoded_bytes();
    if name.is_empty() || path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return reject("not a normalised path below /");
    }
    if name.contains(&0) {
        return reject("contains NUL");
    }
    if name.len() >= NAME_LIMIT {
        return reject("longer than 4095 bytes");
    }
    if name == TRAILER.as_bytes() {
        return reject("the name marks the end of the archive");
    }
    Ok(())
}

fn load<'a>(path: &Path, entry: &'a Entry) -> Result<Loaded<'a>, InitramfsError> {
    Ok(match entry {
        Entry::Dir { mode } => Loaded::Dir { mode: *mode },
        Entry::Symlink { target } => Loaded::Symlink { target },
        &Entry::Node { mode, major, minor } => Loaded::Node { mode, major, minor },
        Entry::File { mode, content } => {
            let bytes: std::borrow::Cow<'_, [u8]> = match content {
                Content::Bytes(bytes) => bytes.into(),
                Content::Host(host) => {
                    fs::read(host).map_err(|source| InitramfsError::Read { path: host.clone(), source })?.into()
                }
            };
            if u32::try_from(bytes.len()).is_err() {
                return Err(InitramfsError::TooLarge { path: Path::new("/").join(path) });
            }
            Loaded::File { mode: *mode, bytes }
        }
    })
}

const TRAILER: &str = "TRAILER!!!";

fn write(entries: &BTreeMap<&Path, Loaded<'_>>) -> Vec<u8> {
    // Of each set of equal files the last one contains the bytes, as in archives written by cpio.
    let mut same: HashMap<(u32, &[u8]), Vec<&Path>> = HashMap::new();
    for (path, entry) in entries {
        match entry {
            Loaded::File { mode, bytes } if bytes.len() >= SHARE_FROM => {
                same.entry((*mode, bytes)).or_default().push(path);
            }
            _ => {}
        }
    }
    let mut shared_inode: HashMap<(u32, &[u8]), u32> = HashMap::new();
    let mut archive = Archive { bytes: Vec::new(), inode: 0 };
    for (path, entry) in entries {
        let name = path.as_os_str().as_encoded_bytes();
        match entry {
            Loaded::Dir { mode } => archive.entry(name, S_IFDIR | mode, 2, (0, 0), b""),
            Loaded::Symlink { target } => archive.entry(name, S_IFLNK | 0o777, 1, (0, 0), target),
            Loaded::Node { mode, major, minor } => archive.entry(name, *mode, 1, (*major, *minor), b""),
            Loaded::File { mode, bytes } => {
                let key = (*mode, &bytes[..]);
                match same.get(&key) {
                    Some(paths) if paths.len() > 1 => {
                        let inode = *shared_inode.entry(key).or_insert_with(|| archive.next_inode());
                        let data = if paths.last() == Some(path) { &bytes[..] } else { b"" };
                        archive.raw(name, inode, S_IFREG | mode, paths.len() as u32, (0, 0), data);
                    }
                    _ => archive.entry(name, S_IFREG | mode, 1, (0, 0), bytes),
                }
            }
        }
    }
    archive.raw(TRAILER.as_bytes(), 0, 0, 1, (0, 0), b"");
    archive.bytes.resize(archive.bytes.len().next_multiple_of(512), 0);
    archive.bytes
}

struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn next_inode(&mut self) -> u32 {
        self.inode += 1;
        self.inode
    }

    fn entry(&mut self, name: &[u8], mode: u32, links: u32, device: (u32, u32), data: &[u8]) {
        let inode = self.next_inode();
        self.raw(name, inode, mode, links, device, data);
    }

    fn raw(&mut self, name: &[u8], inode: u32, mode: u32, links: u32, device: (u32, u32), data: &[u8]) {
        // inode, mode, uid, gid, links, mtime, size, device, special device, name size, checksum (unused).
        let fields =
            [inode, mode, 0, 0, links, 0, data.len() as u32, 0, 0, device.0, device.1, name.len() as u32 + 1, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Builder {
        let program = vec![b'x'; SHARE_FROM];
        let mut builder = Builder::new();
        builder
            .file("/init", 0o755, program.clone())
            .file("/bin/agent", 0o755, program.clone())
            .file("/bin/other-mode", 0o700, program)
            .file("/lib/modules/6.1/modules.dep", 0o644, "")
            .file("/lib/modules/6.1/modules.order", 0o644, "")
            .symlink("/sbin/modprobe", "kmod")
            .node("/dev/console", 0o020_600, 5, 1)
            .dir("/tmp", 0o1777);
        builder
    }

    /// Lists the archive, one entry per line.
    fn listing(archive: &[u8]) -> String {
        let mut text = String::new();
        let mut at = 0;
        loop {
            let header = &archive[at..at + 110];
            assert_eq!(&header[..6], b"070701");
            let field = |number: usize| {
                let digits = std::str::from_utf8(&header[6 + number * 8..14 + number * 8]).unwrap();
                u32::from_str_radix(digits, 16).unwrap() as usize
            };
            let name = &archive[at + 110..at + 110 + field(11) - 1];
            let data = (at + 110 + field(11)).next_multiple_of(4);
            if name == TRAILER.as_bytes() {
                assert!(archive[data..].iter().all(|&byte| byte == 0));
                return text;
            }
            let target = match field(1) as u32 & 0o170_000 {
                S_IFLNK => format!(" -> {}", String::from_utf8_lossy(&archive[data..data + field(6)])),
                _ => String::new(),
            };
            text.push_str(&format!(
                "{:>3} {:06o} links {} size {:>5} device {}:{} time {} {}{target}\n",
                field(0),
                field(1),
                field(4),
                field(6),
                field(9),
                field(10),
                field(5),
                String::from_utf8_lossy(name),
            ));
            at = (data + field(6)).next_multiple_of(4);
        }
    }

    #[test]
    fn the_archive_contains_the_added_entries() {
        insta::assert_snapshot!(listing(&sample().build().unwrap()));
    }

    #[test]
    fn the_archive_does_not_depend_on_the_order_of_additions() {
        let mut reversed = Builder::new();
        for (path, entry) in sample().entries.into_iter().rev() {
            reversed.insert(path, entry);
        }
        assert_eq!(sample().build().unwrap(), reversed.build().unwrap());
    }

    #[test]
    fn a_host_directory_is_added_with_its_contents() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir(host.path().join("sub")).unwrap();
        fs::write(host.path().join("sub/file"), "text").unwrap();
        std::os::unix::fs::symlink("sub/file", host.path().join("link")).unwrap();
        let mut builder = Builder::new();
        builder.tree("/data", host.path()).unwrap();
        let text = listing(&builder.build().unwrap());
        let names: Vec<&str> = text.lines().filter_map(|line| line.split(" time 0 ").nth(1)).collect();
        assert_eq!(names, ["data", "data/link -> sub/file", "data/sub", "data/sub/file"]);
    }

    #[test]
    fn an_invalid_path_is_an_error() {
        for path in ["", "/", "/a/../b", "/TRAILER!!!", "/nul\0"] {
            let mut builder = Builder::new();
            builder.file(path, 0o644, "");
            assert!(matches!(builder.build(), Err(InitramfsError::Path { .. })), "{path:?}");
        }
    }

    #[test]
    fn a_missing_host_file_is_an_error() {
        let mut builder = Builder::new();
        builder.file("/init", 0o755, Path::new("/nonexistent/init"));
        let error = builder.build().unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nonexistent/init");
        assert!(std::error::Error::source(&error).is_some());
    }
}
