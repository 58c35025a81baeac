//! Standard output and standard error as bytes, without the panics of `println!`.

use rustix::io::Errno;
use rustix::stdio::{stderr, stdout};

/// Standard output, collected and written in one go.
#[derive(Debug)]
pub struct Output {
    pending: Vec<u8>,
    /// Nobody listens when descriptor 1 was closed at start: what stands there now is not ours to write to.
    open: bool,
    error: Option<Errno>,
}

impl Output {
    /// Standard output; not `open` when it was closed at start.
    #[must_use]
    pub fn new(open: bool) -> Self {
        Self { pending: Vec::new(), open, error: None }
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() > 64 << 10 {
            self.push();
        }
    }

    /// Adds a line and writes all there is: what is announced must be seen before it is done.
    pub fn line_now(&mut self, line: &[u8]) {
        self.write(&[line, b"\n"].concat());
        self.push();
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The first error of any write so far, told on standard error.
    pub fn flush(&mut self) -> Result<(), Errno> {
        self.push();
        match self.error {
            Some(errno) => {
                complain(&format!("could not write to standard output: {}\n", crate::sys::strerror(errno)));
                Err(errno)
            }
            None => Ok(()),
        }
    }

    fn push(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if self.open && self.error.is_none() {
            self.error = write_all(stdout(), &pending).err();
        }
    }
}

/// Writes to standard error, as far as it goes.
pub fn complain(text: &str) {
    let _nobody_is_left_to_tell = write_all(stderr(), text.as_bytes());
}

fn write_all(descriptor: rustix::fd::BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(descriptor, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
