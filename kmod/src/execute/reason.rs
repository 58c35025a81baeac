//! Finds out why the kernel refused a module: one errno has several causes, and the kernel log names the cause. Pure.
//!
//! [`LINES`] lists the lines that explain a refusal. Some are parsed into a [`Reason`] with its own message, the others are
//! quoted. A line that names the module is preferred to one that does not, since another process may cause that one.

mod lines;

use crate::name::{Escaped, ModuleName};
use std::fmt;

pub use lines::{KnownLine, LINES, PARAMETER_LINES};

/// The number of symbols that a message lists.
const SHOWN: usize = 8;

/// Why a module was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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
        /// What is wrong with the value, if the kernel says it.
        detail: Option<Vec<u8>>,
    },
    /// It was built for another kernel.
    VersionMagic {
        /// The version magic of the module.
        module: Vec<u8>,
        /// The version magic of the kernel.
        kernel: Vec<u8>,
    },
    /// It is in `module_blacklist=` of the kernel command line.
    Blacklisted,
    /// The sysctl `kernel.modules_disabled` is set.
    ModulesDisabled,
    /// Another line of the log, without the name of the module at its beginning.
    Line(Vec<u8>),
}

/// What one line contributes.
enum Found {
    /// A reason that names the module.
    Named(Reason),
    /// A reason that may be about another module.
    Unnamed(Reason),
    /// What is wrong with the value of a parameter.
    Detail { parameter: Vec<u8>, text: Vec<u8> },
}

/// Returns the first reason that the lines contain for a module with these names, with the symbols of all lines of its kind.
#[must_use]
pub fn find<'a>(names: &[ModuleName], lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Reason> {
    let mut named: Option<Reason> = None;
    let mut unnamed: Option<Reason> = None;
    let mut details: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for line in lines {
        match read(names, line) {
            None => {}
            Some(Found::Detail { parameter, text }) => details.push((parameter, text)),
            Some(Found::Unnamed(reason)) => {
                unnamed.get_or_insert(reason);
            }
            Some(Found::Named(mut reason)) => {
                if let Reason::BadParameter { name, detail, .. } = &mut reason {
                    *detail = details.iter().rfind(|(parameter, _)| parameter == name).map(|(_, text)| text.clone());
                }
                merge(&mut named, reason);
            }
        }
    }
    named.or(unnamed)
}

/// Keeps the first reason, and adds symbols of the same kind.
fn merge(found: &mut Option<Reason>, reason: Reason) {
    match (found, reason) {
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
        (found, reason) => *found = Some(reason),
    }
}

/// Whether a line reports that the kernel could not decompress a module.
#[must_use]
pub fn is_about_decompression(line: &[u8]) -> bool {
    line.windows(b"ompress".len()).any(|part| part == b"ompress")
}

fn read(names: &[ModuleName], line: &[u8]) -> Option<Found> {
    if let Some(text) = about(names, line) {
        if let Some(reason) = parse(text) {
            return Some(Found::Named(reason));
        }
    }
    if let Some(known) = LINES.iter().find(|known| known.matches(names, line)) {
        return Some(match (known.names_module(), known.text.starts_with("Module {module} is blacklisted")) {
            (_, true) => Found::Named(Reason::Blacklisted),
            (true, _) => Found::Named(Reason::Line(without_prefix(names, line))),
            (false, _) => Found::Unnamed(Reason::Line(without_prefix(names, line))),
        });
    }
    PARAMETER_LINES.iter().find(|known| known.matches(names, line))?;
    let colon = line.windows(2).position(|pair| pair == b": ")?;
    Some(Found::Detail { parameter: line[..colon].to_vec(), text: line[colon + 2..].to_vec() })
}

/// Returns the text of a line about a module: what follows its name and a colon.
fn about<'a>(names: &[ModuleName], line: &'a [u8]) -> Option<&'a [u8]> {
    let colon = line.windows(2).position(|pair| pair == b": ")?;
    let (name, text) = (&line[..colon], &line[colon + 2..]);
    names.contains(&ModuleName::new(name).ok()?).then_some(text)
}

/// Returns a line without the names of its source (`module: `) and of the module at its beginning.
fn without_prefix(names: &[ModuleName], line: &[u8]) -> Vec<u8> {
    let line = line.strip_prefix(b"module: ").unwrap_or(line);
    about(names, line).unwrap_or(line).to_vec()
}

impl KnownLine {
    /// Whether the line contains the name of the module.
    fn names_module(&self) -> bool {
        self.text.contains("{module}")
    }

    /// Whether this is the line, for a module with one of these names.
    fn matches(&self, names: &[ModuleName], line: &[u8]) -> bool {
        matches(self.text.as_bytes(), names, line)
    }
}

/// Matches a text of [`KnownLine`].
fn matches(text: &[u8], names: &[ModuleName], line: &[u8]) -> bool {
    const MODULE: &[u8] = b"{module}";
    if let Some(rest) = text.strip_prefix(MODULE) {
        let literal = literal(rest);
        let Some(end) = position(line, literal) else { return false };
        let is_name = ModuleName::new(&line[..end]).is_ok_and(|name| names.contains(&name));
        return is_name && matches(rest, names, &line[end..]);
    }
    if let Some(rest) = text.strip_prefix(b"*") {
        if rest.is_empty() {
            return true;
        }
        let literal = literal(rest);
        // The last text of a line is at its end, the others are at their first place.
        return if literal.len() == rest.len() {
            line.ends_with(literal)
        } else {
            position(line, literal).is_some_and(|at| matches(rest, names, &line[at..]))
        };
    }
    let literal = literal(text);
    match line.strip_prefix(literal) {
        Some(rest) if literal.is_empty() => rest.is_empty(),
        Some(rest) => matches(&text[literal.len()..], names, rest),
        None => false,
    }
}

/// Returns the text up to the next placeholder.
fn literal(text: &[u8]) -> &[u8] {
    let end = (0..text.len()).find(|at| text[*at] == b'*' || text[*at..].starts_with(b"{module}"));
    &text[..end.unwrap_or(text.len())]
}

/// Returns where `part` begins in `text`; at its end if `part` is empty.
fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(text.len());
    }
    text.windows(part.len()).position(|window| window == part)
}

/// Parses the text after the name of the module.
fn parse(text: &[u8]) -> Option<Reason> {
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
    Some(Reason::BadParameter { name: quoted(rest)?.0.to_vec(), value: value.to_vec(), detail: None })
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
    /// The message about the sysctl that disables modules.
    pub(crate) const DISABLED: &'static str = "the sysctl kernel.modules_disabled is 1";

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
            Reason::BadParameter { name, value, detail } => {
                write!(f, "parameter '{}' of {module} cannot be '{}'", Escaped(name), Escaped(value))?;
                detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {}", Escaped(detail)))
            }
            Reason::VersionMagic { module: built, kernel } => {
                write!(f, "{module} was built for '{}', the kernel is '{}'", Escaped(built), Escaped(kernel))
            }
            Reason::Blacklisted => write!(f, "{module} is in module_blacklist= of the kernel command line"),
            Reason::ModulesDisabled => f.write_str(Reason::DISABLED),
            Reason::Line(text) => Escaped(text).fmt(f),
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
        find(std::slice::from_ref(&module), lines.iter().map(|line| line.as_bytes()))
            .map(|reason| reason.about(&module).to_string())
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

    /// A line of the kernel with these texts for the placeholders.
    fn example(known: &KnownLine) -> String {
        known.text.replace("{module}", "mod-x").replace('*', "7")
    }

    #[test]
    fn every_listed_line_gives_a_reason() {
        for known in LINES {
            let line = example(known);
            assert!(message(&["noise", &line, "noise"]).is_some(), "{line}");
            let foreign = known.text.replace("{module}", "other").replace('*', "7");
            assert_eq!(message(&[&foreign]).is_some(), !known.names_module(), "{foreign}");
        }
    }

    #[test]
    fn the_listed_lines_are_quoted_without_their_prefix() {
        let shown = |line: &str| message(&[line]).unwrap();
        assert_eq!(shown("Module mod_x is blacklisted"), "mod_x is in module_blacklist= of the kernel command line");
        assert_eq!(shown("mod_x: module has no symbols (stripped?)"), "module has no symbols (stripped?)");
        assert_eq!(shown("module: mod-x: Unknown rela relocation: 42"), "Unknown rela relocation: 42");
        assert_eq!(shown("Loading of unsigned module is rejected"), "Loading of unsigned module is rejected");
        assert_eq!(shown("failed to validate module [mod_x] BTF: -22"), "failed to validate module [mod_x] BTF: -22");
        assert_eq!(shown("mod_x: exports duplicate symbol a (owned by b)"), "exports duplicate symbol a (owned by b)");
    }

    #[test]
    fn a_line_that_names_the_module_is_preferred() {
        let unnamed = "Loading of unsigned module is rejected";
        assert_eq!(message(&[unnamed, "mod_x: Unknown symbol f (err -2)"]).unwrap(), "mod_x needs f");
        assert_eq!(message(&[unnamed, "other: Unknown symbol f (err -2)"]).unwrap(), unnamed);
    }

    #[test]
    fn the_detail_about_a_parameter_belongs_to_the_line_with_its_name() {
        let bad = "mod_x: `1,2,3' invalid for parameter `list'";
        let message = |detail| message(&[detail, bad]).unwrap();
        assert_eq!(
            message("list: can only take 2 arguments"),
            "parameter 'list' of mod_x cannot be '1,2,3': can only take 2 arguments"
        );
        assert_eq!(message("other: can only take 2 arguments"), "parameter 'list' of mod_x cannot be '1,2,3'");
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
