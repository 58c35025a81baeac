//! Rules that concern all tools.

use std::collections::BTreeSet;

use super::{change_lines, latin, pairs, untimed};
use crate::generate::judge::Differing;
use crate::generate::known::inputs;
use crate::results::Done;

/// C kmod replaces the dashes before the bracket.
pub(super) fn bracket_in_item(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    for done in [theirs, ours] {
        for text in [&mut done.err, &mut done.syslog] {
            change_lines(text, |line| match line.split_once(" while parsing module name: ") {
                Some((start, name)) => Some(format!("{start} while parsing module name: {}", name.replace('-', "_"))),
                None => Some(line),
            });
        }
    }
}

/// Options that only ours and master have.
const NEWER: [&str; 5] =
    ["--show-alias", "--show-config", "--force-modversion", "--force-vermagic", "--show-modversions"];

/// Ours lists the candidates in another order, and newer options among them.
pub(super) fn candidates(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    fn parts(line: &str) -> Option<(&str, BTreeSet<&str>)> {
        let (option, list) = line.trim_end().split_once("' is ambiguous; possibilities: ")?;
        Some((option, list.split(' ').map(|name| name.trim_matches('\'')).collect()))
    }
    pairs(&mut theirs.err, &ours.err, |theirs, ours| {
        let ((option, old), (same_option, new)) = (parts(theirs)?, parts(ours)?);
        let is_known = old.is_subset(&new) && new.difference(&old).all(|name| NEWER.contains(name));
        (option == same_option && is_known).then(|| ours.to_owned())
    });
}

/// The cause after `Failed to get module from path X` and similar messages. If C kmod found no file, so must ours, except that
/// ours reports a directory as one.
pub(super) fn reason_for_a_file(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    const MESSAGES: [&str; 6] = [
        "Failed to get module from path ",
        "could not load module ",
        "could not insert module ",
        "could not get modinfo from ",
        "could not get symbols of ",
        "could not get modversions of ",
    ];
    /// The start of the line, the message, the file, and the cause.
    fn parts(line: &str) -> Option<(&str, &str, &str, &str)> {
        let line = line.trim_end();
        // Ours names the file in the cause.
        if let Some((start, (name, cause))) =
            line.split_once("could not insert '").and_then(|(start, rest)| Some((start, rest.split_once("': ")?)))
        {
            let cause = if cause.ends_with(": the file is empty") { EMPTY } else { cause };
            return Some((start, "could not insert '", name, cause));
        }
        if let Some((message, at)) = MESSAGES.iter().find_map(|&message| Some((message, line.find(message)?))) {
            let (file, cause) = line[at + message.len()..].rsplit_once(": ")?;
            return Some((&line[..at], message, file.trim_matches('\''), cause));
        }
        let (start, rest) = line.split_once(": Module ")?;
        Some((&line[..start.len() + 2], "Module ", rest.strip_suffix(" not found.")?, NOT_FOUND))
    }
    const NOT_FOUND: &str = "No such file or directory";
    const EMPTY: &str = "the file is empty";
    for (theirs, ours) in [(&mut theirs.err, &ours.err), (&mut theirs.syslog, &ours.syslog)] {
        pairs(theirs, ours, |theirs, ours| {
            let ((tool, message, file, cause), (our_tool, our_message, our_file, our_cause)) =
                (parts(theirs)?, parts(ours)?);
            // C kmod gets the paths of modules that ours gets by name.
            let is_found = message.ends_with(" of ") && inputs::module_of(file) == inputs::module_of(our_file);
            let is_same_file = untimed(tool) == untimed(our_tool) && (file == our_file || is_found);
            let is_directory =
                our_cause == "Is a directory" && (file.ends_with(['/', '.']) || file.contains("lib/modules"));
            if message == "could not insert '" {
                let is_known = cause == "Invalid argument" && our_cause == EMPTY;
                return (is_same_file && is_known).then(|| ours.to_owned());
            }
            let is_known = match (message == our_message, cause == NOT_FOUND) {
                // Symbols and versions are read by the same function.
                (true, false) => true,
                (_, true) => is_directory,
                (false, false) => message.starts_with("could not get ") && our_message.starts_with("could not get "),
            };
            (is_same_file && is_known).then(|| ours.to_owned())
        });
    }
}

/// Ours prints a backslash as two, and other bytes as `\\xNN`.
pub(super) fn bytes_in_messages(_: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    for text in [&mut ours.err, &mut ours.syslog] {
        let mut plain = Vec::new();
        let mut rest = &text[..];
        while let Some((&first, after)) = rest.split_first() {
            let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
            let (byte, end) = match (first, after) {
                (b'\\', [b'\\', after @ ..]) => (b'\\', after),
                (b'\\', [b'x', a, b, after @ ..]) if hex(&[*a, *b]).is_some() => {
                    (hex(&[*a, *b]).unwrap_or_default(), after)
                }
                _ => (first, after),
            };
            rest = end;
            plain.push(byte);
        }
        *text = plain;
    }
}

pub(super) fn context_of_the_library(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    for text in [&mut theirs.err, &mut theirs.syslog] {
        change_lines(text, |line| {
            let starts = ["custom logging function 0x", "context 0x", "Failed to insert module '"];
            let is_it = starts.map(|start| format!(" INFO: {start}")).iter().any(|part| line.contains(&part[..]));
            (!is_it).then_some(line)
        });
    }
}

/// C kmod fails if there is nothing to strip.
pub(super) fn nothing_to_strip(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let mark = "Failed to strip version information: No data available\n";
    for (theirs, ours) in [(&mut theirs.err, &mut ours.err), (&mut theirs.syslog, &mut ours.syslog)] {
        if !latin(theirs).contains(mark) {
            continue;
        }
        change_lines(theirs, |line| (!line.ends_with(mark)).then_some(line));
        for text in [theirs, ours] {
            change_lines(text, |line| match line.rsplit_once(": ") {
                Some((start, _)) if line.contains("could not insert ") => Some(format!("{start}: (cause)\n")),
                _ => Some(line),
            });
        }
    }
}
