//! Splits a configuration file into logical lines, part by part, so that a large file is never in memory as a whole. Pure.

use std::collections::TryReserveError;

/// The length in bytes of the longest logical line that is used.
pub const LINE_LIMIT: usize = 1 << 20;

/// A logical line, after continuations are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogicalLine<'a> {
    /// The number of its first physical line, from 1.
    pub(crate) number: usize,
    /// Its text; `None` if it is longer than [`LINE_LIMIT`].
    pub(crate) text: Option<&'a [u8]>,
}

/// The state between two parts of a file.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The number of the current physical line.
    physical: usize,
    /// The number of the first physical line of the current logical line.
    start: usize,
    current: Vec<u8>,
    is_too_long: bool,
    /// Whether the last byte was a backslash that is not escaped itself.
    is_escaped: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { physical: 1, start: 1, current: Vec::new(), is_too_long: false, is_escaped: false }
    }
}

impl Lines {
    /// Adds the next part of the file; `each` gets the lines that end in it.
    pub(crate) fn add<E: From<TryReserveError>>(
        &mut self,
        mut part: &[u8],
        each: &mut impl FnMut(LogicalLine<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(&byte) = part.first() {
            if self.is_escaped {
                self.is_escaped = false;
                match byte {
                    b'\n' => self.physical += 1,
                    _ => self.push(&[byte])?,
                }
                part = &part[1..];
                continue;
            }
            let end = part.iter().position(|b| matches!(b, b'\n' | b'\\')).unwrap_or(part.len());
            let (plain, rest) = part.split_at(end);
            self.push(plain)?;
            match rest.first() {
                Some(b'\n') => self.end(each)?,
                Some(_) => self.is_escaped = true,
                None => {}
            }
            part = rest.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the file; `each` gets the last line.
    pub(crate) fn finish<E>(mut self, each: &mut impl FnMut(LogicalLine<'_>) -> Result<(), E>) -> Result<(), E> {
        self.end(each)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), TryReserveError> {
        if self.current.len() + bytes.len() > LINE_LIMIT {
            self.is_too_long = true;
            self.current = Vec::new();
        }
        if !self.is_too_long {
            self.current.try_reserve(bytes.len())?;
            self.current.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end<E>(&mut self, each: &mut impl FnMut(LogicalLine<'_>) -> Result<(), E>) -> Result<(), E> {
        let text = (!self.is_too_long).then_some(self.current.as_slice());
        each(LogicalLine { number: self.start, text })?;
        self.current.clear();
        self.is_too_long = false;
        self.physical += 1;
        self.start = self.physical;
        Ok(())
    }
}

/// Calls `each` with every line of a file that is in memory.
pub(crate) fn each(
    text: &[u8],
    each: &mut impl FnMut(LogicalLine<'_>) -> Result<(), TryReserveError>,
) -> Result<(), TryReserveError> {
    let mut lines = Lines::default();
    lines.add(text, each)?;
    lines.finish(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical_lines(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let mut lines = Vec::new();
        let mut add = |line: LogicalLine<'_>| {
            lines.push((line.number, line.text.unwrap().to_vec()));
            Ok(())
        };
        each(text, &mut add).unwrap();
        lines
    }

    #[test]
    fn a_backslash_joins_lines_and_is_dropped_before_other_bytes() {
        let lines = logical_lines(b"a\\\nb\nc\\x\\\\\nd\\");
        assert_eq!(lines, [(1, b"ab".to_vec()), (3, b"cx\\".to_vec()), (4, b"d".to_vec())]);
    }

    #[test]
    fn the_parts_of_a_file_do_not_change_its_lines() {
        arbtest::arbtest(|u| {
            let text: Vec<u8> = u.arbitrary::<Vec<u8>>()?.iter().map(|b| b"ab\\\n"[usize::from(b % 4)]).collect();
            let mut lines = Vec::new();
            let mut each = |line: LogicalLine<'_>| {
                lines.push((line.number, line.text.unwrap_or_default().to_vec()));
                Ok::<(), TryReserveError>(())
            };
            let mut state = Lines::default();
            let mut rest = text.as_slice();
            while !rest.is_empty() {
                let (part, more) = rest.split_at(u.int_in_range(1..=rest.len())?);
                state.add(part, &mut each).unwrap();
                rest = more;
            }
            state.finish(&mut each).unwrap();
            assert_eq!(lines, logical_lines(&text));
            Ok(())
        });
    }

    #[test]
    fn a_line_that_is_too_long_has_no_text_and_does_not_affect_the_next_one() {
        let text = [vec![b'a'; LINE_LIMIT], b"b\nnext\n".to_vec()].concat();
        let mut lines = Vec::new();
        let mut each = |line: LogicalLine<'_>| {
            lines.push((line.number, line.text.map(<[u8]>::len)));
            Ok::<(), TryReserveError>(())
        };
        let mut state = Lines::default();
        text.chunks(4096).for_each(|part| state.add(part, &mut each).unwrap());
        state.finish(&mut each).unwrap();
        assert_eq!(lines, [(1, None), (2, Some(4)), (3, Some(0))]);
    }
}
