//! `kmod.d`: configuration that C kmod does not have. Its files are found like those of modprobe.d. They have a separate
//! directory because C kmod prints an error for every unknown keyword in modprobe.d, each time it runs.
//!
//! `mask PATTERN` prevents modprobe from loading a module by name, by alias, as a dependency, as a soft dependency or through
//! its install command. It does not stop insmod, nor programs that use libkmod, such as udev. Pure.

use super::{ConfigWarning, logical_lines, matches};
use crate::name::{Escaped, ModuleName, normalise_alias};
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
        write!(f, "{} line {}", super::show_path(&self.file), self.line)
    }
}

/// The `mask` lines of all files, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Masks(pub Vec<Mask>);

impl Masks {
    /// Adds the lines of a file.
    pub fn add_file(&mut self, file: &Path, text: &[u8], warnings: &mut Vec<ConfigWarning>) {
        for (line, text) in logical_lines(text) {
            let mut words = text.split(|b| matches!(b, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
            let Some(word) = words.next().filter(|_| !text.starts_with(b"#")) else { continue };
            let pattern = match (word, words.next(), words.next()) {
                (b"mask", Some(name), None) => normalise_alias(name).ok(),
                _ => None,
            };
            match pattern {
                Some(pattern) => self.0.push(Mask { pattern, file: file.to_owned(), line }),
                None => warnings.push(ConfigWarning::BadLine { file: file.to_owned(), line, word: word.to_vec() }),
            }
        }
    }

    /// Returns the first line that masks a module.
    #[must_use]
    pub fn find(&self, module: &ModuleName) -> Option<&Mask> {
        self.0.iter().find(|mask| matches(&mask.pattern, module.as_bytes()))
    }

    /// Formats the lines as comments for `modprobe -c`, whose output remains a valid modprobe.d file.
    #[must_use]
    pub fn as_comments(&self) -> Vec<u8> {
        let comment = |mask: &Mask| format!("# mask {} ({mask})\n", Escaped(&mask.pattern)).into_bytes();
        self.0.iter().flat_map(comment).collect()
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
        assert_eq!(masks.as_comments(), b"# mask algif_aead (a.conf line 2)\n# mask nf_* (a.conf line 4)\n");
    }

    #[test]
    fn a_line_that_masks_nothing_is_reported() {
        let (masks, warnings) = parse("mask\nmask a b\nmask a[\nblacklist x\nmask a\0\n mask indented\n");
        assert_eq!(masks.0.len(), 1);
        insta::assert_snapshot!(warnings.join("\n"), @r"
        a.conf line 1: ignoring bad line starting with 'mask'
        a.conf line 2: ignoring bad line starting with 'mask'
        a.conf line 3: ignoring bad line starting with 'mask'
        a.conf line 4: ignoring bad line starting with 'blacklist'
        a.conf line 5: ignoring bad line starting with 'mask'
        ");
    }

    #[test]
    fn any_text_is_parsed_without_a_panic() {
        arbtest::arbtest(|u| {
            let words = ["mask ", "mask\t", "a", "*", "[", "]", "\\", "\n", "#", "\0", " "];
            let text: Vec<u8> = u.arbitrary::<Vec<u8>>()?;
            let text: Vec<u8> = text.iter().flat_map(|b| words[usize::from(*b) % words.len()].bytes()).collect();
            let (mut masks, mut warnings) = (Masks::default(), Vec::new());
            masks.add_file(Path::new("a"), &text, &mut warnings);
            assert!(masks.0.iter().all(|mask| normalise_alias(&mask.pattern).as_ref() == Ok(&mask.pattern)));
            Ok(())
        });
    }
}
