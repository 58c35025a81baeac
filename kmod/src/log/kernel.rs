//! Reading what the kernel logs while something is tried, from `/dev/kmsg`: each read(2) gives one record.

use crate::sys::open_device;
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

/// A record has at most 1024 bytes of text, and keys and values behind it.
const RECORD_LIMIT: usize = 8192;

/// More records than one refused module leaves; a machine that logs without end must not keep us.
const RECORDS: usize = 1000;

/// The kernel's log from a certain record on.
#[derive(Debug)]
pub(crate) struct KernelLog(OwnedFd);

impl KernelLog {
    /// From the next record on that the kernel will write.
    pub(crate) fn at_end() -> Result<Self, Errno> {
        let kmsg = open_device("/dev/kmsg", (1, 11), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC)?;
        rustix::fs::seek(&kmsg, SeekFrom::End(0))?;
        Ok(Self(kmsg))
    }

    /// The texts of the records that have come since.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut record = vec![0; RECORD_LIMIT];
        for _ in 0..RECORDS {
            match rustix::io::read(&self.0, &mut record) {
                Ok(0) => break,
                Ok(length) => lines.extend(text(record.get(..length).unwrap_or_default())),
                // Overwritten before it was read: the next one is there. Or longer than any can be: it is passed over.
                Err(Errno::PIPE | Errno::INTR | Errno::INVAL) => {}
                Err(_) => break,
            }
        }
        lines
    }
}

/// The text of `PRIORITY,SEQUENCE,TIME,FLAGS[,…];TEXT\n KEY=VALUE\n…`; bytes that are not printable stand there as `\xNN`.
fn text(record: &[u8]) -> Option<Vec<u8>> {
    let start = record.iter().position(|&b| b == b';')? + 1;
    let text = record[start..].split(|&b| b == b'\n').next().unwrap_or_default();
    Some(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_text_alone() {
        assert_eq!(
            text(b"4,1234,98765,-;m: Unknown symbol f; x (err -2)\n SUBSYSTEM=x\n").unwrap(),
            b"m: Unknown symbol f; x (err -2)"
        );
        assert_eq!(text(b"6,1,2,-;").unwrap(), b"");
        assert_eq!(text(b"garbage"), None);
    }
}
