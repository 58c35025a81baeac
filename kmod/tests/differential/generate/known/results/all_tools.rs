//! Rules that concern all tools.

use super::{change_lines, latin};
use crate::generate::judge::Differing;
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

pub(super) fn candidates(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    for done in [theirs, ours] {
        change_lines(&mut done.err, |line| match line.split_once("' is ambiguous; possibilities: ") {
            Some((option, _)) => Some(format!("{option}' is ambiguous\n")),
            None => Some(line),
        });
    }
}

/// Whether our tools may have reported this operand as a directory.
fn is_directory(operand: &str) -> bool {
    operand.ends_with('/') || operand.ends_with('.') || operand.contains("lib/modules")
}

/// The cause after `Failed to get module from path X` and similar messages.
pub(super) fn reason_for_a_file(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let words = &at.case.steps[at.step].words;
    let shows = words.iter().any(|word| word.starts_with(b"--show-") || word.starts_with(b"--du"));
    const MESSAGES: [&str; 5] = [
        "Failed to get module from path ",
        "could not load module ",
        "could not get modinfo from ",
        "could not get symbols of ",
        "could not get modversions of ",
    ];
    for text in [&mut theirs.err, &mut theirs.syslog, &mut ours.err, &mut ours.syslog] {
        change_lines(text, |line| {
            let missing = line
                .split_once(": Module ")
                .and_then(|(start, rest)| Some((start, rest.strip_suffix(" not found.\n")?)));
            let insert = line
                .split_once(": could not insert module ")
                .and_then(|(start, rest)| Some((start, rest.split_once(": ")?.0)));
            if let Some((start, name)) =
                insert.filter(|(start, name)| start.ends_with("insmod: ERROR") && is_directory(name))
            {
                return Some(format!("{start}: could not load module {name}: (reason)\n"));
            }
            if let Some((start, name)) = missing.filter(|(_, name)| is_directory(name)) {
                if start.ends_with("modinfo: ERROR") {
                    return Some(format!("{start}: could not get modinfo from '{name}': (reason)\n"));
                } else if shows {
                    return Some(format!("{start}: could not read (file)\n"));
                }
            }
            let message = MESSAGES.iter().find_map(|message| Some((message, line.find(message)?)));
            match (message, line.rsplit_once(": ")) {
                (Some((message, at)), _) if message.contains("symbols") || message.contains("versions") => {
                    Some(format!("{}could not read (file)\n", &line[..at]))
                }
                (Some(_), Some((text, _))) => Some(format!("{text}: (reason)\n")),
                _ => Some(line),
            }
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
            let is_it =
                [" INFO: custom logging function 0x", " INFO: context 0x"].iter().any(|part| line.contains(part));
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
