//! Reads the kernel log during an operation, from `/dev/kmsg`: each read(2) returns one record.

use crate::sys::open_device;
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

/// The size of the read buffer. A record has at most 1024 bytes of text, followed by keys and values.
const RECORD_LIMIT: usize = 8192;

/// The number of records to read. It exceeds what one refused module causes and bounds the work on a busy log.
const RECORDS: usize = 1000;

/// The kernel log from a certain record on.
#[derive(Debug)]
pub(crate) struct KernelLog(OwnedFd);

impl KernelLog {
    /// Opens the log at the next record that the kernel writes.
    pub(crate) fn at_end() -> Result<Self, Errno> {
        let kmsg = open_device("/dev/kmsg", (1, 11), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC)?;
        rustix::fs::seek(&kmsg, SeekFrom::End(0))?;
        Ok(Self(kmsg))
    }

    /// Returns the texts of the records written since.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut record = vec![0; RECORD_LIMIT];
        for _ in 0..RECORDS {
            match rustix::io::read(&self.0, &mut record) {
                Ok(0) => break,
                Ok(length) => lines.extend(text(record.get(..length).unwrap_or_default())),
                // EPIPE: records were overwritten; the next read returns the oldest one. EINVAL: the record exceeds the buffer.
                Err(Errno::PIPE | Errno::INTR | Errno::INVAL) => {}
                Err(_) => break,
            }
        }
        lines
    }
}

/// Extracts the text of a record, `PRIORITY,SEQUENCE,TIME,FLAGS[,…];TEXT\n KEY=VALUE\n…`. The kernel escapes bytes that are not
/// printable as `\xNN`.
fn text(record: &[u8]) -> Option<Vec<u8>> {
    let start = record.iter().position(|&b| b == b';')? + 1;
    let mut rest = record[start..].split(|&b| b == b'\n').next().unwrap_or_default();
    let mut text = Vec::with_capacity(rest.len());
    while let Some(&byte) = rest.first() {
        let escaped = rest.strip_prefix(b"\\x").and_then(|digits| digits.get(..2)).and_then(hexadecimal);
        text.push(escaped.unwrap_or(byte));
        rest = &rest[if escaped.is_some() { 4 } else { 1 }..];
    }
    Some(text)
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_extracted_from_a_record() {
        assert_eq!(
            text(b"4,1234,98765,-;m: Unknown symbol f; x (err -2)\n SUBSYSTEM=x\n").unwrap(),
            b"m: Unknown symbol f; x (err -2)"
        );
        assert_eq!(text(b"6,1,2,-;").unwrap(), b"");
        assert_eq!(text(b"6,1,2,-;\\x7fELF \\x5c \\xz \\x").unwrap(), b"\x7fELF \\ \\xz \\x");
        assert_eq!(text(b"garbage"), None);
    }
}
