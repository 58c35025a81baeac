//! Files, directories and mounts.

use super::c_string;
use agent::proto::FileStat;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Converts `O_*` bits; close-on-exec is always set.
pub fn flags(bits: i32) -> OFlags {
    OFlags::from_bits_retain(bits as u32) | OFlags::CLOEXEC
}

/// Converts `O_*` bits for a file that is written: `O_WRONLY`, unless `O_RDWR` is requested.
pub fn for_writing(bits: i32) -> OFlags {
    let flags = flags(bits);
    if flags.contains(OFlags::RDWR) { flags } else { flags | OFlags::WRONLY }
}

/// open(2), mode 0644.
pub fn open(path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)
}

/// open, one write(2), close.
pub fn write(path: &[u8], data: &[u8], flags: OFlags) -> Result<usize> {
    rustix::io::write(open(path, flags)?, data)
}

/// open, one write(2) or pwrite(2) for each piece, close.
pub fn write_many(path: &[u8], pieces: &[(Option<u64>, Vec<u8>)], flags: OFlags) -> Result<Vec<i64>> {
    let file = open(path, flags)?;
    let number = |written: Result<usize>| match written {
        Ok(n) => n as i64,
        Err(errno) => -i64::from(errno.raw_os_error()),
    };
    Ok(pieces
        .iter()
        .map(|(offset, data)| match offset {
            Some(offset) => number(rustix::io::pwrite(&file, data, *offset)),
            None => number(rustix::io::write(&file, data)),
        })
        .collect())
}

/// Writes all of `data`, with as many write(2) calls as necessary.
pub fn write_whole(file: impl AsFd, mut data: &[u8]) -> Result<()> {
    while !data.is_empty() {
        match rustix::io::write(&file, data) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => data = &data[n..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads a file from its current position to its end, at most `max` bytes.
fn read_to_end(file: impl AsFd, max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < max {
        let filled = bytes.len();
        // Start small: most files are short ones in /proc.
        bytes.resize(max.min(filled + filled.clamp(4096, 1 << 20)), 0);
        let got = rustix::io::read(&file, &mut bytes[filled..]);
        bytes.truncate(filled + *got.as_ref().unwrap_or(&0));
        match got {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(bytes)
}

/// Reads an open file from `offset` to its end.
pub fn read_whole(file: impl AsFd, offset: u64) -> Result<Vec<u8>> {
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(offset))?;
    read_to_end(file, usize::MAX)
}

/// Opens a file and reads it to its end, at most `max` bytes.
pub fn read(path: &[u8], max: usize) -> Result<Vec<u8>> {
    read_to_end(open(path, OFlags::RDONLY)?, max)
}

/// open, one read(2) or pread(2) for each piece, close.
pub fn read_many(path: &[u8], pieces: &[(Option<u64>, u32)]) -> Result<Vec<Vec<u8>>> {
    let file = open(path, OFlags::RDONLY)?;
    let read = |(offset, length): &(Option<u64>, u32)| {
        let mut buffer = vec![0; *length as usize];
        let got = match offset {
            Some(offset) => rustix::io::pread(&file, &mut buffer[..], *offset),
            None => rustix::io::read(&file, &mut buffer[..]),
        }?;
        buffer.truncate(got);
        Ok(buffer)
    };
    pieces.iter().map(read).collect()
}

/// Lists the names in a directory, sorted, without `.` and `..`.
pub fn list(path: &[u8]) -> Result<Vec<Vec<u8>>> {
    names(open(path, OFlags::RDONLY | OFlags::DIRECTORY)?)
}

/// Lists the names in an open directory, sorted, without `.` and `..`. Opens no other descriptor.
pub fn names(directory: OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::new(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Creates a directory and its parents, mode 0755.
pub fn make_directories(path: &[u8]) -> Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    for end in (1..=path.len()).filter(|&end| path.get(end).is_none_or(|&b| b == b'/')) {
        match rustix::fs::mkdir(&path[..end], mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    if FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode).is_dir() { Ok(()) } else { Err(Errno::NOTDIR) }
}

/// Removes a file, a link, or a directory with everything in it.
pub fn remove(path: &[u8]) -> Result<()> {
    match rustix::fs::unlink(path) {
        Err(Errno::ISDIR) => {}
        done => return done,
    }
    std::fs::remove_dir_all(OsStr::from_bytes(path))
        .map_err(|error| error.raw_os_error().map_or(Errno::INVAL, Errno::from_raw_os_error))
}

/// chmod(2).
pub fn chmod(path: &[u8], mode: u32) -> Result<()> {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode & 0o7777))
}

/// lstat(2).
pub fn stat(path: &[u8]) -> Result<FileStat> {
    let stat = rustix::fs::lstat(path)?;
    Ok(FileStat { mode: stat.st_mode, size: stat.st_size as u64, uid: stat.st_uid, gid: stat.st_gid })
}

/// mknod(2), then chmod(2). The umask of PID 1 is not changed, because the kernel's helpers inherit it.
pub fn make_node(path: &[u8], mode: u32, major: u32, minor: u32) -> Result<()> {
    let permissions = Mode::from_raw_mode(mode & 0o7777);
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, path, FileType::from_raw_mode(mode), permissions, device)?;
    rustix::fs::chmod(path, permissions)
}

/// mount(2).
pub fn mount(source: &[u8], target: &[u8], fstype: &[u8], flags: u64, data: &[u8]) -> Result<()> {
    let flags = MountFlags::from_bits_retain(u32::try_from(flags).map_err(|_| Errno::INVAL)?);
    let data = if data.is_empty() { None } else { Some(c_string(data)?) };
    rustix::mount::mount(source, target, fstype, flags, data.as_deref())
}

/// umount2(2).
pub fn unmount(target: &[u8], flags: i32) -> Result<()> {
    rustix::mount::unmount(target, UnmountFlags::from_bits_retain(flags as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(directory: &tempfile::TempDir, name: &str) -> Vec<u8> {
        directory.path().join(name).into_os_string().into_encoded_bytes()
    }

    #[test]
    fn a_directory_tree_is_created_listed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (top, deep) = (inside(&directory, "a"), inside(&directory, "a//b/c"));
        make_directories(&deep).unwrap();
        make_directories(&deep).unwrap();
        assert_eq!(write(&inside(&directory, "a/z"), b"data", for_writing(libc::O_CREAT)), Ok(4));
        assert_eq!(list(&top).unwrap(), [b"b".to_vec(), b"z".to_vec()]);
        remove(&top).unwrap();
        assert_eq!(stat(&top), Err(Errno::NOENT));
        assert_eq!(remove(&top), Err(Errno::NOENT));
    }

    #[test]
    fn a_directory_cannot_be_created_where_a_file_exists() {
        let directory = tempfile::tempdir().unwrap();
        let file = inside(&directory, "file");
        write(&file, b"", for_writing(libc::O_CREAT)).unwrap();
        assert_eq!(make_directories(&file), Err(Errno::NOTDIR));
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let file = inside(&directory, "file");
        let data = vec![7; 10_000];
        write(&file, &data, for_writing(libc::O_CREAT)).unwrap();
        assert_eq!(read(&file, 5000).unwrap().len(), 5000);
        assert_eq!(read(&file, 20_000).unwrap(), data);
        assert_eq!(read(&file, 0).unwrap(), b"");
    }

    #[test]
    fn pieces_are_written_in_order_and_at_their_offsets() {
        let directory = tempfile::tempdir().unwrap();
        let file = inside(&directory, "file");
        let pieces = [(None, b"abcdef".to_vec()), (Some(1), b"XY".to_vec()), (None, b"g".to_vec())];
        assert_eq!(write_many(&file, &pieces, for_writing(libc::O_CREAT)), Ok(vec![6, 2, 1]));
        assert_eq!(read(&file, 100).unwrap(), b"aXYdefg");
    }

    #[test]
    fn pieces_are_read_in_order_and_at_their_offsets() {
        let directory = tempfile::tempdir().unwrap();
        let file = inside(&directory, "file");
        write(&file, b"abcdef", for_writing(libc::O_CREAT)).unwrap();
        let pieces = [(None, 2), (Some(4), 9), (None, 3), (Some(6), 1), (None, 0)];
        assert_eq!(read_many(&file, &pieces).unwrap(), [&b"ab"[..], b"ef", b"cde", b"", b""]);
    }

    #[test]
    fn a_path_that_contains_nul_is_an_error() {
        assert_eq!(open(b"/a\0b", OFlags::RDONLY).map(drop), Err(Errno::INVAL));
        assert_eq!(remove(b"/a\0b"), Err(Errno::INVAL));
    }
}
