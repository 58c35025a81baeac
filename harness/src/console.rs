//! The console output of a guest: its last 4 MiB, with positions that stay valid when older bytes are dropped.

use std::collections::VecDeque;

/// Bytes kept.
const KEEP: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Console {
    bytes: VecDeque<u8>,
    /// Position of the first byte still kept.
    start: u64,
}

impl Console {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let surplus = self.bytes.len().saturating_sub(KEEP);
        self.bytes.drain(..surplus);
        self.start += surplus as u64;
    }

    /// Returns the position after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Returns the bytes from `position` on that are still kept.
    pub(crate) fn since(&self, position: u64) -> Vec<u8> {
        let skip = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.range(skip..).copied().collect()
    }

    /// Returns the last `count` lines that are not empty, in [`printable`] form.
    pub(crate) fn tail(&self, count: usize) -> Vec<String> {
        // Enough for `count` console lines; a longer line loses its beginning.
        let bytes = self.since(self.end().saturating_sub(64 << 10));
        let lines: Vec<String> = lines(&bytes).map(printable).collect();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }
}

/// Returns the lines that are not empty, without line endings.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

/// Formats bytes reversibly: `\xNN` for everything but printable ASCII and tabs, `\\` for a backslash.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\t' | b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_stays_valid_when_older_bytes_are_dropped() {
        let mut console = Console::default();
        console.push(b"before");
        let mark = console.end();
        console.push(b"after");
        assert_eq!(console.since(mark), b"after");
        console.push(&vec![b'x'; KEEP]);
        assert_eq!(console.since(mark).len(), KEEP);
        assert_eq!(console.end(), 11 + KEEP as u64);
        assert_eq!(console.since(u64::MAX), b"");
    }

    #[test]
    fn the_tail_consists_of_whole_lines_in_printable_form() {
        let mut console = Console::default();
        console.push(b"one\r\n\r\ntwo \\ \xff\r\nthree");
        assert_eq!(console.tail(2), ["two \\\\ \\xff", "three"]);
        assert_eq!(console.tail(9).len(), 3);
    }
}
