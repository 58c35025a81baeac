//! The kernel log through `/dev/kmsg`.
//!
//! The kernel shows a message without a final newline only when the next message is written. So a flush line is
//! written before reading, and read back. It is written through a newly opened file each time, because the kernel
//! silently drops all but ten lines in five seconds written through one open file.

use crate::actions::files;
use crate::status::number;
use crate::sys::strerror;
use crate::time::Moment;
use agent::proto::{GuestMicros, GuestMillis, KmsgRecord};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use std::time::Duration;

const PATH: &[u8] = b"/dev/kmsg";
const FLUSH: &str = "kmodlab: flush ";
/// How long to wait for a flush line to appear in the log.
const FLUSH_LIMIT: GuestMillis = GuestMillis(5000);
/// Longer than any record of the kernel.
const RECORD: usize = 16 << 10;

/// A reader of the log that continues where it stopped, unless older records are requested.
#[derive(Default)]
pub struct Log {
    reader: Option<OwnedFd>,
    /// The first sequence number that the reader has not returned yet.
    position: u64,
    flushes: u64,
}

/// A part of the log.
#[derive(Debug, Default, PartialEq)]
pub struct Part {
    /// The records, without flush lines.
    pub records: Vec<KmsgRecord>,
    /// The sequence number to continue from.
    pub next: u64,
    /// Whether records were overwritten before they could be read.
    pub lost: bool,
}

impl Log {
    /// Reads from sequence number `since` on, after a flush if requested.
    pub fn read(&mut self, since: u64, flush: bool) -> Result<Part, String> {
        let awaited = if flush { Some(self.flush()?) } else { None };
        let reader = self.reader_at(since)?;
        let mut part = Part { next: since, ..Part::default() };
        let mut buffer = vec![0; RECORD];
        let deadline = Moment::after(FLUSH_LIMIT);
        let mut seen = awaited.is_none();
        loop {
            match rustix::io::read(&reader, &mut buffer) {
                Ok(length) => {
                    let record = parse(&buffer[..length])
                        .ok_or_else(|| format!("malformed record in /dev/kmsg: {}", buffer[..length].escape_ascii()))?;
                    self.position = record.seq + 1;
                    seen |= awaited.as_ref().is_some_and(|line| record.text == line.as_bytes());
                    part.add(record);
                }
                // The oldest records were overwritten. The kernel continues with the oldest one left, and its sequence
                // number shows the gap.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(Errno::AGAIN) if seen => break,
                Err(Errno::AGAIN) if deadline.passed() => {
                    return Err("the flush line written to /dev/kmsg did not appear in the log".into());
                }
                Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(1)),
                Err(errno) => return Err(format!("cannot read /dev/kmsg: {}", strerror(errno))),
            }
        }
        self.reader = Some(reader);
        Ok(part)
    }

    /// Writes a flush line and returns it.
    fn flush(&mut self) -> Result<String, String> {
        self.flushes += 1;
        let line = format!("{FLUSH}{}", self.flushes);
        // Facility user, level debug, so that it does not appear on the console.
        let written = files::write(PATH, format!("<15>{line}\n").as_bytes(), OFlags::WRONLY);
        written.map_err(|errno| format!("cannot write the flush line to /dev/kmsg: {}", strerror(errno)))?;
        Ok(line)
    }

    /// Returns a reader positioned at or before `since`. The kernel can only seek to the beginning.
    fn reader_at(&mut self, since: u64) -> Result<OwnedFd, String> {
        let reader = match self.reader.take() {
            Some(reader) if since < self.position => rustix::fs::seek(&reader, SeekFrom::Start(0)).map(|_| reader),
            Some(reader) => Ok(reader),
            None => files::open(PATH, OFlags::RDONLY | OFlags::NONBLOCK),
        };
        reader.map_err(|errno| format!("cannot open /dev/kmsg: {}", strerror(errno)))
    }
}

impl Part {
    fn add(&mut self, record: KmsgRecord) {
        if record.seq < self.next {
            return;
        }
        self.lost |= record.seq > self.next;
        self.next = record.seq + 1;
        if record.facility == 0 || !record.text.starts_with(FLUSH.as_bytes()) {
            self.records.push(record);
        }
    }
}

/// Parses a record: `PRIORITY,SEQ,MICROSECONDS,FLAGS[,…];TEXT`, then lines ` KEY=VALUE`, which are ignored.
fn parse(record: &[u8]) -> Option<KmsgRecord> {
    let semicolon = record.iter().position(|&b| b == b';')?;
    let mut fields = record[..semicolon].split(|&b| b == b',').map(|field| number(field, 10));
    let (priority, seq, time) = (fields.next()??, fields.next()??, fields.next()??);
    let text = record[semicolon + 1..].split(|&b| b == b'\n').next().unwrap_or_default();
    Some(KmsgRecord {
        seq,
        level: (priority & 7) as u8,
        facility: u32::try_from(priority >> 3).ok()?,
        time: GuestMicros(time),
        text: unescape(text),
    })
}

/// Decodes `\xNN`.
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        let escaped = rest.strip_prefix(b"x").and_then(|hex| hex.get(..2)).filter(|_| first == b'\\');
        match escaped.and_then(|hex| number(hex, 16)) {
            Some(byte) => {
                bytes.push(byte as u8);
                text = &rest[3..];
            }
            None => {
                bytes.push(first);
                text = rest;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, facility: u32, text: &[u8]) -> KmsgRecord {
        KmsgRecord { seq, level: 4, facility, time: GuestMicros(0), text: text.to_vec() }
    }

    #[test]
    fn a_record_is_parsed_without_its_dictionary() {
        let line = b"30,1234,5678901,-,caller=T1;name \\x5c\\x0a\\xff;x, y\n SUBSYSTEM=net\n DEVICE=n2\n";
        let expected = KmsgRecord {
            seq: 1234,
            level: 6,
            facility: 3,
            time: GuestMicros(5_678_901),
            text: b"name \\\n\xff;x, y".to_vec(),
        };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse(b"4,7,9,-;\n").map(|r| r.text), Some(vec![]));
        assert_eq!(parse(b"4,7;text\n"), None);
        assert_eq!(parse(b"no record"), None);
    }

    #[test]
    fn text_that_is_not_an_escape_is_unchanged() {
        for text in [&b"\\"[..], b"\\x", b"\\x5", b"\\xzz", b"\\n"] {
            assert_eq!(unescape(text), text);
        }
    }

    #[test]
    fn older_records_and_flush_lines_are_omitted_and_gaps_are_reported() {
        let mut part = Part { next: 10, ..Part::default() };
        part.add(record(9, 0, b"old"));
        part.add(record(10, 0, b"kmodlab: flush 1"));
        part.add(record(11, 1, b"kmodlab: flush 1"));
        assert_eq!((part.next, part.lost), (12, false));
        part.add(record(14, 0, b"late"));
        assert_eq!((part.next, part.lost), (15, true));
        assert_eq!(part.records, [record(10, 0, b"kmodlab: flush 1"), record(14, 0, b"late")]);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let _ = (parse(&bytes), unescape(&bytes));
            Ok(())
        });
    }
}
