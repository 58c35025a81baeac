//! Parses the text lists of a module directory. Pure.

use crate::index::{Index, IndexWriter, InsertError};
use crate::name::{ModuleName, NameError, normalise_alias};

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A line of modules.dep without a colon.
    #[error("there is no `:` behind the module's path")]
    NoColon,
    /// A line that is not `alias PATTERN MODULE`.
    #[error("not of the form `alias PATTERN MODULE`")]
    NoAlias,
    /// An invalid module name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Why a text could not be converted to an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A bad line.
    #[error("line {line}: {cause}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        cause: LineError,
    },
    /// More entries than an index can contain.
    #[error(transparent)]
    Insert(#[from] InsertError),
}

/// A line of modules.dep: a module's path, a colon, and the paths of its dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepLine<'a> {
    /// The module's path, relative to the module directory or absolute.
    pub path: &'a [u8],
    /// The text after the colon.
    rest: &'a [u8],
}

impl<'a> DepLine<'a> {
    /// Parses a line, without its newline.
    ///
    /// # Errors
    /// [`LineError::NoColon`].
    pub fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        // A path may contain a colon too: the separator is the one that ends a word.
        let ends_word = |&at: &usize| matches!(line.get(at + 1), None | Some(b' ' | b'\t'));
        let mut colons = line.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at);
        let colon = colons.clone().find(ends_word).or_else(|| colons.next()).ok_or(LineError::NoColon)?;
        Ok(Self { path: line[..colon].trim_ascii(), rest: &line[colon + 1..] })
    }

    /// Returns the text after the colon.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Returns the paths of the dependencies, in the order of the line.
    pub fn deps(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        words(self.rest)
    }
}

/// Returns the lines of modules.dep with their numbers from 1, without empty lines.
pub fn dep_lines(text: &[u8]) -> impl Iterator<Item = (usize, Result<DepLine<'_>, LineError>)> {
    lines(text).map(|(number, line)| (number, DepLine::parse(line)))
}

/// A line of modules.alias or modules.symbols: `alias PATTERN MODULE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AliasLine<'a> {
    /// As the module spells it, not normalised.
    pub pattern: &'a [u8],
    /// The module's name.
    pub module: &'a [u8],
}

/// Returns the lines of modules.alias or modules.symbols with their numbers from 1, without empty lines and comments.
pub fn alias_lines(text: &[u8]) -> impl Iterator<Item = (usize, Result<AliasLine<'_>, LineError>)> {
    lines(text).filter(|(_, line)| !line.starts_with(b"#")).map(|(number, line)| {
        let mut words = words(line);
        let alias = match (words.next(), words.next(), words.next()) {
            (Some(b"alias"), Some(pattern), Some(module)) => Ok(AliasLine { pattern, module }),
            _ => Err(LineError::NoAlias),
        };
        (number, alias)
    })
}

/// Returns the entries of modules.builtin.modinfo as (module, key, value). An entry is `module.key=value`, terminated by a NUL;
/// entries of another form are ignored.
pub fn builtin_modinfo_entries(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    bytes.split(|&b| b == 0).filter_map(|entry| {
        let dot = entry.iter().position(|&b| b == b'.')?;
        let (module, rest) = (&entry[..dot], &entry[dot + 1..]);
        let equals = rest.iter().position(|&b| b == b'=')?;
        Some((module, &rest[..equals], &rest[equals + 1..]))
    })
}

/// A line of modules.devname: `MODULE NODE cMAJOR:MINOR`, or `b` for a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNode<'a> {
    /// The module to load when the node is opened.
    pub module: &'a [u8],
    /// The node below /dev.
    pub path: &'a [u8],
    /// Whether it is a block device; else it is a character device.
    pub is_block: bool,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

impl<'a> DeviceNode<'a> {
    /// Parses a line, without its newline. Returns `None` for a line with more or fewer fields, with an invalid number, or with
    /// a path that leads out of /dev or that tmpfiles.d(5) would interpret.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = words(line);
        let (module, path, device) = (words.next()?, words.next()?, words.next()?);
        let (kind, numbers) = device.split_first()?;
        let colon = numbers.iter().position(|&byte| byte == b':')?;
        let node = Self {
            module,
            path,
            is_block: *kind == b'b',
            major: decimal(&numbers[..colon])?,
            minor: decimal(&numbers[colon + 1..])?,
        };
        let is_name = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
        // Special characters of tmpfiles.d(5).
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"%\\\"'".contains(byte);
        let is_one = matches!(kind, b'b' | b'c')
            && words.next().is_none()
            && path.split(|&byte| byte == b'/').all(is_name)
            && [module, path].iter().all(|word| word.iter().all(is_plain));
        is_one.then_some(node)
    }
}

fn decimal(digits: &[u8]) -> Option<u32> {
    // `parse` alone would accept a sign.
    digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// Returns the lines of modules.devname with their numbers from 1, without empty lines and comments. An error is an invalid line.
pub fn devname_lines(text: &[u8]) -> impl Iterator<Item = (usize, Result<DeviceNode<'_>, &[u8]>)> {
    let entries = lines(text).filter(|(_, line)| !line.starts_with(b"#"));
    entries.map(|(number, line)| (number, DeviceNode::parse(line).ok_or(line)))
}

/// Converts modules.dep to the index that depmod would write. Of two lines for one module the first counts.
pub(super) fn dep_index(text: &[u8]) -> Result<Index, TextError> {
    let mut writer = IndexWriter::new();
    for ((number, line), (_, raw)) in dep_lines(text).zip(lines(text)) {
        let named = line.and_then(|line| Ok(ModuleName::from_path(line.path)?));
        let name = named.map_err(|cause| TextError::Line { line: number, cause })?;
        insert(&mut writer, name.as_bytes(), raw, number)?;
    }
    finish(&writer)
}

/// Converts modules.alias or modules.symbols to an index.
pub(super) fn alias_index(text: &[u8]) -> Result<Index, TextError> {
    let mut writer = IndexWriter::new();
    for (number, line) in alias_lines(text) {
        let AliasLine { pattern, module } = line.map_err(|cause| TextError::Line { line: number, cause })?;
        // depmod writes patterns with unmatched brackets to the text only.
        if let Ok(pattern) = normalise_alias(pattern) {
            insert(&mut writer, &pattern, module, number)?;
        }
    }
    finish(&writer)
}

/// Converts modules.builtin to an index.
pub(super) fn builtin_index(text: &[u8]) -> Result<Index, TextError> {
    let mut writer = IndexWriter::new();
    for (number, line) in lines(text) {
        let name =
            ModuleName::from_path(line).map_err(|cause| TextError::Line { line: number, cause: cause.into() })?;
        insert(&mut writer, name.as_bytes(), b"", 0)?;
    }
    finish(&writer)
}

/// Converts the aliases of modules.builtin.modinfo to an index.
pub(super) fn builtin_alias_index(bytes: &[u8]) -> Result<Index, TextError> {
    let mut writer = IndexWriter::new();
    for (module, key, value) in builtin_modinfo_entries(bytes) {
        if key == b"alias" {
            if let (Ok(alias), Ok(name)) = (normalise_alias(value), ModuleName::new(module)) {
                insert(&mut writer, &alias, name.as_bytes(), 0)?;
            }
        }
    }
    finish(&writer)
}

/// Inserts an entry. Keys that the format does not allow are left out, as depmod does.
fn insert(writer: &mut IndexWriter, key: &[u8], value: &[u8], priority: usize) -> Result<(), InsertError> {
    match writer.insert(key, value, u32::try_from(priority).unwrap_or(u32::MAX)) {
        Err(error @ (InsertError::TooLarge | InsertError::Memory)) => Err(error),
        _ => Ok(()),
    }
}

fn finish(writer: &IndexWriter) -> Result<Index, TextError> {
    // An index that was just written has a valid header.
    Index::parse(writer.to_bytes()?).map_err(|_| InsertError::TooLarge.into())
}

pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// Returns the lines with their numbers from 1, without empty lines.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let numbered = text.split(|&b| b == b'\n').enumerate().map(|(at, line)| (at + 1, line));
    numbered.filter(|(_, line)| !line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(line: &[u8]) -> (String, Vec<String>) {
        let line = DepLine::parse(line).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(line.path), line.deps().map(text).collect())
    }

    #[test]
    fn a_dependency_line_is_a_path_and_paths() {
        assert_eq!(collect(b"k/a.ko: k/b.ko k/c.ko"), ("k/a.ko".into(), vec!["k/b.ko".into(), "k/c.ko".into()]));
        assert_eq!(collect(b"k/a.ko:"), ("k/a.ko".into(), vec![]));
        assert_eq!(collect(b"k/a.ko:\tk/b.ko  "), ("k/a.ko".into(), vec!["k/b.ko".into()]));
        assert_eq!(collect(b"k/a.ko:k/b.ko"), ("k/a.ko".into(), vec!["k/b.ko".into()]));
        assert_eq!(DepLine::parse(b"k/a.ko"), Err(LineError::NoColon));
    }

    #[test]
    fn a_path_may_contain_a_colon() {
        assert_eq!(collect(b"bus:1/a.ko: bus:1/b.ko"), ("bus:1/a.ko".into(), vec!["bus:1/b.ko".into()]));
    }

    #[test]
    fn builtin_modinfo_is_split_at_the_first_dot_and_equal_sign() {
        let entries: Vec<_> = builtin_modinfo_entries(b"a.alias=b.c=d\0junk\0a.x=\0.=\0unended.k=v").collect();
        let expected: [(&[u8], &[u8], &[u8]); 4] =
            [(b"a", b"alias", b"b.c=d"), (b"a", b"x", b""), (b"", b"", b""), (b"unended", b"k", b"v")];
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_device_node_has_a_module_a_path_and_a_number() {
        let node = DeviceNode::parse(b"  snd\tsnd/seq  c116:1 ").unwrap();
        assert_eq!(
            (node.module, node.path, node.is_block, node.major, node.minor),
            (&b"snd"[..], &b"snd/seq"[..], false, 116, 1)
        );
        assert!(DeviceNode::parse(b"m loop-control b4294967295:0").unwrap().is_block);
        for bad in [
            "m",
            "m n",
            "m n c1",
            "m n c1:",
            "m n c:1",
            "m n x1:2",
            "m n 1:2",
            "m n c1:2 extra",
            "m n c1:2x",
            "m n c-1:2",
            "m n c+1:2",
            "m n c4294967296:1",
            "m /n c1:2",
            "m ../n c1:2",
            "m a/../n c1:2",
            "m a//n c1:2",
            "m a/ c1:2",
            "m . c1:2",
            "m n\x1b c1:2",
            "m n\r c1:2",
            "m %n c1:2",
            "m a\\x c1:2",
            "m \"n c1:2",
            "m é c1:2",
            "m\0 n c1:2",
        ] {
            assert_eq!(DeviceNode::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn comments_between_device_nodes_are_ignored() {
        let lines: Vec<_> =
            devname_lines(b"# c\n\nm n c1:2\nbad\n").map(|(at, node)| (at, node.map(|node| node.path))).collect();
        assert_eq!(lines, [(3, Ok(&b"n"[..])), (4, Err(&b"bad"[..]))]);
    }

    #[test]
    fn any_bytes_become_an_index_or_an_error() {
        arbtest::arbtest(|u| {
            let mut text: Vec<u8> = u.arbitrary()?;
            assert!(devname_lines(&text).count() <= text.len() + 1);
            if u.arbitrary()? {
                text = text.iter().map(|b| b"ab: .ko\n/*[]-#"[usize::from(*b) % 14]).collect();
            }
            for make in [dep_index, alias_index, builtin_index, builtin_alias_index] {
                if let Ok(index) = make(&text) {
                    index.entries().unwrap();
                }
            }
            Ok(())
        });
    }
}
