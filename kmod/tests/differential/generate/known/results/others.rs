//! Rules on what insmod, rmmod, lsmod and kmod printed.

use super::{change_lines, is_usage_error};
use crate::generate::judge::Differing;
use crate::generate::known::getopt::tool;
use crate::results::Done;

/// C kmod's messages about the empty name differ with the options.
pub(super) fn empty_name(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    if tool(&at.case.steps[at.step]) != b"rmmod" {
        return;
    }
    for (theirs, ours) in [(&mut theirs.err, &mut ours.err), (&mut theirs.syslog, &mut ours.syslog)] {
        let before = ours.len();
        change_lines(ours, |line| {
            let is_it = line.contains("could not use module ") && line.ends_with(": the module name is empty\n");
            (!is_it).then_some(line)
        });
        if ours.len() == before {
            continue;
        }
        change_lines(theirs, |line| {
            let message = line.split_once("rmmod: ERROR: ").map_or(&line[..], |(_, message)| message);
            let starts = [
                "could not open '/sys/module//holders'",
                "could not remove '': ",
                "could not remove module : ",
                "could not use module ",
            ];
            let is_it = message == "Module unloading is not supported\n"
                || starts.iter().any(|start| message.starts_with(start));
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
    if tool(&at.case.steps[at.step]) == name {
        for text in [&mut ours.err, &mut ours.syslog] {
            change_lines(text, |line| (!line.contains(message)).then_some(line));
        }
    }
}

/// C kmod checks the value while it parses the options.
pub(super) fn unknown_format(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let is_it = theirs.err.starts_with(b"Unknown format: ") && theirs.end == ours.end;
    if is_it && is_usage_error(&ours.err, "static-nodes") {
        *theirs = ours.clone();
    }
}
