//! `kmod.d`: what C kmod has no word for. Its files are found as those of modprobe.d are, and stand in a directory of their own because
//! C kmod prints an error for an unknown word of modprobe.d at every call.
//!
//! `mask PATTERN` keeps a module from being loaded, whoever asks: by name, by alias, as a dependency, as a soft dependency, by its
//! install command. Loads that do not go through us (insmod, libkmod as udev uses it) are not stopped. Pure.

use super::{ConfigWarning, logical_lines, matches};
use crate::name::{Escaped, ModuleName, normalise_alias};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the files lie, the strongest directory first.
pub const DEFAULT_DIRECTORIES: [&str; 5] =
    ["/etc/kmod.d", "/run/kmod.d", "/usr/local/lib/kmod.d", "/usr/lib/kmod.d", "/lib/kmod.d"];

/// A `mask` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// An fnmatch pattern on the module's name.
    pub pattern: Vec<u8>,
    /// The file that says so.
    pub file: PathBuf,
    /// Where in it, from 1.
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
    /// Adds the lines of one file.
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

    /// The first line that masks a module.
    #[must_use]
    pub fn find(&self, module: &ModuleName) -> Option<&Mask> {
        self.0.iter().find(|mask| matches(&mask.pattern, module.as_bytes()))
    }

    /// The lines as comments, for `modprobe -c`: what it prints may be fed to a C modprobe.
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
    fn a_mask_names_a_module_or_a_pattern_and_knows_where_it_stands() {
        let (masks, warnings) = parse("# why\nmask algif-aead\n\nmask nf_*\r\n");
        assert!(warnings.is_empty(), "{warnings:?}");
        let found = |name: &str| masks.find(&ModuleName::new(name.as_bytes()).unwrap()).map(ToString::to_string);
        assert_eq!(found("algif_aead"), Some("a.conf line 2".to_owned()));
        assert_eq!(found("nf_tables"), Some("a.conf line 4".to_owned()));
        assert_eq!(found("nf"), None);
        assert_eq!(masks.as_comments(), b"# mask algif_aead (a.conf line 2)\n# mask nf_* (a.conf line 4)\n");
    }

    #[test]
    fn a_line_that_masks_nothing_is_told() {
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
    fn any_text_is_read_without_a_panic() {
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
