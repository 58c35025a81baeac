//! Rules on what depmod printed.

use super::{change_lines, is_word, latin};
use crate::case::Step;
use crate::generate::judge::Differing;
use crate::generate::known::getopt::tool;
use crate::results::Done;

/// Whether a command of depmod has an option, perhaps abbreviated.
fn is_depmod_with(step: &Step, short: &str, long: &str) -> bool {
    let has = |word: &Vec<u8>| {
        let word = latin(word);
        let name = word.split('=').next().unwrap_or_default();
        word.starts_with(short) || name.len() > 2 && name.starts_with("--") && long.starts_with(name)
    };
    tool(step) == b"depmod" && step.words.iter().any(has)
}

pub(super) fn quick_without_dep(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if is_depmod_with(&at.case.steps[at.step], "-A", "--quick") {
        change_lines(&mut theirs.err, |line| {
            let is_it =
                line.contains("could not fstatat(") && line.ends_with("modules.dep): No such file or directory\n");
            (!is_it).then_some(line)
        });
    }
}

/// `FILE:N:` in C kmod, `FILE line N:` in ours. Ours also reports relative directories and invalid expressions.
pub(super) fn depmod_lines(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    if tool(&at.case.steps[at.step]) != b"depmod" {
        return;
    }
    change_lines(&mut theirs.err, |line| {
        let opened = line.strip_prefix("depmod: ERROR: could not open directory ");
        if opened.and_then(|rest| rest.split(": ").next()).is_some_and(|directory| is_external(at, directory)) {
            return None;
        }
        let Some((before, rest)) = line.split_once(".conf:") else { return Some(line) };
        rest.contains(": ignoring bad line starting with ")
            .then(|| format!("{before}.conf line {rest}"))
            .or(Some(line.clone()))
    });
    change_lines(&mut ours.err, |line| {
        let is_bad = line.strip_prefix("depmod: ERROR: ").and_then(|rest| {
            let (path, rest) =
                rest.split_once(" line ").filter(|_| rest.contains(": ignoring bad line starting with "))?;
            let number = rest.split(':').next()?.parse().ok()?;
            let text = crate::generate::plan::text(at.case, path);
            let (_, line) =
                super::super::inputs::logical_lines(text).into_iter().find(|(first, _)| *first == number)?;
            Some(is_bad_in_ours(&line))
        });
        (is_bad != Some(true)).then_some(line)
    });
}

/// Whether a line of depmod.d names this directory as an external one, perhaps with surplus slashes.
fn is_external(at: &Differing<'_>, directory: &str) -> bool {
    fn parts(path: &str) -> impl Iterator<Item = &str> {
        path.split('/').filter(|part| !part.is_empty())
    }
    let files = at.plan.files.iter().filter(|(path, _)| path.contains("/depmod.d/"));
    files.flat_map(|(_, text)| super::super::inputs::logical_lines(text)).any(|(_, line)| {
        let line = latin(&line);
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        words.next() == Some("external") && words.nth(1).is_some_and(|word| parts(word).eq(parts(directory)))
    })
}

/// Whether a line of depmod.d, without continuations, has an invalid expression or a relative external directory.
fn is_bad_in_ours(line: &[u8]) -> bool {
    let mut words = line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
    let (keyword, rest): (_, Vec<&[u8]>) = (words.next(), words.collect());
    match (keyword, &rest[..]) {
        (Some(b"external"), [kernel, directory, ..]) => {
            !directory.starts_with(b"/") || !super::super::inputs::is_expression(kernel)
        }
        (Some(b"override"), [_, kernel, _, ..]) => !super::super::inputs::is_expression(kernel),
        _ => false,
    }
}

pub(super) fn kernel_command_line(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
        change_lines(&mut theirs.err, |line| {
            (!line.contains(": Ignoring bad option on kernel command line ")).then_some(line)
        });
    }
}

pub(super) fn order_of_symbols(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    if tool(&at.case.steps[at.step]) != b"depmod" {
        return;
    }
    for done in [theirs, ours] {
        let lines = done.out.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec);
        let (mut symbols, others): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with(b"alias symbol:"));
        symbols.sort();
        done.out = others.into_iter().chain(symbols).flatten().collect();
    }
}

pub(super) fn quick_without_directory(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    if is_depmod_with(&at.case.steps[at.step], "-A", "--quick") {
        // This report comes before those of the search, which ours does not reach if something else is wrong.
        let count = |text: &[u8]| latin(text).matches(": could not open directory ").count();
        let text = latin(&theirs.err);
        let (first, rest) = text.split_once('\n').unwrap_or_default();
        if first.starts_with("depmod: ERROR: could not open directory ") && count(&theirs.err) == count(&ours.err) + 1 {
            theirs.err = rest.chars().map(|c| c as u8).collect();
        }
    }
}

/// Whether our depmod did the same as with a FILE that is missing instead of one without a module suffix, up to the message.
pub(in super::super) fn is_refused(at: &Differing<'_>, done: &Done, with_missing: &Done) -> bool {
    const REFUSED: &str = " is not a module file; its name must end in .ko, .ko.xz, .ko.gz or .ko.zst\n";
    let text = latin(&done.err);
    let Some((before, file)) = text.strip_suffix(REFUSED).and_then(|text| text.rsplit_once("depmod: FATAL: ")) else {
        return done == with_missing;
    };
    let is_operand = at.case.steps[at.step].words.iter().any(|word| is_word(file, word));
    let missing = super::super::steps::MISSING_FILE;
    let expected =
        format!("{before}depmod: FATAL: could not create module {missing}: No such file or directory\n").into_bytes();
    is_operand && Done { err: expected, ..done.clone() } == *with_missing
}

/// C kmod writes an empty file if the list is missing.
pub(super) fn empty_indexes(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    if tool(&at.case.steps[at.step]) != b"depmod" || !latin(&theirs.err).contains("depmod: WARNING: could not open ") {
        return;
    }
    for (path, _, bytes) in &mut theirs.files {
        let is_index = path.ends_with(b"/modules.builtin.bin") || path.ends_with(b"/modules.builtin.alias.bin");
        let our_bytes = ours.files.iter().find(|(other, ..)| other == path).map(|(.., bytes)| bytes);
        let entries = |bytes: &Vec<u8>| kmod::index::Index::parse(bytes.clone()).and_then(|index| index.entries());
        if let Some(our_bytes) = our_bytes.filter(|_| is_index && bytes.is_empty()) {
            if entries(our_bytes).is_ok_and(|entries| entries.is_empty()) {
                bytes.clone_from(our_bytes);
            }
        }
    }
}

/// Our depmod reports the repeated module once.
pub(super) fn repeated_file(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
        change_lines(&mut theirs.err, |line| {
            let is_it = line.starts_with("depmod: ERROR: hash_add_unique ") && line.ends_with(": File exists\n");
            (!is_it).then_some(line)
        });
    }
}

/// C kmod reports each symbol. No module of a random case has versions.
pub(super) fn no_versions(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if is_depmod_with(&at.case.steps[at.step], "-E", "--symvers") {
        change_lines(&mut theirs.err, |line| (!line.contains(" disagrees about version of symbol ")).then_some(line));
    }
}
