//! Second parsers for the lists, written from their descriptions.

use super::oracle::{self, Entry};
use kmod::index::Value;
use kmod::name::{ModuleName, normalise_alias};
use kmod::tree::text::DeviceNode;

type Symbol = (Vec<u8>, Option<u64>);

/// The lines that are not blank, with their numbers from 1.
fn lines(text: &[u8]) -> Vec<(usize, &[u8])> {
    let numbered = text.split(|byte| *byte == b'\n').enumerate().map(|(at, line)| (at + 1, line));
    numbered.filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace)).collect()
}

fn words<'t>(line: &'t [u8], separators: &[u8]) -> Vec<&'t [u8]> {
    line.split(|byte| separators.contains(byte)).filter(|word| !word.is_empty()).collect()
}

/// Parses `alias PATTERN MODULE`. Returns the entries that an index can contain, in the order of the lines, or the number of
/// the first bad line.
pub(super) fn aliases(text: &[u8]) -> Result<Vec<Entry>, usize> {
    let mut entries = Vec::new();
    for (number, line) in lines(text) {
        if line.starts_with(b"#") {
            continue;
        }
        let words = words(line, b" \t");
        let [b"alias", pattern, module, ..] = words.as_slice() else { return Err(number) };
        if let Ok(key) = normalise_alias(pattern) {
            entries.push((key, Value { priority: number as u32, bytes: module.to_vec() }));
        }
    }
    entries.retain(|(key, value)| oracle::refusal(key, &value.bytes).is_none());
    Ok(entries)
}

/// Parses one path per line. Returns the modules, or the number of the first line without a module's name.
pub(super) fn builtin(text: &[u8]) -> Result<Vec<ModuleName>, usize> {
    lines(text).into_iter().map(|(number, line)| ModuleName::from_path(line).map_err(|_| number)).collect()
}

/// Parses `MODULE.KEY=VALUE` entries, each followed by a NUL.
pub(super) fn builtin_modinfo(bytes: &[u8]) -> Vec<(&[u8], &[u8], &[u8])> {
    let mut found = Vec::new();
    for entry in bytes.split(|byte| *byte == 0) {
        let mut parts = entry.splitn(2, |byte| *byte == b'.');
        if let (Some(module), Some(rest)) = (parts.next(), parts.next()) {
            let mut halves = rest.splitn(2, |byte| *byte == b'=');
            if let (Some(key), Some(value)) = (halves.next(), halves.next()) {
                found.push((module, key, value));
            }
        }
    }
    found
}

/// The aliases among these entries that an index can contain.
pub(super) fn builtin_aliases(entries: &[(&[u8], &[u8], &[u8])]) -> Vec<Entry> {
    let mut aliases = Vec::new();
    for (module, _, value) in entries.iter().filter(|(_, key, _)| *key == b"alias") {
        if let (Ok(key), Ok(module)) = (normalise_alias(value), ModuleName::new(module)) {
            aliases.push((key, Value { priority: 0, bytes: module.as_bytes().to_vec() }));
        }
    }
    aliases.retain(|(key, value)| oracle::refusal(key, &value.bytes).is_none());
    aliases
}

/// Parses `MODULE PATH cMAJOR:MINOR`; an invalid line is returned unchanged.
pub(super) fn device_nodes(text: &[u8]) -> Vec<(usize, Result<DeviceNode<'_>, &[u8]>)> {
    let entries = lines(text).into_iter().filter(|(_, line)| !line.starts_with(b"#"));
    entries.map(|(number, line)| (number, device_node(line).ok_or(line))).collect()
}

fn device_node(line: &[u8]) -> Option<DeviceNode<'_>> {
    let words = words(line, b" \t");
    let [module, path, [kind @ (b'b' | b'c'), numbers @ ..]] = words.as_slice() else { return None };
    let numbers: Vec<&[u8]> = numbers.split(|byte| *byte == b':').collect();
    let [major, minor] = numbers.as_slice() else { return None };
    let number = |digits: &[u8]| {
        let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let add = |sum: u64, digit: &u8| (sum * 10 + u64::from(digit - b'0')).min(1 << 40);
        u32::try_from(digits.iter().filter(|_| all).fold(0, add)).ok().filter(|_| all)
    };
    let plain = |word: &[u8]| word.iter().all(|byte| matches!(byte, b'!'..=b'~') && !b"%\\\"'".contains(byte));
    let below = path.split(|byte| *byte == b'/').all(|part| !part.is_empty() && part != b"." && part != b"..");
    let (major, minor) = (number(major)?, number(minor)?);
    (plain(module) && plain(path) && below).then_some(DeviceNode {
        module,
        path,
        is_block: *kind == b'b',
        major,
        minor,
    })
}

/// Parses `0xCHECKSUM SYMBOL vmlinux …`.
pub(super) fn symvers(text: &[u8]) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let [crc, name, b"vmlinux", ..] = words(line, b" \t\r").as_slice() {
            symbols.push((name.to_vec(), checksum(crc)));
        }
    }
    symbols
}

/// A hexadecimal number, with or without `0x`.
fn checksum(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    let mut sum: u128 = 0;
    for digit in digits {
        sum = sum * 16 + u128::from(char::from(*digit).to_digit(16)?);
        u64::try_from(sum).ok()?;
    }
    (!digits.is_empty()).then_some(sum as u64)
}

/// Parses `ADDRESS TYPE __ksymtab_SYMBOL`.
pub(super) fn system_map(text: &[u8]) -> Vec<Symbol> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| words(line, b" \t\r"));
    let named = |words: Vec<&[u8]>| Some((words.get(2)?.strip_prefix(b"__ksymtab_")?.to_vec(), None));
    lines.filter_map(named).collect()
}
