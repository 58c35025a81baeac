//! Rules on what insmod, rmmod, lsmod and kmod printed.

use super::{change_lines, is_word, latin};
use crate::generate::judge::Differing;
use crate::generate::known::getopt::tool;
use crate::results::Done;

/// C kmod's messages about the empty name differ with the options.
pub(super) fn empty_name(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let step = &at.case.steps[at.step];
    if tool(step) != b"rmmod" {
        return;
    }
    // `.x` and `lib/` are the empty name, too.
    let is_empty = |word: &&Vec<u8>| {
        word.rsplit(|&b| b == b'/').next().is_none_or(|name| matches!(name, [] | [b'.', ..])) || word.starts_with(b".")
    };
    let names: Vec<&Vec<u8>> = step.words.iter().skip(1).filter(is_empty).collect();
    for (theirs, ours) in [(&mut theirs.err, &mut ours.err), (&mut theirs.syslog, &mut ours.syslog)] {
        change_lines(ours, |line| {
            let name = line
                .split_once("could not use module ")
                .and_then(|(_, rest)| rest.split_once(": the module name is empty"));
            let is_it = name.is_some_and(|(name, _)| names.iter().any(|operand| is_word(name, operand)));
            (!is_it).then_some(line)
        });
        change_lines(theirs, |line| {
            let message = line.split_once("rmmod: ERROR: ").map_or(&line[..], |(_, message)| message);
            let is_it = !names.is_empty()
                && (message == "Module unloading is not supported\n"
                    || message.starts_with("could not open '/sys/module//holders'")
                    || message.starts_with("could not remove '': ")
                    || message.starts_with("could not remove module : ")
                    || names
                        .iter()
                        .any(|name| message.starts_with(&format!("could not remove module {}: ", latin(name)))));
            (!is_it).then_some(line)
        });
    }
}

pub(super) fn order_in_lsmod(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    if !matches!(tool(&at.case.steps[at.step]), b"lsmod" | b"kmod") {
        return;
    }
    for done in [theirs, ours] {
        change_lines(&mut done.out, |line| {
            let (before, users) = line.trim_end().rsplit_once(' ')?;
            let mut users: Vec<&str> = users.split(',').collect();
            users.sort_unstable();
            Some(format!("{before} {}\n", users.join(",")))
        });
    }
}

pub(super) fn order_of_users(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    for done in [theirs, ours] {
        for text in [&mut done.err, &mut done.syslog] {
            change_lines(text, |line| match line.split_once(" is in use by: ") {
                Some((before, users)) => {
                    let mut users: Vec<&str> = users.split_whitespace().collect();
                    users.sort_unstable();
                    Some(format!("{before} is in use by: {}\n", users.join(" ")))
                }
                None => Some(line),
            });
        }
    }
}

/// The library and the tool report the same refusal, one after the other.
pub(super) fn refused_removal(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    for text in [&mut theirs.err, &mut theirs.syslog] {
        let reason = |line: &str| line.rsplit_once(": ").map(|(_, reason)| reason.to_owned());
        let mut tools: std::collections::VecDeque<String> = String::from_utf8_lossy(text)
            .split_inclusive('\n')
            .filter(|line| line.contains("could not remove module "))
            .filter_map(reason)
            .collect();
        change_lines(text, |line| {
            let is_repeated = line.contains("could not remove '") && tools.front() == reason(&line).as_ref();
            if is_repeated {
                tools.pop_front();
            }
            (!is_repeated).then_some(line)
        });
    }
}

pub(super) fn verbose_insmod(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    verbose(at, b"insmod", "insmod: INFO: loading ", ours);
}

pub(super) fn verbose_rmmod(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    verbose(at, b"rmmod", "rmmod: INFO: rmmod ", ours);
}

fn verbose(at: &Differing<'_>, name: &[u8], message: &str, ours: &mut Done) {
    let step = &at.case.steps[at.step];
    let is_asked = step.words.iter().any(|word| word.starts_with(b"-v") || word.starts_with(b"--v"));
    if tool(step) == name && is_asked {
        for text in [&mut ours.err, &mut ours.syslog] {
            change_lines(text, |line| (!line.contains(message)).then_some(line));
        }
    }
}
