//! A second parser for modprobe.d, written from its description: slow and simple. It shares only the normalisation of names
//! and the matching of patterns with the parser under test; the target `module_name` checks these.

use crate::pattern;
use kmod::config::{Alias, Command, Config, ModuleOptions, Softdep, Weakdep};
use kmod::name::{ModuleName, normalise_alias};

/// A rejected line: its number, its first word, and whether it is deprecated.
pub(super) type BadLine = (usize, Vec<u8>, bool);

/// A configuration and its rejected lines.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) config: Config,
    pub(super) bad: Vec<BadLine>,
}

pub(super) fn read(text: &[u8]) -> Reading {
    let mut reading = Reading::default();
    for (number, line) in joined(text) {
        let is_blank = |line: &[u8]| line.iter().all(|byte| b" \t".contains(byte));
        if line.starts_with(b"#") || is_blank(&line) {
            continue;
        }
        if reading.apply(&line).is_none() {
            let word = fields(&line).next().unwrap_or_default();
            reading.bad.push((number, word.to_vec(), matches!(word, b"include" | b"config")));
        }
    }
    reading
}

/// A `mask` line: its number and pattern.
type Masked = (usize, Vec<u8>);

/// The masks and the rejected lines of a file of kmod.d.
pub(super) fn masks(text: &[u8]) -> (Vec<Masked>, Vec<BadLine>) {
    let (mut masks, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in joined(text).into_iter().filter(|(_, line)| !line.starts_with(b"#")) {
        let words: Vec<&[u8]> = line.split(|byte| b" \t\r".contains(byte)).filter(|word| !word.is_empty()).collect();
        let Some((keyword, arguments)) = words.split_first() else { continue };
        let name = arguments.first().filter(|_| *keyword == b"mask").map(|name| unquoted(name));
        let pattern = name.filter(|name| !name.is_empty()).and_then(|name| normalise_alias(name).ok());
        if pattern.is_none() || arguments.len() > 1 {
            bad.push((number, keyword.to_vec(), false));
        }
        masks.extend(pattern.map(|pattern| (number, pattern)));
    }
    (masks, bad)
}

/// The word without the quotes at its ends.
fn unquoted(mut word: &[u8]) -> &[u8] {
    while let Some(rest) = word.strip_prefix(b"\"").or_else(|| word.strip_prefix(b"'")) {
        word = rest;
    }
    while let Some(rest) = word.strip_suffix(b"\"").or_else(|| word.strip_suffix(b"'")) {
        word = rest;
    }
    word
}

/// Whether the text ends inside a line that a backslash continues.
pub(super) fn is_open(text: &[u8]) -> bool {
    let end = text.strip_suffix(b"\n").unwrap_or(text);
    end.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The lines with their numbers. Undoes escapes first and marks the escaped bytes: an escaped newline joins two lines.
pub(crate) fn joined(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut bytes: Vec<(u8, bool)> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let escaped = text[at] == b'\\';
        if let Some(byte) = text.get(at + usize::from(escaped)) {
            bytes.push((*byte, escaped));
        }
        at += 1 + usize::from(escaped);
    }
    let mut lines = Vec::new();
    let mut number = 1;
    for line in bytes.split(|byte| *byte == (b'\n', false)) {
        let continued = line.iter().filter(|byte| **byte == (b'\n', true)).count();
        let kept = line.iter().filter(|byte| **byte != (b'\n', true)).map(|(byte, _)| *byte).collect();
        lines.push((number, kept));
        number += continued + 1;
    }
    lines
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| b" \t".contains(byte)).filter(|field| !field.is_empty())
}

/// Everything after the second field and the single space that follows it.
fn value(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line;
    for _ in 0..2 {
        let field = fields(rest).next()?;
        let start = rest.windows(field.len()).position(|window| window == field)?;
        rest = rest.get(start + field.len() + 1..)?;
    }
    Some(rest)
}

impl Reading {
    /// Applies a line; `None` if it is invalid.
    fn apply(&mut self, line: &[u8]) -> Option<()> {
        let config = &mut self.config;
        let keyword = fields(line).next()?;
        let pattern = normalise_alias(fields(line).nth(1)?).ok()?;
        let words: Vec<Vec<u8>> = fields(line).skip(2).map(<[u8]>::to_vec).collect();
        if line.contains(&0) || (words.is_empty() && keyword != b"blacklist") {
            return None;
        }
        // Names of soft and weak dependencies end at any white space.
        let names = words.iter().flat_map(|word| word.split(|byte| b"\n\x0b\x0c\r".contains(byte)));
        let names: Vec<Vec<u8>> = names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
        match keyword {
            b"blacklist" => config.blacklist.push(pattern),
            b"alias" => config.aliases.push(Alias { pattern, target: normalise_alias(words.first()?).ok()? }),
            b"options" => {
                let text = value(line)?.iter().map(|byte| if *byte == b'\t' { b' ' } else { *byte }).collect();
                config.options.push(ModuleOptions { name: pattern, text });
            }
            b"install" => config.install.push(Command { pattern, command: value(line)?.to_vec() }),
            b"remove" => config.remove.push(Command { pattern, command: value(line)?.to_vec() }),
            b"softdep" => {
                let under = |mark: &[u8]| {
                    let last_mark =
                        |at: usize| names[..at].iter().rfind(|w| matches!(w.as_slice(), b"pre:" | b"post:"));
                    let is_mark = |word: &[u8]| matches!(word, b"pre:" | b"post:");
                    let here = |at: &usize| !is_mark(&names[*at]) && last_mark(*at).is_some_and(|last| last == mark);
                    (0..names.len()).filter(here).map(|at| names[at].clone()).collect()
                };
                config.softdeps.push(Softdep { pattern, pre: under(b"pre:"), post: under(b"post:") });
            }
            b"weakdep" => config.weakdeps.push(Weakdep { pattern, names }),
            _ => return None,
        }
        Some(())
    }
}

pub(super) fn options(config: &Config, module: &ModuleName, alias: Option<&[u8]>) -> Vec<u8> {
    let applies = |options: &&ModuleOptions| {
        options.name == module.as_bytes() || alias.is_some_and(|alias| options.name == alias)
    };
    let texts: Vec<&[u8]> = config.options.iter().filter(applies).map(|options| options.text.as_slice()).collect();
    texts.join(&b' ')
}

pub(super) fn command<'c>(commands: &'c [Command], module: &ModuleName) -> Option<&'c [u8]> {
    commands
        .iter()
        .find(|command| pattern::matches(&command.pattern, module.as_bytes()))
        .map(|command| command.command.as_slice())
}

pub(super) fn weakdeps<'c>(config: &'c Config, module: &ModuleName) -> Vec<&'c [u8]> {
    let mut all: Vec<&[u8]> = Vec::new();
    for weakdep in config.weakdeps.iter().filter(|weakdep| pattern::matches(&weakdep.pattern, module.as_bytes())) {
        for name in &weakdep.names {
            if !all.contains(&name.as_slice()) {
                all.push(name);
            }
        }
    }
    all
}

pub(super) fn softdeps<'c>(config: &'c Config, module: &ModuleName) -> (Vec<&'c [u8]>, Vec<&'c [u8]>) {
    let (mut pre, mut post): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    for softdep in config.softdeps.iter().filter(|softdep| pattern::matches(&softdep.pattern, module.as_bytes())) {
        for (list, names) in [(&mut pre, &softdep.pre), (&mut post, &softdep.post)] {
            for name in names {
                if !list.contains(&name.as_slice()) {
                    list.push(name);
                }
            }
        }
    }
    (pre, post)
}
