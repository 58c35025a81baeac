//! Rules on what the tools printed.

use super::super::judge::Differing;
use super::getopt::{Arguments, tool};
use crate::results::Done;

/// A rule: changes the result of one of the tools according to a row of docs/reference/compatibility.md.
pub struct Rule {
    pub reason: &'static str,
    /// The third argument is the configuration as C kmod's `modprobe -c` prints it, if that is known.
    pub apply: fn(&Differing<'_>, Option<&[u8]>, &mut Done, &mut Done),
}

pub const RULES: [Rule; 39] = [
    Rule { reason: "depmod: `-E`: a module without symbol versions", apply: no_versions },
    Rule { reason: super::inputs::BLACKLIST.reason, apply: bracket_in_blacklist },
    Rule { reason: "modprobe: `-c` of a `weakdep` line", apply: spaces_of_weakdep },
    Rule { reason: "modprobe: `-r`: a module that soft dependencies reach twice", apply: removed_twice },
    Rule { reason: "depmod: `-P` with an invalid value before an invalid option", apply: prefix_before_option },
    Rule { reason: "All tools: `KMOD_LOG=info`, `debug`; `-v` more than once", apply: context_of_the_library },
    Rule {
        reason: "All tools: `--force` without finit_module(2), if there is no version information",
        apply: nothing_to_strip,
    },
    Rule { reason: "depmod: a FILE without a module suffix", apply: no_module_file },
    Rule { reason: "All tools: bytes of names, paths and values in messages", apply: bytes_in_messages },
    Rule { reason: "modprobe: a bad line in the configuration that is continued", apply: number_of_a_continued_line },
    Rule { reason: "modprobe: a line with `include` or `config`", apply: deprecated_keyword },
    Rule { reason: "modprobe: a bad line in the configuration, with `-q` or `-s`", apply: quiet_configuration },
    Rule { reason: "modprobe: `-c` of a softdep with `pre:` and `post:`", apply: softdep_in_dump },
    Rule { reason: "modprobe: a dependency reached twice in `-D`", apply: steps_printed_twice },
    Rule { reason: "modprobe: a module that matches an alias twice (`-R`, `-n -v`)", apply: aliases_printed_twice },
    Rule { reason: "modprobe: a softdep beside an `install` command", apply: install_beside_softdep },
    Rule { reason: "modprobe: `-r` with a cycle of softdeps", apply: cycle_of_softdeps },
    Rule { reason: "modprobe: a relative path, or one with dots and double slashes", apply: slashes },
    Rule { reason: "modprobe: `-r` of a name with an unmatched bracket", apply: unmatched_bracket },
    Rule { reason: "modprobe: an alias or `remove` line for a module that does not exist", apply: no_such_target },
    Rule { reason: "All tools: an item of the kernel command line with an unmatched bracket", apply: bracket_in_item },
    Rule { reason: "modprobe: `-r --remove-holders` of a module that is not loaded", apply: holders_of_nothing },
    Rule { reason: "depmod: `-A` without a module directory", apply: quick_without_directory },
    Rule { reason: "All tools: candidates for an ambiguous abbreviation", apply: candidates },
    Rule { reason: "All tools: the reason for rejecting a file", apply: reason_for_a_file },
    Rule { reason: "insmod, rmmod, lsmod: `rmmod` of an empty name, such as `''` or `.`", apply: empty_name },
    Rule { reason: "insmod, rmmod, lsmod: the source of `lsmod`'s figures", apply: order_in_lsmod },
    Rule { reason: "insmod, rmmod, lsmod: order of the names in `rmmod`'s \"in use by\"", apply: order_of_users },
    Rule { reason: "insmod, rmmod, lsmod: a removal that the kernel refuses", apply: refused_removal },
    Rule { reason: "insmod, rmmod, lsmod: `insmod -v`", apply: verbose_insmod },
    Rule { reason: "insmod, rmmod, lsmod: `rmmod -v`", apply: verbose_rmmod },
    Rule { reason: "modprobe: output of a command when standard output is not a terminal", apply: order_of_output },
    Rule { reason: "modprobe: `-w abc` before `-h`, `-V`, `-s` or an invalid option", apply: wait_value },
    Rule { reason: "kmod: `-f x` before `-h` or an invalid option", apply: unknown_format },
    Rule {
        reason: "modprobe: `-r`: a soft dependency that is in use or whose remove command fails; with `--first-time`, one that is not loaded",
        apply: failing_softdep,
    },
    Rule { reason: "depmod: invalid items of the kernel command line", apply: kernel_command_line },
    Rule {
        reason: "depmod: order of modules that modules.order does not list, and of modules.symbols",
        apply: order_of_symbols,
    },
    Rule { reason: "depmod: `-A` before modules.dep exists", apply: quick_without_dep },
    Rule { reason: "depmod: a bad line in depmod.d; an `external` directory that is missing", apply: depmod_lines },
];

/// Changes each line; `None` removes it.
fn change_lines(text: &mut Vec<u8>, mut change: impl FnMut(String) -> Option<String>) {
    let lines: Vec<String> = text.split_inclusive(|&b| b == b'\n').filter_map(|line| change(latin(line))).collect();
    *text = lines.concat().chars().map(|c| c as u8).collect();
}

fn keep_first(text: &mut Vec<u8>, key: impl Fn(&str) -> Option<String>) {
    let mut seen = std::collections::BTreeSet::new();
    change_lines(text, |line| match key(&line) {
        Some(key) => seen.insert(key).then_some(line),
        None => Some(line),
    });
}

/// Whether C kmod printed this line about a file of modprobe.d.
fn is_about_configuration(line: &str) -> bool {
    let text =
        line.strip_prefix("libkmod: ERROR: kmod_config_parse: ").or_else(|| line.strip_prefix("modprobe: ERROR: "));
    let is_file = |text: &str| text.starts_with('/') && text.contains(".conf");
    text.is_some_and(|text| {
        is_file(text)
            && (text.contains(": ignoring bad line starting with ")
                || text.contains(" is deprecated and not parsed anymore"))
    })
}

/// C kmod prints the number of the last physical line, ours that of the first.
fn number_of_a_continued_line(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    change_lines(&mut theirs.err, |line| {
        let is_depmod = tool(&at.case.steps[at.step]) == b"depmod";
        let parts = match is_depmod {
            true => line.split_once(".conf:").map(|(file, rest)| (file, ".conf:", rest)),
            false => line.split_once(".conf line ").map(|(file, rest)| (file, ".conf line ", rest)),
        };
        let changed = parts.and_then(|(before, middle, rest)| {
            let (number, rest) = rest.split_once(':')?;
            let path = format!("{}.conf", &before[before.find('/')?..]);
            let text = super::super::plan::text(at.case, &path);
            let first = super::inputs::first_physical(text, number.parse().ok()?)?;
            Some(format!("{before}{middle}{first}:{rest}"))
        });
        Some(changed.unwrap_or(line))
    });
}

/// Ours adds the number of the line.
fn deprecated_keyword(_: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    for text in [&mut ours.err, &mut ours.syslog] {
        change_lines(text, |line| {
            let changed =
                line.split_once(".conf line ").filter(|_| line.contains(" is deprecated and not parsed anymore"));
            let without = |(before, after): (&str, &str)| Some(format!("{before}.conf:{}", after.split_once(':')?.1));
            Some(changed.and_then(without).unwrap_or(line))
        });
    }
}

/// With `-q` ours prints nothing, and with `-s` it sends the messages to the system log.
fn quiet_configuration(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    let step = &at.case.steps[at.step];
    let arguments = Arguments::of(step);
    if tool(step) != b"modprobe" || !(arguments.has(b'q') || arguments.has(b's')) {
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
        logged.extend(format!("<27>Jan  1 00:00:00 modprobe: ERROR: {text}").bytes());
        None
    });
    if !arguments.has(b'q') {
        logged.extend_from_slice(&theirs.syslog);
        theirs.syslog = logged;
    }
}

/// C kmod prints no space before `post:`.
fn softdep_in_dump(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    change_lines(&mut theirs.out, |line| match line.find("post: ") {
        Some(end) if line.starts_with("softdep ") && line.contains(" pre: ") && !line[..end].ends_with(' ') => {
            Some(format!("{} {}", &line[..end], &line[end..]))
        }
        _ => Some(line),
    });
}

/// C kmod prints the steps of a module again each time that it reaches the module.
fn steps_printed_twice(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    if tool(&at.case.steps[at.step]) != b"modprobe" {
        return;
    }
    let (all, kept) = (latin(&theirs.out), latin(&ours.out));
    let mut kept = kept.split_inclusive('\n').peekable();
    let mut seen = std::collections::BTreeSet::new();
    for line in all.split_inclusive('\n') {
        // The options of the module itself are only in one of its lines.
        let key = match line.strip_prefix("insmod ") {
            Some(rest) => rest.split(' ').next().unwrap_or_default(),
            None => line,
        };
        if kept.peek() == Some(&line) {
            kept.next();
        } else if !seen.contains(key)
            || !["insmod ", "builtin ", "install "].iter().any(|start| line.starts_with(start))
        {
            return;
        }
        seen.insert(key.to_owned());
    }
    if kept.peek().is_none() {
        theirs.out.clone_from(&ours.out);
    }
}

fn aliases_printed_twice(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    if tool(&at.case.steps[at.step]) == b"modprobe" && arguments.has(b'R') && !arguments.has(b'a') {
        keep_first(&mut theirs.out, |line| Some(line.to_owned()));
    }
}

/// C kmod ignores the command if the module has soft dependencies.
fn install_beside_softdep(at: &Differing<'_>, dump: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    let (Some(dump), true) = (dump, arguments.has(b'D') || arguments.has(b'n')) else { return };
    change_lines(&mut theirs.out, |line| {
        let (name, options) = match (line.strip_prefix("insmod "), line.strip_prefix("builtin ")) {
            (Some(rest), _) => match rest.split_once(' ') {
                Some((path, options)) => (super::inputs::module_of(path), options.to_owned()),
                None => return Some(line),
            },
            (_, Some(name)) => {
                let name = name.trim_end().to_owned();
                let all = super::inputs::matching(dump, "options", &name).map(|value| value + " ").collect::<String>();
                (name, all + "\n")
            }
            _ => return Some(line),
        };
        let has_softdep = super::inputs::matching(dump, "softdep", &name).next().is_some();
        match super::inputs::matching(dump, "install", &name).next() {
            Some(command) if has_softdep => Some(format!("install {command} {options}")),
            _ => Some(line),
        }
    });
}

fn cycle_of_softdeps(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    if theirs.end == "signal 11" && arguments.has(b'r') && super::inputs::has_softdep_cycle(at.plan) {
        *theirs = ours.clone();
    }
}

/// C kmod prints paths as they were given.
fn slashes(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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

/// Returns a character for each byte, so that bytes that are not UTF-8 survive.
fn latin(text: &[u8]) -> String {
    text.iter().map(|&b| char::from(b)).collect()
}

/// C kmod replaces the dashes before the bracket.
fn bracket_in_item(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    for done in [theirs, ours] {
        for text in [&mut done.err, &mut done.syslog] {
            change_lines(text, |line| match line.split_once(" while parsing module name: ") {
                Some((start, name)) => Some(format!("{start} while parsing module name: {}", name.replace('-', "_"))),
                None => Some(line),
            });
        }
    }
}

/// C kmod reports that there is no directory of holders.
fn holders_of_nothing(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    let is_holders = |word: &Vec<u8>| word.starts_with(b"--remove-");
    if tool(&at.case.steps[at.step]) != b"modprobe" || !at.case.steps[at.step].words.iter().any(is_holders) {
        return;
    }
    for text in [&mut theirs.err, &mut theirs.syslog] {
        change_lines(text, |line| {
            let is_it = line.contains(" could not open '/sys/module/")
                && line.ends_with("/holders': No such file or directory\n");
            (!is_it).then_some(line)
        });
    }
}

fn candidates(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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
fn reason_for_a_file(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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

/// C kmod's messages about the empty name differ with the options.
fn empty_name(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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

fn order_in_lsmod(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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

fn order_of_users(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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
fn refused_removal(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
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

fn quick_without_dep(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
        change_lines(&mut theirs.err, |line| {
            let is_it =
                line.contains("could not fstatat(") && line.ends_with("modules.dep): No such file or directory\n");
            (!is_it).then_some(line)
        });
    }
}

/// `FILE:N:` in C kmod, `FILE line N:` in ours. Ours also reports relative directories and invalid expressions.
fn depmod_lines(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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
            let text = super::super::plan::text(at.case, path);
            let (_, line) = super::inputs::logical_lines(text).into_iter().find(|(first, _)| *first == number)?;
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
            !directory.starts_with(b"/") || !super::inputs::is_expression(kernel)
        }
        (Some(b"override"), [_, kernel, _, ..]) => !super::inputs::is_expression(kernel),
        _ => false,
    }
}

/// Ours prints a backslash as two, and other bytes as `\\xNN`.
fn bytes_in_messages(_: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
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

fn verbose_insmod(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    verbose(at, b"insmod", "insmod: INFO: loading ", ours);
}

fn verbose_rmmod(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    verbose(at, b"rmmod", "rmmod: INFO: rmmod ", ours);
}

fn verbose(at: &Differing<'_>, name: &[u8], message: &str, ours: &mut Done) {
    if tool(&at.case.steps[at.step]) == name {
        for text in [&mut ours.err, &mut ours.syslog] {
            change_lines(text, |line| (!line.contains(message)).then_some(line));
        }
    }
}

/// C kmod prints its own lines after the output of all commands.
fn order_of_output(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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

/// C kmod checks the value while it parses the options.
fn wait_value(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let text = String::from_utf8_lossy(&theirs.err).into_owned();
    if !text.starts_with("modprobe: ERROR: unexpected wait value ") || theirs.end != ours.end {
        return;
    }
    if ours.err.is_empty() && !ours.syslog.is_empty() {
        theirs.syslog = format!("<27>Jan  1 00:00:00 {text}").into_bytes();
        theirs.err.clear();
    } else if is_usage_error(&ours.err, "modprobe") {
        *theirs = ours.clone();
    }
}

/// C kmod checks the value while it parses the options.
fn unknown_format(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let is_it = theirs.err.starts_with(b"Unknown format: ") && theirs.end == ours.end;
    if is_it && is_usage_error(&ours.err, "static-nodes") {
        *theirs = ours.clone();
    }
}

/// Whether this is a message of getopt(3).
fn is_usage_error(text: &[u8], tool: &str) -> bool {
    let text = String::from_utf8_lossy(text).into_owned();
    let message = text.strip_prefix(tool).and_then(|text| text.strip_prefix(": ")).unwrap_or_default();
    ["option ", "unrecognized option ", "invalid option "].iter().any(|start| message.starts_with(start))
}

/// C kmod ends there. The message must not be about a module that the command names.
fn failing_softdep(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let operands = Arguments::of(&at.case.steps[at.step]).operands;
    change_lines(&mut theirs.err, |line| {
        let rest = line.strip_prefix("modprobe: WARNING: Module ");
        let name = rest.and_then(|rest| rest.strip_suffix(" is not in kernel.\n"));
        let is_soft = name.is_some_and(|name| !operands.iter().any(|word| latin(word).replace('-', "_") == name));
        (!is_soft).then_some(line)
    });
    let in_log = theirs.err.is_empty();
    let text = latin(if in_log { &theirs.syslog } else { &theirs.err });
    let after = latin(if in_log { &ours.syslog } else { &ours.err });
    let (before, last) =
        text.trim_end().rsplit_once('\n').map_or(("", text.trim_end()), |(before, last)| (before, last));
    let Some((_, message)) = last.split_once("modprobe: FATAL: ") else { return };
    let named_by = |start: &str, end: &str| message.strip_prefix(start)?.strip_suffix(end);
    let Some(module) = named_by("Error running remove command for ", "")
        .or_else(|| named_by("Module ", " is in use."))
        .or_else(|| named_by("Module ", " is not in kernel."))
    else {
        return;
    };
    let named = |name: &Vec<u8>| latin(name).replace('-', "_") == module;
    // The times in the log are not compared.
    let goes_on = (in_log || after.starts_with(before)) && ours.out.starts_with(&theirs.out);
    // Ours prints the same message as a warning, or nothing about a module that is not loaded.
    let is_warned = after.contains(&format!("modprobe: WARNING: {message}"));
    let removes = Arguments::of(&at.case.steps[at.step]).has(b'r');
    if removes && goes_on && (is_warned || !operands.iter().any(named)) {
        *theirs = ours.clone();
    }
}

fn kernel_command_line(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
        change_lines(&mut theirs.err, |line| {
            (!line.contains(": Ignoring bad option on kernel command line ")).then_some(line)
        });
    }
}

fn order_of_symbols(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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

/// Replaces C kmod's messages about the configuration by those of another result: a changed configuration has others.
pub fn keep_configuration_messages(original: &Done, changed: &mut Done) {
    let mut messages = original.err.clone();
    change_lines(&mut messages, |line| is_about_configuration(&line).then_some(line));
    change_lines(&mut changed.err, |line| (!is_about_configuration(&line)).then_some(line));
    changed.err = [messages, std::mem::take(&mut changed.err)].concat();
}

/// C kmod prints nothing.
fn unmatched_bracket(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    let arguments = Arguments::of(&at.case.steps[at.step]);
    if tool(&at.case.steps[at.step]) != b"modprobe" || !arguments.has(b'r') {
        return;
    }
    for text in [&mut ours.err, &mut ours.syslog] {
        change_lines(text, |line| {
            let name = line.split_once(": Module ").and_then(|(_, rest)| rest.strip_suffix(" not found.\n"));
            let is_it = name.is_some_and(|name| name.contains(['[', ']']));
            (!is_it).then_some(line)
        });
    }
}

/// Both tools report that the module does not exist, and then another cause.
fn no_such_target(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    for done in [theirs, ours] {
        for text in [&mut done.err, &mut done.syslog] {
            let all = latin(text);
            change_lines(text, |line| {
                let parts = line.split_once(": could not insert '").and_then(|(_, rest)| rest.split_once("': "));
                match parts {
                    Some((name, _)) if all.contains(&format!("could not find module by name='{name}'")) => {
                        Some(format!("modprobe: ERROR: could not insert '{name}': (cause)\n"))
                    }
                    _ => Some(line),
                }
            });
        }
    }
}

fn quick_without_directory(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
        keep_first(&mut theirs.err, |line| line.contains(": could not open directory ").then(|| line.to_owned()));
    }
}

fn context_of_the_library(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    for text in [&mut theirs.err, &mut theirs.syslog] {
        change_lines(text, |line| {
            let is_it =
                [" INFO: custom logging function 0x", " INFO: context 0x"].iter().any(|part| line.contains(part));
            (!is_it).then_some(line)
        });
    }
}

/// C kmod fails if there is nothing to strip.
fn nothing_to_strip(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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

/// C kmod lists any file, or has another message.
fn no_module_file(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
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

/// C kmod prints the spaces as they are in the file.
fn spaces_of_weakdep(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    change_lines(&mut theirs.out, |line| match line.starts_with("weakdep ") {
        true => Some(line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n"),
        false => Some(line),
    });
}

/// C kmod tries again to remove a module that it has tried to remove before.
fn removed_twice(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    if tool(&at.case.steps[at.step]) != b"modprobe" || !Arguments::of(&at.case.steps[at.step]).has(b'r') {
        return;
    }
    for (theirs, ours) in
        [(&mut theirs.out, &ours.out), (&mut theirs.err, &ours.err), (&mut theirs.syslog, &ours.syslog)]
    {
        let (all, kept) = (latin(theirs), latin(ours));
        let is_removal = |line: &str| {
            ["rmmod ", "remove "].iter().any(|start| line.starts_with(start)) || line.contains("could not remove ")
        };
        let mut kept = kept.split_inclusive('\n').peekable();
        let mut seen = std::collections::BTreeSet::new();
        let is_repeated =
            |line: &str, seen: &std::collections::BTreeSet<String>| seen.contains(line) && is_removal(line);
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

/// C kmod checks the value while it parses the options.
fn prefix_before_option(_: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, ours: &mut Done) {
    let is_it = theirs.err == b"depmod: FATAL: -P only takes a single char\n" && theirs.end == ours.end;
    if is_it && is_usage_error(&ours.err, "depmod") {
        *theirs = ours.clone();
    }
}

/// C kmod reports each symbol. No module of a random case has versions.
fn no_versions(at: &Differing<'_>, _: Option<&[u8]>, theirs: &mut Done, _: &mut Done) {
    if tool(&at.case.steps[at.step]) == b"depmod" {
        change_lines(&mut theirs.err, |line| (!line.contains(" disagrees about version of symbol ")).then_some(line));
    }
}

/// Ours reports a name with an unmatched bracket.
fn bracket_in_blacklist(at: &Differing<'_>, _: Option<&[u8]>, _: &mut Done, ours: &mut Done) {
    let line_of_kernel = latin(super::super::plan::text(at.case, "/proc/cmdline"));
    for text in [&mut ours.err, &mut ours.syslog] {
        change_lines(text, |line| {
            let name =
                line.split_once(" while parsing module name: '").map(|(_, rest)| rest.trim_end_matches(['\'', '\n']));
            let is_blacklisted = |name: &str| {
                let after = |item: &str| item.split([',', '"', ' ', '\t', '\n']).any(|word| word == name);
                line_of_kernel.split("modprobe.blacklist=").skip(1).any(after)
            };
            (!name.is_some_and(is_blacklisted)).then_some(line)
        });
    }
}
