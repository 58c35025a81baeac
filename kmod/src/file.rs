//! Reads whole files from untrusted sources: regular files only (a FIFO could block, and opening a device has side effects), up to a
//! limit, into memory (a mapped file that another process truncates would kill this one).

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::memory;

/// Opens a regular file and returns its size.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    // Checked before it is opened: opening a device can rewind a tape, or make the kernel request a driver.
    must_be_regular(&std::fs::metadata(path)?)?;
    // The file may be replaced in between. Without O_NONBLOCK, opening a FIFO would wait for a writer; regular files ignore the
    // flag.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let data = file.metadata()?;
    must_be_regular(&data)?;
    Ok((file, data.len()))
}

fn must_be_regular(data: &Metadata) -> io::Result<()> {
    if data.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if data.is_file() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")) }
}

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open_regular(path)?;
    read_sized(&file, size, limit)
}

/// Reads an open regular file of at most `limit` bytes, from its start.
pub(crate) fn read_open(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    read_sized(file, file.metadata()?.len(), limit)
}

/// Reads a file whose size was `size` a moment ago. It is an error if there is not enough memory for the content.
fn read_sized(mut file: &File, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes"));
    if size > limit {
        return Err(too_large());
    }
    // One byte more than the size: one read reaches the end, and a growing file is noticed.
    let mut bytes = buffer(size as usize + 1)?;
    let mut filled = 0;
    while filled < bytes.len() {
        match read_once(file, &mut bytes[filled..], filled as u64)? {
            0 => break,
            length => filled += length,
        }
        // The expected size is reached.
        if filled as u64 == size {
            break;
        }
    }
    let grew = filled == bytes.len();
    bytes.truncate(filled);
    if grew {
        file.seek(io::SeekFrom::Start(filled as u64))?;
        let rest = file.take(limit + 1 - filled as u64).read_to_end(&mut bytes);
        // The standard library reports a failed allocation without an errno.
        rest.map_err(|error| if error.kind() == io::ErrorKind::OutOfMemory { out_of_memory(error) } else { error })?;
    }
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Returns a buffer of zeros, or an error if there is not enough memory: sizes come from files.
pub(crate) fn buffer(length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    memory::reserve_exact(&mut bytes, length).map_err(out_of_memory)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// Returns the error for memory that could not be allocated.
pub(crate) fn out_of_memory<E>(_: E) -> io::Error {
    io::Error::from_raw_os_error(libc::ENOMEM)
}

/// Fills a buffer from an offset on.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    if read_at_most(file, buffer, offset)? == buffer.len() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"))
}

/// Calls read(2) once; repeats it after a signal.
fn read_once(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Fills a buffer from an offset on, up to the end of the file. Returns the number of bytes.
pub(crate) fn read_at_most(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_once(file, &mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

/// Copies an error with its number or its text.
pub(crate) fn copy_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Returns `None` if the file does not exist.
pub(crate) fn if_present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_the_limit_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        assert_eq!(read_regular(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert_eq!(read_regular(&fifo, 9).unwrap_err().to_string(), "not a regular file");
        assert_eq!(read_regular(dir.path(), 9).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(if_present(read_regular(&dir.path().join("none"), 9)).unwrap().is_none());
    }

    #[test]
    fn other_files_are_not_even_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // open(2) of a socket fails with a different error, so this text proves a check before it.
        assert_eq!(read_regular(&path, 9).unwrap_err().to_string(), "not a regular file");
    }
}
