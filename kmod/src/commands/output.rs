//! Writes bytes to standard output and standard error. Unlike `println!`, nothing here panics.
//!
//! A failed write does not end a tool: what it loads, removes or writes must not depend on who reads its output.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdout};

/// Standard output, buffered.
#[derive(Debug)]
pub struct Output {
    pending: Vec<u8>,
    /// False if descriptor 1 was closed at startup: whatever it refers to now must not be written to.
    open: bool,
    error: Option<Errno>,
}

impl Output {
    /// Returns standard output; `open` is false if it was closed at startup.
    #[must_use]
    pub fn new(open: bool) -> Self {
        Self { pending: Vec::new(), open, error: None }
    }

    /// Writes bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() > 64 << 10 {
            self.push();
        }
    }

    /// Writes a line and empties the buffer: a step is printed before it is taken.
    pub fn line_now(&mut self, line: &[u8]) {
        self.write(&[line, b"\n"].concat());
        self.push();
    }

    /// Discards the output if standard output is a pipe without readers, before a command that shares it runs.
    pub fn detect_missing_reader(&mut self) {
        let stdout = stdout();
        let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
        let gone = PollFlags::ERR | PollFlags::HUP;
        if self.open
            && self.error.is_none()
            && poll(&mut descriptors, Some(&Timespec::default())).is_ok()
            && descriptors[0].revents().intersects(gone)
        {
            self.fail(Errno::PIPE);
        }
    }

    /// Empties the buffer. That the reader of a pipe is gone is not an error.
    ///
    /// # Errors
    /// The first error of any write so far, after a message on standard error.
    pub fn flush(&mut self) -> Result<(), Errno> {
        self.push();
        match self.error {
            None | Some(Errno::PIPE) => Ok(()),
            Some(errno) => {
                print_error(&format!("could not write to standard output: {}\n", crate::sys::strerror(errno)));
                Err(errno)
            }
        }
    }

    fn push(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if self.open && self.error.is_none() {
            if let Err(errno) = write_all(stdout(), &pending) {
                self.fail(errno);
            }
        }
    }

    fn fail(&mut self, errno: Errno) {
        self.error = Some(errno);
        if errno == Errno::PIPE {
            let _best_effort = crate::sys::discard_standard_output();
        }
    }
}

/// Writes to standard error. There is no way to report a failure of that.
pub fn print_error(text: &str) {
    let _ignored = write_all(stderr(), text.as_bytes());
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
