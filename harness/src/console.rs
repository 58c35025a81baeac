//! What a guest printed: its last 4 MiB, with positions that stay true when older bytes are dropped.

use std::collections::VecDeque;

/// How much is kept.
const KEEP: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Console {
    bytes: VecDeque<u8>,
    /// Position of the first byte that is still there.
    start: u64,
}

impl Console {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let surplus = self.bytes.len().saturating_sub(KEEP);
        self.bytes.drain(..surplus);
        self.start += surplus as u64;
    }

    /// The position behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes from `position` on, as far as they are still there.
    pub(crate) fn since(&self, position: u64) -> Vec<u8> {
        let skip = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.range(skip..).copied().collect()
    }

    /// The last `count` lines that are not empty, in [`printable`] form.
    pub(crate) fn tail(&self, count: usize) -> Vec<String> {
        // Enough for `count` lines of a console; a longer line is cut at its front.
        let bytes = self.since(self.end().saturating_sub(64 << 10));
        let lines: Vec<String> = lines(&bytes).map(printable).collect();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }
}

/// The lines that are not empty, without their ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

/// A reversible text form: bytes that are not printable ASCII as `\xNN`, a backslash as two; tabs stay.
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
    fn a_mark_finds_what_came_later_and_survives_dropped_bytes() {
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
    fn the_tail_is_whole_lines_in_reversible_text() {
        let mut console = Console::default();
        console.push(b"one\r\n\r\ntwo \\ \xff\r\nthree");
        assert_eq!(console.tail(2), ["two \\\\ \\xff", "three"]);
        assert_eq!(console.tail(9).len(), 3);
    }
}
