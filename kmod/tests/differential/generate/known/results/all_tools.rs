//! Rules that concern all tools.

use std::collections::BTreeSet;

use kmod::name::Escaped;

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
const NEWER: [&str; 6] =
    ["--incremental", "--show-alias", "--show-config", "--force-modversion", "--force-vermagic", "--show-modversions"];

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
pub(super) fn reason_for_a_file(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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
    /// The error of a kernel without modules.
    const REFUSED: &str = "Function not implemented";
    // C kmod does not pass a file to the kernel that is shorter than the mark of a compressed file.
    let is_short = |name: &str| {
        let files = at.case.steps[at.step].words.iter().map(|word| latin(word));
        let mut files = files.filter(|path| path.contains('/') && inputs::module_of(path) == name);
        files.any(|path| crate::generate::plan::text(at.case, &path).len() < 6)
    };
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
                let is_of_file = our_cause.strip_suffix(cause).and_then(|text| text.strip_suffix(": "));
                let is_invalid = cause == "Invalid argument";
                let is_known = is_invalid && (our_cause == EMPTY || is_short(file) && our_cause == REFUSED)
                    || is_of_file.is_some_and(|path| inputs::module_of(path) == file);
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

/// Ours prints a backslash as two, and other bytes as `\\xNN`. The escapes of a line must be those of bytes that C kmod
/// printed beside the same text.
pub(super) fn bytes_in_messages(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    /// The number of bytes on both sides that must be the same.
    const BESIDE: usize = 4;
    for (theirs, ours) in [(&theirs.err, &mut ours.err), (&theirs.syslog, &mut ours.syslog)] {
        let line = |line: &[u8]| {
            let plain = unescaped(line);
            let (text, _) = plain.strip_suffix(b"\n").map_or((&plain[..], &b""[..]), |text| (text, b"\n"));
            let is_canonical = Escaped(text).to_string().as_bytes() == line.strip_suffix(b"\n").unwrap_or(line);
            let is_printed = |at: usize| {
                let part = &text[at.saturating_sub(BESIDE)..text.len().min(at + BESIDE)];
                theirs.windows(part.len()).any(|window| window == part)
            };
            let is_escaped = |at: &usize| text[*at] == b'\\' || !matches!(text[*at], b' '..=b'~');
            match is_canonical && (0..text.len()).filter(is_escaped).all(is_printed) {
                true => plain,
                false => line.to_vec(),
            }
        };
        *ours = ours.split_inclusive(|&b| b == b'\n').flat_map(line).collect();
    }
}

/// Returns a line with the bytes of its escapes.
fn unescaped(mut line: &[u8]) -> Vec<u8> {
    let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let mut plain = Vec::new();
    while let [first, rest @ ..] = line {
        let (byte, after) = match (first, rest) {
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            (b'\\', [b'x', a, b, after @ ..]) => hex(&[*a, *b]).map_or((b'\\', rest), |byte| (byte, after)),
            _ => (*first, rest),
        };
        line = after;
        plain.push(byte);
    }
    plain
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

/// C kmod prints paths as they were given.
pub(super) fn slashes(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    for (theirs, ours) in
        [(&mut theirs.out, &ours.out), (&mut theirs.err, &ours.err), (&mut theirs.syslog, &ours.syslog)]
    {
        let expected: Vec<Vec<u8>> = paths(&latin(ours)).map(|path| path.bytes().collect()).collect();
        change_lines(theirs, |line| {
            let mut line = line;
            let odd: Vec<String> = paths(&line).map(str::to_owned).collect();
            for path in odd {
                let plain = plain_path(&path);
                if expected.iter().any(|expected| *expected == plain.bytes().collect::<Vec<u8>>()) {
                    line = line.replacen(&path, &plain, 1);
                }
            }
            Some(line)
        });
    }
}

/// Returns the paths in a message.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .map(|word| word.trim_end_matches([':', '.']))
        .filter(|word| word.contains('/'))
}

/// Normalises a path: each file has one.
fn plain_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
