//! The symbols that the kernel exports, from System.map or Module.symvers. They are needed to find unknown symbols.

use std::io;
use std::path::Path;

use crate::file;

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

/// The size limit in bytes; the largest files have about 10 MiB.
const LIMIT: u64 = 256 << 20;

impl KernelSymbols {
    /// Reads Module.symvers.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_symvers(path: &Path) -> io::Result<Self> {
        file::read_regular(path, LIMIT).map(|text| Self::from_symvers(&text))
    }

    /// Reads System.map.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_system_map(path: &Path) -> io::Result<Self> {
        file::read_regular(path, LIMIT).map(|text| Self::from_system_map(&text))
    }

    /// Reads the lines `0xCHECKSUM SYMBOL vmlinux …`; other lines are about modules, or not valid.
    #[must_use]
    pub fn from_symvers(text: &[u8]) -> Self {
        let symbol = |line: &[u8]| {
            let mut words = words(line);
            let (crc, name, owner) = (words.next()?, words.next()?, words.next()?);
            (owner == b"vmlinux").then(|| (name.to_vec(), checksum(crc)))
        };
        Self { symbols: lines(text).filter_map(symbol).collect(), has_versions: true, report_unknown: false }
    }

    /// Reads the lines `ADDRESS TYPE __ksymtab_SYMBOL`; other lines are skipped.
    #[must_use]
    pub fn from_system_map(text: &[u8]) -> Self {
        let symbol = |line: &[u8]| words(line).nth(2)?.strip_prefix(b"__ksymtab_").map(|name| (name.to_vec(), None));
        Self { symbols: lines(text).filter_map(symbol).collect(), has_versions: false, report_unknown: false }
    }
}

/// Parses a hexadecimal number, with or without `0x`.
fn checksum(word: &[u8]) -> Option<u64> {
    let digits = word.strip_prefix(b"0x").unwrap_or(word);
    // `from_str_radix` alone would accept a sign.
    digits.iter().all(u8::is_ascii_hexdigit).then(|| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
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
}
