//! `kmod.d`: configuration that C kmod does not have. Its files are found like those of modprobe.d. They have a separate
//! directory because C kmod prints an error for every unknown keyword in modprobe.d, each time it runs.
//!
//! `mask PATTERN` prevents modprobe from loading a module by name, by alias, as a dependency, as a soft dependency or through
//! its install command. It does not stop insmod, nor programs that use libkmod, such as udev.
//!
//! A mask is a security control, so it fails closed: while a file or directory of kmod.d cannot be read completely, no module
//! is loaded ([`Masks::problems`]). Other problems are reported and do not block loading.

use super::files::{self, ReadError};
use super::lines::{self, LogicalLine};
use super::{ConfigSource, ConfigWarning, matches, push, show_path};
use crate::name::{Escaped, ModuleName, normalise_alias};
use std::collections::TryReserveError;
use std::fmt;
use std::path::{Path, PathBuf};

/// The directories of kmod.d, highest priority first.
pub const DEFAULT_DIRECTORIES: [&str; 5] =
    ["/etc/kmod.d", "/run/kmod.d", "/usr/local/lib/kmod.d", "/usr/lib/kmod.d", "/lib/kmod.d"];

/// A `mask` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// An fnmatch pattern on the module's name.
    pub pattern: Vec<u8>,
    /// The file that contains the line.
    pub file: PathBuf,
    /// The number of the line, from 1.
    pub line: usize,
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", show_path(&self.file), self.line)
    }
}

/// A file or directory of kmod.d that was not read completely: it may mask any module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskProblem {
    /// The file or directory.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for MaskProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", show_path(&self.file), self.reason)
    }
}

/// The content of kmod.d.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Masks {
    /// The `mask` lines, in the order of the files.
    pub lines: Vec<Mask>,
    /// The files and directories that were not read completely. If there is one, no module is loaded.
    pub problems: Vec<MaskProblem>,
}

impl Masks {
    /// Reads kmod.d.
    pub(super) fn load(&mut self, source: &ConfigSource, warnings: &mut impl Extend<ConfigWarning>) {
        let mut unlisted = Vec::new();
        let paths = files::list(source, &mut unlisted);
        self.problems.extend(unlisted.into_iter().filter_map(list_problem));
        for path in paths {
            let mut long = None;
            let each = &mut |line: LogicalLine<'_>| {
                match line.text {
                    Some(text) => return self.add_line(&path, line.number, text, warnings),
                    None => long = Some(line.number),
                }
                Ok(())
            };
            let reason = match (files::read_lines(&path, each), long) {
                (Err(error), _) => file_problem(&path, &error),
                (Ok(()), Some(line)) => Some(format!("line {line} is longer than {} bytes", lines::LINE_LIMIT)),
                (Ok(()), None) => None,
            };
            self.problems.extend(reason.map(|reason| MaskProblem { file: path.clone(), reason }));
        }
    }

    /// Adds the lines of a file that is in memory.
    pub fn add_file(&mut self, file: &Path, text: &[u8], warnings: &mut impl Extend<ConfigWarning>) {
        let mut long = None;
        let added = lines::each(text, &mut |line| {
            match line.text {
                Some(text) => return self.add_line(file, line.number, text, warnings),
                None => long = Some(line.number),
            }
            Ok(())
        });
        let reason = match (added, long) {
            (Err(_), _) => file_problem(file, &ReadError::out_of_memory()),
            (Ok(()), Some(line)) => Some(format!("line {line} is longer than {} bytes", lines::LINE_LIMIT)),
            (Ok(()), None) => None,
        };
        self.problems.extend(reason.map(|reason| MaskProblem { file: file.to_owned(), reason }));
    }

    fn add_line(
        &mut self,
        file: &Path,
        line: usize,
        text: &[u8],
        warnings: &mut impl Extend<ConfigWarning>,
    ) -> Result<(), TryReserveError> {
        let mut words = text.split(|b| matches!(b, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
        let Some(keyword) = words.next().filter(|_| !text.starts_with(b"#")) else { return Ok(()) };
        let file = file.to_owned();
        let pattern = words.next().filter(|_| keyword == b"mask").and_then(pattern);
        let Some(pattern) = pattern else {
            warnings.extend([ConfigWarning::BadLine { file, line, word: keyword.to_vec() }]);
            return Ok(());
        };
        if words.next().is_some() {
            warnings.extend([ConfigWarning::SurplusMask { file: file.clone(), line, pattern: pattern.clone() }]);
        }
        push(&mut self.lines, Mask { pattern, file, line })
    }

    /// Returns the first line that masks a module.
    #[must_use]
    pub fn find(&self, module: &ModuleName) -> Option<&Mask> {
        self.lines.iter().find(|mask| matches(&mask.pattern, module.as_bytes()))
    }

    /// Formats the lines and problems as comments for `modprobe -c`, whose output remains a valid modprobe.d file.
    pub fn comments(&self) -> impl Iterator<Item = String> + '_ {
        let problems = self.problems.iter().map(|problem| format!("# every module is masked: {problem}\n"));
        let lines = self.lines.iter().map(|mask| format!("# mask {} ({mask})\n", Escaped(&mask.pattern)));
        problems.chain(lines)
    }
}

/// Returns the pattern of a line: its second word, without quotes around it, which no module name contains.
fn pattern(word: &[u8]) -> Option<Vec<u8>> {
    let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'');
    let start = word.iter().position(|byte| !is_quote(byte))?;
    let end = word.iter().rposition(|byte| !is_quote(byte))?;
    normalise_alias(word.get(start..=end)?).ok()
}

/// Why the files of kmod.d could not be listed.
fn list_problem(warning: ConfigWarning) -> Option<MaskProblem> {
    match warning {
        ConfigWarning::Unreadable { file, cause } => {
            let reason = ReadError::Io(cause).to_string();
            Some(MaskProblem { file, reason })
        }
        ConfigWarning::Directory(file) => Some(MaskProblem { file, reason: "is a directory".to_owned() }),
        _ => None,
    }
}

/// Why a file was not read completely; `None` if it does not have to be.
fn file_problem(path: &Path, error: &ReadError) -> Option<String> {
    match error {
        ReadError::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            // Without /dev, a link to /dev/null leads nowhere; it hides a file all the same. If the file itself is missing it
            // was removed a moment ago.
            let target = std::fs::read_link(path).ok()?;
            (target != Path::new("/dev/null")).then(|| error.to_string())
        }
        ReadError::Io(_) => Some(error.to_string()),
        ReadError::NotAFile => Some("is not a regular file".to_owned()),
        ReadError::TooLarge => Some(format!("is larger than {} bytes", files::SIZE_LIMIT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Masks, Vec<String>) {
        let (mut masks, mut warnings) = (Masks::default(), Vec::new());
        masks.add_file(Path::new("a.conf"), text.as_bytes(), &mut warnings);
        (masks, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_mask_is_a_name_or_a_pattern_and_records_its_file_and_line() {
        let (masks, warnings) = parse("# why\nmask algif-aead\n\nmask nf_*\r\n");
        assert!(warnings.is_empty(), "{warnings:?}");
        let found = |name: &str| masks.find(&ModuleName::new(name.as_bytes()).unwrap()).map(ToString::to_string);
        assert_eq!(found("algif_aead"), Some("a.conf line 2".to_owned()));
        assert_eq!(found("nf_tables"), Some("a.conf line 4".to_owned()));
        assert_eq!(found("nf"), None);
        assert_eq!(
            masks.comments().collect::<String>(),
            "# mask algif_aead (a.conf line 2)\n# mask nf_* (a.conf line 4)\n"
        );
    }

    #[test]
    fn a_line_that_masks_nothing_is_reported() {
        let (masks, warnings) = parse("mask\nmask \"\"\nmask a[\nblacklist x\nmask a\0\n mask indented\n");
        assert_eq!((masks.lines.len(), masks.problems), (1, vec![]));
        insta::assert_snapshot!(warnings.join("\n"), @r"
        a.conf line 1: ignoring bad line starting with 'mask'
        a.conf line 2: ignoring bad line starting with 'mask'
        a.conf line 3: ignoring bad line starting with 'mask'
        a.conf line 4: ignoring bad line starting with 'blacklist'
        a.conf line 5: ignoring bad line starting with 'mask'
        ");
    }

    #[test]
    fn a_line_with_surplus_arguments_masks_its_first_pattern_with_a_warning() {
        let (masks, warnings) = parse("mask a # why\nmask b-b c\nmask d\t \r\n");
        let patterns: Vec<_> = masks.lines.iter().map(|mask| String::from_utf8_lossy(&mask.pattern)).collect();
        assert_eq!(patterns, ["a", "b_b", "d"]);
        insta::assert_snapshot!(warnings.join("\n"), @r"
        a.conf line 1: only the first pattern of the line is masked: 'a'
        a.conf line 2: only the first pattern of the line is masked: 'b_b'
        ");
    }

    #[test]
    fn quotes_around_a_pattern_are_ignored() {
        let (masks, warnings) = parse("mask \"a\"\nmask 'b*'\nmask \"c\n");
        let patterns: Vec<_> = masks.lines.iter().map(|mask| String::from_utf8_lossy(&mask.pattern)).collect();
        assert_eq!((patterns.join(" "), warnings.len()), ("a b* c".to_owned(), 0));
    }

    #[test]
    fn a_line_that_is_too_long_masks_every_module() {
        let (masks, _) = parse(&format!("mask a\nmask {}\n", "b".repeat(lines::LINE_LIMIT)));
        insta::assert_snapshot!(masks.problems[0], @"a.conf line 2 is longer than 1048576 bytes");
        assert_eq!(
            masks.comments().collect::<String>(),
            "# every module is masked: a.conf line 2 is longer than 1048576 bytes\n# mask a (a.conf line 1)\n"
        );
    }

    #[test]
    fn any_text_is_parsed_without_a_panic() {
        arbtest::arbtest(|u| {
            let words = ["mask ", "mask\t", "a", "*", "[", "]", "\\", "\n", "#", "\0", " "];
            let text: Vec<u8> = u.arbitrary::<Vec<u8>>()?;
            let text: Vec<u8> = text.iter().flat_map(|b| words[usize::from(*b) % words.len()].bytes()).collect();
            let (mut masks, mut warnings) = (Masks::default(), Vec::new());
            masks.add_file(Path::new("a"), &text, &mut warnings);
            assert!(masks.lines.iter().all(|mask| normalise_alias(&mask.pattern).as_ref() == Ok(&mask.pattern)));
            Ok(())
        });
    }
}
