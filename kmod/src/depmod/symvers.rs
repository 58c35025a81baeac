//! The symbols that the kernel exports, from System.map or Module.symvers. They are needed to find unknown symbols.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::file::out_of_memory;

/// The symbols that the kernel exports to modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelSymbols {
    /// The names, with their checksums where known.
    pub symbols: Vec<(Vec<u8>, Option<u64>)>,
    /// Whether checksums are known, and compared with those in modules.
    pub has_versions: bool,
    /// Whether to report symbols that neither the kernel nor a module exports.
    pub report_unknown: bool,
}

/// The size limit of a file in bytes. The largest files of kernels have about 10 MiB.
const LIMIT: u64 = 1 << 30;

/// The size limit of a line in bytes. Longer lines are not valid and skipped.
const LINE_LIMIT: usize = 64 << 10;

impl KernelSymbols {
    /// Reads Module.symvers from a file or a pipe of at most 1 GiB.
    ///
    /// # Errors
    /// It cannot be read, is larger, or its symbols do not fit into memory.
    pub fn read_symvers(path: &Path) -> io::Result<Self> {
        Ok(Self { symbols: read_symbols(File::open(path)?, LIMIT, symvers_line)?, ..Self::from_symvers(b"") })
    }

    /// Reads System.map from a file or a pipe of at most 1 GiB.
    ///
    /// # Errors
    /// It cannot be read, is larger, or its symbols do not fit into memory.
    pub fn read_system_map(path: &Path) -> io::Result<Self> {
        Ok(Self { symbols: read_symbols(File::open(path)?, LIMIT, system_map_line)?, ..Self::default() })
    }

    /// Parses the lines `0xCHECKSUM SYMBOL vmlinux …`; other lines are about modules, or not valid.
    #[must_use]
    pub fn from_symvers(text: &[u8]) -> Self {
        Self { symbols: symbols(text, symvers_line), has_versions: true, report_unknown: false }
    }

    /// Parses the lines `ADDRESS TYPE __ksymtab_SYMBOL`; other lines are skipped.
    #[must_use]
    pub fn from_system_map(text: &[u8]) -> Self {
        Self { symbols: symbols(text, system_map_line), has_versions: false, report_unknown: false }
    }
}

type Symbol<'a> = (&'a [u8], Option<u64>);

fn symvers_line(line: &[u8]) -> Option<Symbol<'_>> {
    let mut words = words(line);
    let (crc, name, owner) = (words.next()?, words.next()?, words.next()?);
    (owner == b"vmlinux").then(|| (name, checksum(crc)))
}

fn system_map_line(line: &[u8]) -> Option<Symbol<'_>> {
    Some((words(line).nth(2)?.strip_prefix(b"__ksymtab_")?, None))
}

fn symbols(text: &[u8], parse: fn(&[u8]) -> Option<Symbol<'_>>) -> Vec<(Vec<u8>, Option<u64>)> {
    let lines = text.split(|&byte| byte == b'\n');
    lines.filter_map(parse).map(|(name, crc)| (name.to_vec(), crc)).collect()
}

/// Reads a text of at most `limit` bytes. A pipe has no size and may be endless, so the text is read in blocks, and only the symbols
/// stay in memory.
fn read_symbols(
    text: impl Read,
    limit: u64,
    parse: fn(&[u8]) -> Option<Symbol<'_>>,
) -> io::Result<Vec<(Vec<u8>, Option<u64>)>> {
    let mut symbols = Vec::new();
    let mut add = |line: &[u8]| -> io::Result<()> {
        let Some((name, crc)) = parse(line) else { return Ok(()) };
        let mut copy = Vec::new();
        copy.try_reserve_exact(name.len()).map_err(out_of_memory)?;
        copy.extend_from_slice(name);
        symbols.try_reserve(1).map_err(out_of_memory)?;
        symbols.push((copy, crc));
        Ok(())
    };
    let mut text = text.take(limit + 1);
    let mut block = vec![0; LINE_LIMIT];
    let mut total = 0;
    // The part of the current line in earlier blocks.
    let mut pending = Vec::with_capacity(LINE_LIMIT);
    let mut is_too_long = false;
    loop {
        let length = match text.read(&mut block) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total += length as u64;
        for part in block[..length].split_inclusive(|&byte| byte == b'\n') {
            let (part, is_end) = part.strip_suffix(b"\n").map_or((part, false), |part| (part, true));
            is_too_long |= pending.len() + part.len() > LINE_LIMIT;
            if !is_too_long {
                pending.extend_from_slice(part);
            }
            if is_end {
                if !is_too_long {
                    add(&pending)?;
                }
                pending.clear();
                is_too_long = false;
            }
        }
    }
    if total > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    if !is_too_long {
        add(&pending)?;
    }
    Ok(symbols)
}

/// Parses a hexadecimal number, with or without `0x`.
fn checksum(word: &[u8]) -> Option<u64> {
    let digits = word.strip_prefix(b"0x").unwrap_or(word);
    // `from_str_radix` alone would accept a sign.
    digits.iter().all(u8::is_ascii_hexdigit).then(|| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symvers_lists_exports_of_the_kernel_with_checksums() {
        let text =
            b"0x0000002a\tone\tvmlinux\tEXPORT_SYMBOL\t\n0x7\ttwo\tnet/x\tEXPORT_SYMBOL_GPL\nzz three vmlinux\n\nx\n";
        let expected = [(b"one".to_vec(), Some(42)), (b"three".to_vec(), None)];
        assert_eq!(KernelSymbols::from_symvers(text).symbols, expected);
    }

    #[test]
    fn a_checksum_is_a_hexadecimal_number_with_at_most_one_prefix() {
        let crc = |word: &[u8]| KernelSymbols::from_symvers(&[word, b" one vmlinux"].concat()).symbols[0].1;
        assert_eq!([&b"0x2a"[..], b"2A", b"0xffffffffffffffff"].map(crc), [Some(42), Some(42), Some(u64::MAX)]);
        for bad in [&b"0x0x2a"[..], b"+2a", b"0x+2a", b"0x", b"2g", b"0x10000000000000000", b"\xff"] {
            assert_eq!(crc(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn system_map_lists_the_symbols_of_ksymtab() {
        let text = b"ffffffff82000000 r __ksymtab_kmalloc\nffffffff81000000 T kfree\nffff __ksymtab_x\n";
        assert_eq!(KernelSymbols::from_system_map(text).symbols, [(b"kmalloc".to_vec(), None)]);
    }

    /// Returns at most one byte for each read.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn lines_are_read_across_blocks_and_long_lines_are_skipped() {
        fn whole(line: &[u8]) -> Option<Symbol<'_>> {
            Some((line, None))
        }
        let lines = |text: &[u8]| -> Vec<Vec<u8>> {
            read_symbols(Slow(text), 1 << 20, whole).unwrap().into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(lines(b"ab\n\nc"), [&b"ab"[..], b"", b"c"]);
        let (longest, long) = (vec![b'x'; LINE_LIMIT], vec![b'y'; LINE_LIMIT + 1]);
        assert_eq!(lines(&[&long, &b"\n"[..], &longest, b"\nz\n", &long].concat()), [&longest[..], b"z"]);
    }

    #[test]
    fn a_text_beyond_the_limit_is_an_error() {
        let text = b"0x1 x vmlinux\n0x2 y vmlinux";
        let read = |limit| read_symbols(&text[..], limit, symvers_line);
        assert_eq!(read(text.len() as u64).unwrap(), KernelSymbols::from_symvers(text).symbols);
        assert_eq!(read(3).unwrap_err().to_string(), "larger than 3 bytes");
    }
}
