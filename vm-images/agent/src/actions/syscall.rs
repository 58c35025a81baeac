//! Any system call, with the buffers to which its arguments point.

use crate::sys;
use agent::proto::Argument;
use rustix::io::{Errno, Result};

/// Makes a system call with at most six arguments; EINVAL for more.
pub fn call(number: i64, arguments: &[Argument]) -> Result<i64> {
    let mut buffers = Buffers::default();
    let mut words = [0; 6];
    if arguments.len() > words.len() {
        return Err(Errno::INVAL);
    }
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = buffers.word(argument);
    }
    sys::system_call(number, words)
}

/// The memory to which arguments point. A buffer has a stable address, since it is on the heap and never grows.
#[derive(Default)]
struct Buffers {
    bytes: Vec<Vec<u8>>,
    arrays: Vec<Vec<u64>>,
}

impl Buffers {
    /// Returns an argument as the kernel expects it: a number, or the address of a buffer.
    fn word(&mut self, argument: &Argument) -> u64 {
        match argument {
            Argument::Number(number) => *number,
            Argument::Bytes(bytes) => {
                let buffer = bytes.clone();
                let address = buffer.as_ptr().expose_provenance();
                self.bytes.push(buffer);
                address as u64
            }
            Argument::Array(items) => {
                let array: Vec<u64> = items.iter().map(|item| self.word(item)).collect();
                let address = array.as_ptr().expose_provenance();
                self.arrays.push(array);
                address as u64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: impl TryInto<u64>) -> Argument {
        Argument::Number(number.try_into().unwrap_or_default())
    }

    #[test]
    fn numbers_and_bytes_reach_the_kernel() {
        assert_eq!(call(libc::SYS_getpid, &[]), Ok(i64::from(std::process::id())));
        let path = Argument::Bytes(b"/nonexistent\0".to_vec());
        assert_eq!(call(libc::SYS_access, &[path, number(0)]), Err(Errno::NOENT));
        assert_eq!(call(libc::SYS_access, &[Argument::Bytes(b"/\0".to_vec()), number(0)]), Ok(0));
    }

    #[test]
    fn an_array_contains_addresses_of_buffers() {
        let pieces = Argument::Array(vec![
            Argument::Bytes(b"two ".to_vec()),
            number(4),
            Argument::Bytes(b"pieces".to_vec()),
            number(6),
        ]);
        let (read, write) = rustix::pipe::pipe().unwrap();
        let fd = number(rustix::fd::AsRawFd::as_raw_fd(&write));
        assert_eq!(call(libc::SYS_writev, &[fd, pieces, number(2)]), Ok(10));
        let mut buffer = [0; 16];
        assert_eq!(rustix::io::read(&read, &mut buffer), Ok(10));
        assert_eq!(&buffer[..10], b"two pieces");
    }

    #[test]
    fn a_system_call_has_at_most_six_arguments() {
        assert_eq!(call(libc::SYS_getpid, &vec![number(0); 7]), Err(Errno::INVAL));
    }
}
