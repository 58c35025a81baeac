//! Reading a whole file that others wrote: regular files only (no FIFO can make us wait, no device be touched), up to a
//! limit, into memory (a file that is mapped and truncated by another would kill us).

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a regular file, and gives its size.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    // Looked at before it is opened: the open of a device may rewind a tape, or make the kernel ask for a driver.
    must_be_regular(&std::fs::metadata(path)?)?;
    // It may have been replaced in between. Without O_NONBLOCK the open of a FIFO would wait for a writer; regular files do
    // not know the flag.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let data = file.metadata()?;
    must_be_regular(&data)?;
    Ok((file, data.len()))
}

fn must_be_regular(data: &Metadata) -> io::Result<()> {
    if data.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if data.is_file() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")) }
}

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open_regular(path)?;
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes"));
    if size > limit {
        return Err(too_large());
    }
    // One byte more than it should have: then one read finds the end, and growth is seen.
    let mut bytes = vec![0; size as usize + 1];
    let mut filled = 0;
    while filled < bytes.len() {
        match read_once(&file, &mut bytes[filled..], filled as u64)? {
            0 => break,
            length => filled += length,
        }
        // A file that has the size that it was said to have is complete.
        if filled as u64 == size {
            break;
        }
    }
    let grew = filled == bytes.len();
    bytes.truncate(filled);
    if grew {
        (&file).seek(io::SeekFrom::Start(filled as u64))?;
        file.take(limit + 1 - filled as u64).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// What one read(2) gives, signals aside.
fn read_once(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Fills a buffer from an offset on as far as the file goes; gives how far.
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

/// An error once more, with its number or its text.
pub(crate) fn copy_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// `None` when there is no such file.
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
    fn a_file_up_to_the_limit_is_read_and_a_larger_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        assert_eq!(read_regular(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
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
    fn what_is_no_regular_file_is_not_even_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // open(2) of a socket fails with an error of its own, so this text can only come from a look before it.
        assert_eq!(read_regular(&path, 9).unwrap_err().to_string(), "not a regular file");
    }
}
