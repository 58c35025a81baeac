//! Finds out why the kernel refused a module: one errno has several causes, and the kernel log names the cause. Pure.
//!
//! The recognised lines are those of `simplify_symbols`, `check_version` and `same_magic` (kernel/module/) and of
//! `parse_args` (kernel/params.c), as worded by kernels 5.10 to 7.3. Other lines are ignored.

use crate::name::{Escaped, ModuleName};
use std::fmt;

/// The number of symbols that a message lists.
const SHOWN: usize = 8;

/// Why a module was refused, according to the kernel log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No module exports these symbols.
    UnknownSymbols(Vec<Vec<u8>>),
    /// These symbols have another version than the module was built for.
    SymbolVersions(Vec<Vec<u8>>),
    /// The module has no such parameter.
    UnknownParameter(Vec<u8>),
    /// The value is invalid for this parameter, or a value is missing.
    BadParameter {
        /// The name of the parameter.
        name: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// It was built for another kernel.
    VersionMagic {
        /// The version magic of the module.
        module: Vec<u8>,
        /// The version magic of the kernel.
        kernel: Vec<u8>,
    },
}

/// Returns the first reason that the lines contain for this module, with the symbols of all lines of its kind.
#[must_use]
pub fn find<'a>(module: &ModuleName, lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Reason> {
    let mut found: Option<Reason> = None;
    for line in lines {
        let Some(reason) = about(module, line).and_then(reason) else { continue };
        match (&mut found, reason) {
            (None, reason) => found = Some(reason),
            (Some(Reason::UnknownSymbols(all)), Reason::UnknownSymbols(more))
            | (Some(Reason::SymbolVersions(all)), Reason::SymbolVersions(more)) => {
                more.into_iter().for_each(|name| {
                    if !all.contains(&name) {
                        all.push(name)
                    }
                });
            }
            // A symbol with another version is logged as unknown, too.
            (Some(_), _) => {}
        }
    }
    found
}

/// Whether a line reports that the kernel could not decompress a module.
#[must_use]
pub fn is_about_decompression(line: &[u8]) -> bool {
    line.windows(b"ompress".len()).any(|part| part == b"ompress")
}

/// Returns the text of a line about a module: what follows its name and a colon.
fn about<'a>(module: &ModuleName, line: &'a [u8]) -> Option<&'a [u8]> {
    let colon = line.windows(2).position(|pair| pair == b": ")?;
    let (name, text) = (&line[..colon], &line[colon + 2..]);
    (ModuleName::new(name).ok()? == *module).then_some(text)
}

fn reason(text: &[u8]) -> Option<Reason> {
    if let Some(rest) = text.strip_prefix(b"Unknown symbol ") {
        return Some(Reason::UnknownSymbols(vec![first_word(rest)?]));
    }
    if let Some(rest) = text.strip_prefix(b"disagrees about version of symbol ") {
        return Some(Reason::SymbolVersions(vec![first_word(rest)?]));
    }
    if let Some(rest) = text.strip_prefix(b"Unknown parameter ") {
        return Some(Reason::UnknownParameter(quoted(rest)?.0.to_vec()));
    }
    if let Some(rest) = text.strip_prefix(b"version magic ") {
        let (module, rest) = quoted(rest)?;
        let kernel = quoted(rest.strip_prefix(b" should be ")?)?.0;
        return Some(Reason::VersionMagic { module: module.to_vec(), kernel: kernel.to_vec() });
    }
    let (value, rest) = quoted(text)?;
    let rest =
        rest.strip_prefix(b" invalid for parameter ").or_else(|| rest.strip_prefix(b" too large for parameter "))?;
    Some(Reason::BadParameter { name: quoted(rest)?.0.to_vec(), value: value.to_vec() })
}

fn first_word(text: &[u8]) -> Option<Vec<u8>> {
    let word = text.split(|&b| b == b' ').next().filter(|word| !word.is_empty())?;
    Some(word.to_vec())
}

/// Splits a quoted string off: from `` ` `` or `'` to the first `'` at the end of a word. Returns it with the rest of the line.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"`").or_else(|| text.strip_prefix(b"'"))?;
    let ends = |at: &usize| inner.get(*at) == Some(&b'\'') && matches!(inner.get(at + 1), None | Some(b' '));
    let end = (0..inner.len()).find(ends)?;
    Some((&inner[..end], &inner[end + 1..]))
}

impl Reason {
    /// Formats the reason as part of a message about this module.
    pub(crate) fn about<'a>(&'a self, module: &'a ModuleName) -> impl fmt::Display + 'a {
        About { reason: self, module }
    }
}

struct About<'a> {
    reason: &'a Reason,
    module: &'a ModuleName,
}

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.module;
        match self.reason {
            Reason::UnknownSymbols(names) => write!(f, "{module} needs {}", List(names)),
            Reason::SymbolVersions(names) => write!(f, "{module} needs another version of {}", List(names)),
            Reason::UnknownParameter(name) => write!(f, "{module} has no parameter '{}'", Escaped(name)),
            Reason::BadParameter { name, value } => {
                write!(f, "parameter '{}' of {module} cannot be '{}'", Escaped(name), Escaped(value))
            }
            Reason::VersionMagic { module: built, kernel } => {
                write!(f, "{module} was built for '{}', the kernel is '{}'", Escaped(built), Escaped(kernel))
            }
        }
    }
}

struct List<'a>(&'a [Vec<u8>]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.0.iter().take(SHOWN).map(|name| Escaped(name).to_string()).collect();
        let more = self.0.len().saturating_sub(SHOWN);
        f.write_str(&shown.join(", "))?;
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ModuleName {
        ModuleName::new(text.as_bytes()).unwrap()
    }

    fn message(lines: &[&str]) -> Option<String> {
        let module = name("mod-x");
        find(&module, lines.iter().map(|line| line.as_bytes())).map(|reason| reason.about(&module).to_string())
    }

    #[test]
    fn each_known_line_gives_its_reason() {
        let said = |line: &str| message(&["eth0: link up", line]).unwrap();
        assert_eq!(said("mod_x: Unknown symbol foo_do (err -2)"), "mod_x needs foo_do");
        assert_eq!(said("mod_x: disagrees about version of symbol foo"), "mod_x needs another version of foo");
        assert_eq!(said("mod_x: Unknown parameter `nosuch'"), "mod_x has no parameter 'nosuch'");
        assert_eq!(said("mod_x: `a b' invalid for parameter `num'"), "parameter 'num' of mod_x cannot be 'a b'");
        assert_eq!(said("mod_x: `it's' too large for parameter `s'"), "parameter 's' of mod_x cannot be 'it's'");
        assert_eq!(
            said("mod_x: version magic '6.1.0 SMP ' should be '6.12.0 SMP '"),
            "mod_x was built for '6.1.0 SMP ', the kernel is '6.12.0 SMP '"
        );
    }

    #[test]
    fn symbols_of_several_lines_are_listed_and_a_wrong_version_is_not_reported_as_unknown() {
        let lines = [
            "mod_x: Unknown symbol a (err -2)",
            "mod_x: Unknown symbol b (err -2)",
            "mod_x: Unknown symbol a (err -2)",
        ];
        assert_eq!(message(&lines).unwrap(), "mod_x needs a, b");
        let lines = ["mod_x: disagrees about version of symbol a", "mod_x: Unknown symbol a (err -22)"];
        assert_eq!(message(&lines).unwrap(), "mod_x needs another version of a");
        let many: Vec<String> = (0..10).map(|n| format!("mod_x: Unknown symbol s{n} (err -2)")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(message(&many).unwrap(), "mod_x needs s0, s1, s2, s3, s4, s5, s6, s7 and 2 more");
    }

    #[test]
    fn lines_about_other_modules_and_unknown_lines_are_ignored() {
        for line in [
            "other: Unknown symbol a (err -2)",
            "mod_x: unknown parameter 'y' ignored",
            "mod_x: hello",
            "mod_x: `open",
            "mod_x: Unknown symbol ",
            "mod_x",
            "",
        ] {
            assert_eq!(message(&[line]), None, "{line}");
        }
    }

    #[test]
    fn a_failed_decompression_is_recognised_by_its_word() {
        assert!(is_about_decompression(b"decompression failed with status 6"));
        assert!(is_about_decompression(b"module: ZSTD-decompression failed"));
        assert!(!is_about_decompression(b"mod_x: `a' invalid for parameter `b'"));
    }

    #[test]
    fn any_lines_are_parsed_without_a_panic() {
        const PARTS: &[&str] = &[
            "mod_x",
            ": ",
            "`",
            "'",
            " ",
            "Unknown symbol ",
            " invalid for parameter ",
            "version magic ",
            " should be ",
        ];
        arbtest::arbtest(|u| {
            let mut line = String::new();
            for _ in 0..u.int_in_range(0..=10)? {
                line += u.choose(PARTS)?;
            }
            let _ = message(&[&line]);
            Ok(())
        });
    }
}
