//! Rules on what depmod printed.

use super::{change_lines, is_usage_error, keep_first, latin};
use crate::generate::judge::Differing;
use crate::generate::known::getopt::tool;
use crate::results::Done;

pub(super) fn quick_without_dep(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
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
        if line.starts_with("depmod: ERROR: could not open directory ") && !line.contains("/lib/modules/") {
            return None;
        }
        let Some((before, rest)) = line.split_once(".conf:") else { return Some(line) };
        rest.contains(": ignoring bad line starting with ")
            .then(|| format!("{before}.conf line {rest}"))
            .or(Some(line.clone()))
    });
    change_lines(&mut ours.err, |line| {
        let is_bad = line.strip_prefix("depmod: ERROR: ").and_then(|rest| {
            let (path, rest) = rest.split_once(" line ")?;
            let number = rest.split(':').next()?.parse().ok()?;
            let text = crate::generate::plan::text(at.case, path);
            let (_, line) =
                super::super::inputs::logical_lines(text).into_iter().find(|(first, _)| *first == number)?;
            Some(is_bad_in_ours(&line))
        });
        (is_bad != Some(true)).then_some(line)
    });
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

pub(super) fn quick_without_directory(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
        keep_first(&mut theirs.err, |line| line.contains(": could not open directory ").then(|| line.to_owned()));
    }
}

/// C kmod lists any file, or has another message.
pub(super) fn no_module_file(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let message = latin(&ours.err);
    let file = message
        .strip_prefix("depmod: FATAL: ")
        .and_then(|rest| rest.split_once(" is not a module file; "))
        .map(|(file, _)| file);
    let is_operand = |word: &Vec<u8>| file.is_some_and(|file| file.bytes().eq(word.iter().copied()));
    let has_suffix = |file: &str| [".ko", ".ko.xz", ".ko.gz", ".ko.zst"].iter().any(|suffix| file.ends_with(suffix));
    let words = &at.case.steps[at.step].words;
    let created = latin(&theirs.err);
    let not_created =
        created.strip_prefix("depmod: FATAL: could not create module ").and_then(|rest| rest.split_once(": "));
    if words.iter().any(is_operand) && !file.is_some_and(has_suffix)
        || not_created.is_some_and(|(file, _)| !has_suffix(file)) && theirs.end == ours.end
    {
        *theirs = ours.clone();
    }
}

/// C kmod checks the value while it parses the options.
pub(super) fn prefix_before_option(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let is_it = theirs.err == b"depmod: FATAL: -P only takes a single char\n" && theirs.end == ours.end;
    if is_it && is_usage_error(&ours.err, "depmod") {
        *theirs = ours.clone();
    }
}

/// C kmod reports each symbol. No module of a random case has versions.
pub(super) fn no_versions(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
        change_lines(&mut theirs.err, |line| (!line.contains(" disagrees about version of symbol ")).then_some(line));
    }
}
