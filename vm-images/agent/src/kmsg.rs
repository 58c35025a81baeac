//! The kernel log through `/dev/kmsg`.
//!
//! Some kernel lines have no newline at their end, and their record is shown only when the next one is
//! written. So before reading a line is written and read back. It goes through a newly opened file each
//! time, because the kernel drops all but ten lines in five seconds of one open file, and says nothing.

use crate::actions::files;
use crate::status::number;
use crate::time::Moment;
use agent::proto::{GuestMicros, GuestMillis, KmsgRecord};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use std::time::Duration;

const PATH: &[u8] = b"/dev/kmsg";
const FLUSH: &str = "kmodlab: flush ";
/// How long a flush line may take to come back.
const PATIENCE: GuestMillis = GuestMillis(5000);
/// Longer than any record that the kernel hands out.
const RECORD: usize = 16 << 10;

/// Reads the log on from where it stopped, as long as nobody wants something older.
#[derive(Default)]
pub struct Log {
    reader: Option<OwnedFd>,
    /// First sequence number that the reader has not seen.
    position: u64,
    flushes: u64,
}

/// What was read.
#[derive(Debug, Default, PartialEq)]
pub struct Part {
    /// Records, the flush lines left out.
    pub records: Vec<KmsgRecord>,
    /// Ask from here the next time.
    pub next: u64,
    /// Records were overwritten before they could be read.
    pub lost: bool,
}

impl Log {
    /// Reads from sequence number `since` on, if asked to after a flush.
    pub fn read(&mut self, since: u64, flush: bool) -> Result<Part, String> {
        let awaited = if flush { Some(self.flush()?) } else { None };
        let reader = self.reader_at(since)?;
        let mut part = Part { next: since, ..Part::default() };
        let mut buffer = vec![0; RECORD];
        let deadline = Moment::after(PATIENCE);
        let mut seen = awaited.is_none();
        loop {
            match rustix::io::read(&reader, &mut buffer) {
                Ok(length) => {
                    let record = parse(&buffer[..length])
                        .ok_or_else(|| format!("/dev/kmsg gave no record: {}", buffer[..length].escape_ascii()))?;
                    self.position = record.seq + 1;
                    seen |= awaited.as_ref().is_some_and(|line| record.text == line.as_bytes());
                    part.add(record);
                }
                // The oldest were overwritten; the kernel goes on with the oldest that is left. The gap is seen there.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(Errno::AGAIN) if seen => break,
                Err(Errno::AGAIN) if deadline.passed() => {
                    return Err("the flush line that was written to /dev/kmsg did not come back".into());
                }
                Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(1)),
                Err(errno) => return Err(format!("/dev/kmsg cannot be read: {errno}")),
            }
        }
        self.reader = Some(reader);
        Ok(part)
    }

    /// Writes a flush line; returns it.
    fn flush(&mut self) -> Result<String, String> {
        self.flushes += 1;
        let line = format!("{FLUSH}{}", self.flushes);
        // Facility user, level debug: it need not appear on the console.
        let written = files::write(PATH, format!("<15>{line}\n").as_bytes(), OFlags::WRONLY);
        written.map_err(|errno| format!("the flush line cannot be written to /dev/kmsg: {errno}"))?;
        Ok(line)
    }

    /// A reader that has not passed `since` yet. The kernel can only go back to the beginning.
    fn reader_at(&mut self, since: u64) -> Result<OwnedFd, String> {
        let reader = match self.reader.take() {
            Some(reader) if since < self.position => rustix::fs::seek(&reader, SeekFrom::Start(0)).map(|_| reader),
            Some(reader) => Ok(reader),
            None => files::open(PATH, OFlags::RDONLY | OFlags::NONBLOCK),
        };
        reader.map_err(|errno| format!("/dev/kmsg cannot be opened: {errno}"))
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

/// One record: `PRIORITY,SEQ,MICROSECONDS,FLAGS[,…];TEXT`, then lines ` KEY=VALUE` that are left out.
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

/// `\xNN` to the byte.
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
    fn a_record_is_taken_apart_and_its_dictionary_left_out() {
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
    fn what_is_no_escape_stays() {
        for text in [&b"\\"[..], b"\\x", b"\\x5", b"\\xzz", b"\\n"] {
            assert_eq!(unescape(text), text);
        }
    }

    #[test]
    fn older_records_and_flush_lines_are_left_out_and_gaps_are_told() {
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
    fn any_bytes_are_read_without_a_panic() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let _ = (parse(&bytes), unescape(&bytes));
            Ok(())
        });
    }
}
