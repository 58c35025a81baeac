//! Rules on what modprobe printed.

use std::collections::BTreeSet;

use super::{change_lines, is_about_configuration, is_word, keep_first, latin};
use crate::generate::judge::Differing;
use crate::generate::known::getopt::{Arguments, tool};
use crate::results::Done;

/// C kmod prints the number of the last physical line, ours that of the first.
pub(super) fn number_of_a_continued_line(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    change_lines(&mut theirs.err, |line| {
        let is_depmod = tool(&at.case.steps[at.step]) == b"depmod";
        let parts = match is_depmod {
            true => line.split_once(".conf:").map(|(file, rest)| (file, ".conf:", rest)),
            false => line.split_once(".conf line ").map(|(file, rest)| (file, ".conf line ", rest)),
        };
        let changed = parts.and_then(|(before, middle, rest)| {
            let (number, rest) = rest.split_once(':')?;
            let path = format!("{}.conf", &before[before.find('/')?..]);
            let text = crate::generate::plan::text(at.case, &path);
            let first = super::super::inputs::first_physical(text, number.parse().ok()?)?;
            Some(format!("{before}{middle}{first}:{rest}"))
        });
        Some(changed.unwrap_or(line))
    });
}

/// Ours adds the number of the line.
pub(super) fn deprecated_keyword(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    for text in [&mut ours.err, &mut ours.syslog] {
        change_lines(text, |line| {
            let changed =
                line.split_once(".conf line ").filter(|_| line.contains(" is deprecated and not parsed anymore"));
            let without = |(before, after): (&str, &str)| {
                let (number, rest) = after.split_once(':')?;
                let path = format!("{}.conf", &before[before.find('/')?..]);
                let text = crate::generate::plan::text(at.case, &path);
                let (_, line) = super::super::inputs::logical_lines(text)
                    .into_iter()
                    .find(|(first, _)| number.parse() == Ok(*first))?;
                let word = latin(&line).split_whitespace().next().unwrap_or_default().to_owned();
                matches!(&word[..], "include" | "config").then(|| format!("{before}.conf:{rest}"))
            };
            Some(changed.and_then(without).unwrap_or(line))
        });
    }
}

/// With `-q`, unless three `-v` follow, ours prints nothing, and with `-s` it sends the messages to the system log.
pub(super) fn quiet_configuration(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    let step = &at.case.steps[at.step];
    let arguments = Arguments::of(step);
    let is_quiet = arguments.level() < 3;
    if tool(step) != b"modprobe" || !(is_quiet || arguments.has(b's')) {
        return;
    }
    let mut logged = Vec::new();
    change_lines(&mut theirs.err, |line| {
        if !is_about_configuration(&line) {
            return Some(line);
        }
        let text = line.rsplit_once("kmod_config_parse: ").map_or(&line[..], |(_, text)| text);
        let text = text.strip_prefix("modprobe: ERROR: ").unwrap_or(text);
        // The time is not compared.
        logged.extend(format!("<27>Jan  1 00:00:00 modprobe: ERROR: {text}").chars().map(|c| c as u8));
        None
    });
    if !is_quiet {
        logged.extend_from_slice(&theirs.syslog);
        theirs.syslog = logged;
    }
}

/// C kmod prints no space before `post:`.
pub(super) fn softdep_in_dump(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    change_lines(&mut theirs.out, |line| match line.find("post: ") {
        Some(end) if line.starts_with("softdep ") && line.contains(" pre: ") && !line[..end].ends_with(' ') => {
            Some(format!("{} {}", &line[..end], &line[end..]))
        }
        _ => Some(line),
    });
}

/// C kmod prints the steps of a module again each time that it reaches the module.
pub(super) fn steps_printed_twice(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    if tool(&at.case.steps[at.step]) != b"modprobe" || !(arguments.has(b'D') || arguments.has(b'n')) {
        return;
    }
    let (all, kept) = (latin(&theirs.out), latin(&ours.out));
    let mut kept = kept.split_inclusive('\n').peekable();
    // The options of the module itself are only in one of its lines.
    fn key(line: &str) -> Option<&str> {
        match line.strip_prefix("insmod ") {
            Some(rest) => rest.split(' ').next(),
            None => ["builtin ", "install "].iter().any(|start| line.starts_with(start)).then_some(line),
        }
    }
    let (mut seen, mut early) = (BTreeSet::new(), BTreeSet::new());
    for line in all.split_inclusive('\n') {
        let Some(key) = key(line) else { return };
        if kept.next_if_eq(&line).is_some() {
            seen.insert(key);
        } else if !seen.contains(key) {
            early.insert(key);
        }
    }
    // A soft dependency may lead back to the module itself, whose line then comes last.
    let is_known = early.is_empty() || super::super::inputs::has_softdeps(at.plan) && early.is_subset(&seen);
    if kept.peek().is_none() && is_known {
        theirs.out.clone_from(&ours.out);
    }
}

/// C kmod prints the removal of a built-in module; ours reports the module, and ends there without `-a`.
pub(super) fn builtin_as_if_loaded(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    if !arguments.has(b'r') || !arguments.has(b'D') {
        return;
    }
    let list =
        latin(crate::generate::plan::text(at.case, &format!("/lib/modules/{}/modules.builtin", at.case.release)));
    let is_builtin = |name: &str| list.lines().any(|path| super::super::inputs::module_of(path) == name);
    for text in [&mut ours.err, &mut ours.syslog] {
        let all = latin(text);
        change_lines(text, |line| {
            let name = line.split_once(": Module ").and_then(|(_, rest)| rest.strip_suffix(" is builtin.\n"));
            let Some(name) = name.filter(|name| is_builtin(name)) else { return Some(line) };
            let out = latin(&theirs.out);
            let Some((before, after)) = out.split_once(&format!("rmmod {name}\n")) else { return Some(line) };
            let is_last = line.contains("modprobe: FATAL: ") && all.ends_with(&line);
            theirs.out = if is_last { before.bytes().collect() } else { format!("{before}{after}").into_bytes() };
            if is_last {
                change_lines(&mut theirs.err, |line| is_about_configuration(&line).then_some(line));
                theirs.syslog.clear();
                theirs.end.clone_from(&ours.end);
            } else if arguments.has(b'a') {
                theirs.end.clone_from(&ours.end);
            }
            None
        });
    }
}

pub(super) fn aliases_printed_twice(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    if tool(&at.case.steps[at.step]) == b"modprobe" && arguments.has(b'R') && !arguments.has(b'a') {
        keep_first(&mut theirs.out, |line| Some(line.to_owned()));
    }
}

/// C kmod ignores the command if the module has soft dependencies.
pub(super) fn install_beside_softdep(at: &Differing<'_>, dump: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    let (Some(dump), true) = (dump, arguments.has(b'D') || arguments.has(b'n')) else { return };
    change_lines(&mut theirs.out, |line| {
        let (name, options) = match (line.strip_prefix("insmod "), line.strip_prefix("builtin ")) {
            (Some(rest), _) => match rest.split_once(' ') {
                Some((path, options)) => (super::super::inputs::module_of(path), options.to_owned()),
                None => return Some(line),
            },
            (_, Some(name)) => {
                let name = name.trim_end().to_owned();
                let all =
                    super::super::inputs::matching(dump, "options", &name).map(|value| value + " ").collect::<String>();
                (name, all + "\n")
            }
            _ => return Some(line),
        };
        let has_softdep = super::super::inputs::matching(dump, "softdep", &name).next().is_some();
        match super::super::inputs::matching(dump, "install", &name).next() {
            Some(command) if has_softdep => Some(format!("install {command} {options}")),
            _ => Some(line),
        }
    });
}

/// Ours reports the lines with NUL bytes of a module file that is read as configuration.
pub(super) fn lines_with_nul_bytes(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    for text in [&mut ours.err, &mut ours.syslog] {
        change_lines(text, |line| {
            let parts = line.split_once("modprobe: ERROR: ").and_then(|(_, rest)| rest.split_once(" line "));
            let is_it = parts.is_some_and(|(path, rest)| {
                let bytes = crate::generate::plan::text(at.case, path);
                let lines = super::super::inputs::logical_lines(bytes);
                path.ends_with(".ko")
                    && lines.iter().any(|(number, line)| {
                        let word = line.split(|b| matches!(b, b' ' | b'\t')).find(|word| !word.is_empty());
                        let word = kmod::name::Escaped(word.unwrap_or_default());
                        line.contains(&0) && rest == format!("{number}: ignoring bad line starting with '{word}'\n")
                    })
            });
            (!is_it).then_some(line)
        });
    }
}

/// C kmod reports that there is no directory of holders.
pub(super) fn holders_of_nothing(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    let is_holders = |word: &Vec<u8>| word.starts_with(b"--remove-");
    if tool(&at.case.steps[at.step]) != b"modprobe" || !at.case.steps[at.step].words.iter().any(is_holders) {
        return;
    }
    for text in [&mut theirs.err, &mut theirs.syslog] {
        change_lines(text, |line| {
            let name = line
                .split_once(" could not open '/sys/module/")
                .and_then(|(_, rest)| rest.strip_suffix("/holders': No such file or directory\n"));
            let is_it = name.is_some_and(|name| at.plan.loaded.iter().all(|module| module.name != name));
            (!is_it).then_some(line)
        });
    }
}

/// C kmod prints its own lines after the output of all commands.
pub(super) fn order_of_output(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let is_own =
        |line: &[u8]| [&b"insmod "[..], b"rmmod ", b"install ", b"remove "].iter().any(|start| line.starts_with(start));
    let lines = |text: &[u8]| text.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (c, o) = (lines(&theirs.out), lines(&ours.out));
    let first_own = c.iter().position(|line| is_own(line)).unwrap_or(0);
    let sorted = |lines: &[Vec<u8>]| {
        let (own, commands): (Vec<_>, Vec<_>) = lines.iter().cloned().partition(|line| is_own(line));
        (own, commands)
    };
    if tool(&at.case.steps[at.step]) == b"modprobe" && first_own > 0 && sorted(&c) == sorted(&o) {
        theirs.out.clone_from(&ours.out);
    }
}

/// C kmod checks the value before it opens the system log.
pub(super) fn wait_value(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let text = latin(&theirs.err);
    let logs = Arguments::of(&at.case.steps[at.step]).has(b's');
    if logs && text.starts_with("modprobe: ERROR: unexpected wait value ") && theirs.end == ours.end {
        theirs.syslog = [b"<27>Jan  1 00:00:00 ", &theirs.err[..]].concat();
        theirs.err.clear();
    }
}

/// Ours does not report a soft dependency that is not loaded. The message must not be about a module that the command names.
pub(super) fn soft_dependency_that_is_not_loaded(
    at: &Differing<'_>,
    _: Option<&[u8]>,
    theirs: &mut Done,
    _: &mut Done,
) {
    let step = &at.case.steps[at.step];
    let is_asked = step.words.iter().any(|word| word.starts_with(b"--fi"));
    if !is_asked || !super::super::inputs::has_softdeps(at.plan) {
        return;
    }
    let operands = Arguments::of(step).operands;
    for text in [&mut theirs.err, &mut theirs.syslog] {
        change_lines(text, |line| {
            let rest = line.split_once("modprobe: WARNING: Module ").map(|(_, rest)| rest);
            let name = rest.and_then(|rest| rest.strip_suffix(" is not in kernel.\n"));
            let is_soft = name.is_some_and(|name| !operands.iter().any(|word| latin(word).replace('-', "_") == name));
            (!is_soft).then_some(line)
        });
    }
}

/// The input of C kmod has [`super::super::inputs::MISSING`] instead of a path without a module name.
pub(super) fn path_without_a_name(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let missing = format!("path {}: No such file or directory\n", super::super::inputs::MISSING);
    for (theirs, ours) in [(&theirs.err, &mut ours.err), (&theirs.syslog, &mut ours.syslog)] {
        if !latin(theirs).contains(&missing) {
            continue;
        }
        change_lines(ours, |line| {
            let parts = line.split_once("Failed to get module from path ");
            let parts =
                parts.and_then(|(start, rest)| Some((start, rest.strip_suffix(": the module name is empty\n")?)));
            let operands = Arguments::of(&at.case.steps[at.step]).operands;
            match parts.filter(|(_, path)| operands.iter().any(|word| is_word(path, word))) {
                Some((start, _)) => Some(format!("{start}Failed to get module from {missing}")),
                None => Some(line),
            }
        });
    }
}

/// C kmod prints nothing.
pub(super) fn unmatched_bracket(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    if tool(&at.case.steps[at.step]) != b"modprobe" || !arguments.has(b'r') {
        return;
    }
    for text in [&mut ours.err, &mut ours.syslog] {
        change_lines(text, |line| {
            let name =
                line.split_once("modprobe: ERROR: Module ").and_then(|(_, rest)| rest.strip_suffix(" not found.\n"));
            let is_it = name.is_some_and(|name| {
                let is_operand = arguments.operands.iter().any(|operand| is_word(name, operand));
                is_operand && !super::super::inputs::has_matching_brackets(name.as_bytes())
            });
            (!is_it).then_some(line)
        });
    }
}

/// Both tools report that the module does not exist, and then another cause.
pub(super) fn no_such_target(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    for (done, cause) in
        [(theirs, "Unknown symbol in module, or unknown parameter (see dmesg)\n"), (ours, "Function not implemented\n")]
    {
        for text in [&mut done.err, &mut done.syslog] {
            let all = latin(text);
            change_lines(text, |line| {
                let parts = line.split_once(": could not insert '").and_then(|(_, rest)| rest.split_once("': "));
                match parts {
                    Some((name, why))
                        if why == cause && all.contains(&format!("could not find module by name='{name}'")) =>
                    {
                        Some(format!("modprobe: ERROR: could not insert '{name}': (cause)\n"))
                    }
                    _ => Some(line),
                }
            });
        }
    }
}

/// C kmod prints the spaces as they are in the file.
pub(super) fn spaces_of_weakdep(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    change_lines(&mut theirs.out, |line| match line.starts_with("weakdep ") {
        true => Some(line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n"),
        false => Some(line),
    });
}

/// C kmod tries again to remove a module that it has tried to remove before.
pub(super) fn removed_twice(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let is_removal = tool(&at.case.steps[at.step]) == b"modprobe" && Arguments::of(&at.case.steps[at.step]).has(b'r');
    if !is_removal || !super::super::inputs::has_softdeps(at.plan) {
        return;
    }
    // With --remove-holders, a soft dependency of a holder can be the module itself, which is then tried first.
    let step = &at.case.steps[at.step];
    let is_holders = step.words.iter().any(|word| word.starts_with(b"--remove-"));
    let is_held = |name: &str| {
        let has_users = at.plan.loaded.iter().any(|module| module.name == name && !module.users.is_empty());
        is_holders && has_users && Arguments::of(step).operands.iter().any(|word| latin(word).replace('-', "_") == name)
    };
    for (theirs, ours) in
        [(&mut theirs.out, &ours.out), (&mut theirs.err, &ours.err), (&mut theirs.syslog, &ours.syslog)]
    {
        let (all, kept) = (latin(theirs), latin(ours));
        let is_removal = |line: &str| {
            ["rmmod ", "remove "].iter().any(|start| line.starts_with(start))
                || ["could not remove ", " is in use"].iter().any(|part| line.contains(part))
        };
        let mut kept = kept.split_inclusive('\n').peekable();
        let mut seen = BTreeSet::new();
        let is_repeated = |line: &str, seen: &BTreeSet<String>| {
            let after = |part: &str, end: char| line.split_once(part).and_then(|(_, rest)| rest.split(end).next());
            let name = after("could not remove '", '\'').or_else(|| after(": Module ", ' '));
            is_removal(line) && (seen.contains(line) || name.is_some_and(is_held))
        };
        let explained = all.split_inclusive('\n').all(|line| {
            let known = kept.next_if_eq(&line).is_some() || is_repeated(line, &seen);
            seen.insert(line.to_owned());
            known
        });
        if explained && kept.peek().is_none() {
            theirs.clone_from(ours);
        }
    }
}

/// Ours reports a name with an unmatched bracket.
pub(super) fn bracket_in_blacklist(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    let line_of_kernel = latin(crate::generate::plan::text(at.case, "/proc/cmdline"));
    for text in [&mut ours.err, &mut ours.syslog] {
        change_lines(text, |line| {
            let name =
                line.split_once(" while parsing module name: '").map(|(_, rest)| rest.trim_end_matches(['\'', '\n']));
            let is_blacklisted = |name: &str| {
                let after = |item: &str| {
                    let mut words = item.split([',', '"', ' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
                    words.any(|word| is_word(name, &word.chars().map(|c| c as u8).collect::<Vec<_>>()))
                };
                line_of_kernel.split("modprobe.blacklist=").skip(1).any(after)
            };
            (!name.is_some_and(is_blacklisted)).then_some(line)
        });
    }
}
