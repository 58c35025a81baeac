//! Rules on the commands of a plan. [`super::inputs`] lists them.

use std::io;

use super::super::judge::Judge;
use super::getopt::{Arguments, tool};
use super::inputs::{has_softdeps, module_of};
use super::results::is_usage_error;
use super::{Inputs, Rewritten};
use crate::case::Step;

/// A path that does not exist.
pub const MISSING: &str = "/missing";

/// A FILE of depmod that does not exist.
pub const MISSING_FILE: &str = "/missing.ko";

/// A configuration file without lines.
const EMPTY: &str = "/empty";

/// Gives C kmod the paths of modules that our tools find by their names.
pub fn files_instead_of_names(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let plan = &mut inputs.theirs;
    let paths: Vec<String> = plan.modules.iter().map(|(path, _)| path.clone()).collect();
    let mut changed = false;
    for step in &mut plan.steps {
        let long =
            |word: &[u8]| word.starts_with(b"--show-e") || word.starts_with(b"--show-m") || word.starts_with(b"--du");
        if step.words.first().is_none_or(|tool| tool != b"modprobe") || !step.words.iter().any(|word| long(word)) {
            continue;
        }
        for word in step.words.iter_mut().skip(1) {
            let name = module_of(&String::from_utf8_lossy(word));
            if let Some(path) = paths.iter().find(|path| module_of(path) == name) {
                *word = format!("/lib/modules/REL/{path}").into_bytes();
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// C kmod compares with the modules.dep of the module directory, ours with the one that it would write.
pub fn not_quick(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let mut changed = false;
    for step in &mut inputs.theirs.steps {
        let starts =
            |start: &[u8], long: &[u8]| step.words.iter().any(|word| word.starts_with(start) || word.starts_with(long));
        if step.words.first().is_some_and(|tool| tool == b"depmod") && starts(b"-A", b"--q") && starts(b"-o", b"--o") {
            step.words.retain(|word| word != b"-A" && !word.starts_with(b"--q"));
            changed = true;
        }
    }
    Ok(changed)
}

/// Whether the last part of a path is not the name of a module: `/`, `lib/`, `/.`.
fn has_no_name(path: &[u8]) -> bool {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    path.contains(&b'/') && matches!(name, [] | [b'.', ..])
}

/// Gives C kmod a path that does not exist instead of one without the name of a module.
pub fn missing_paths(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let mut changed = false;
    for step in &mut inputs.theirs.steps {
        let arguments = Arguments::of(step);
        if tool(step) != b"modprobe" || arguments.has(b'r') || arguments.has(b'c') {
            continue;
        }
        for word in step.words.iter_mut().skip(1) {
            let is_path = word.starts_with(b"/") || word.starts_with(b"./");
            if is_path && has_no_name(word) && arguments.operands.contains(word) {
                *word = MISSING.into();
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// C kmod ends at a directory. `.` is the empty name, too, but does not end it.
pub fn dots_instead_of_directories(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let mut changed = false;
    for step in inputs.theirs.steps.iter_mut().filter(|step| tool(step) == b"rmmod") {
        for word in step.words.iter_mut().skip(1).filter(|word| word.ends_with(b"/")) {
            *word = b".".to_vec();
            changed = true;
        }
    }
    Ok(changed)
}

/// C kmod ends at a failing soft dependency, but not with `-a`: then it is only reported, as in our tools.
pub fn remove_all(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    if !has_softdeps(&inputs.theirs) {
        return Ok(false);
    }
    let mut changed = false;
    for plan in [&mut inputs.theirs, &mut inputs.ours] {
        for step in &mut plan.steps {
            let arguments = Arguments::of(step);
            if tool(step) == b"modprobe" && arguments.has(b'r') && !arguments.has(b'a') {
                step.words.insert(1, b"-a".to_vec());
                changed = true;
            }
        }
    }
    Ok(changed)
}

pub fn valid_wait(inputs: &mut Inputs, _: &mut Rewritten, judge: &Judge<'_>) -> io::Result<bool> {
    let is_valid = |value: &[u8]| value.iter().all(u8::is_ascii_digit) && !value.is_empty();
    with_valid_values(inputs, judge, b"modprobe", "-w", "--wait", (&is_valid, "1"))
}

pub fn valid_prefix(inputs: &mut Inputs, _: &mut Rewritten, judge: &Judge<'_>) -> io::Result<bool> {
    with_valid_values(inputs, judge, b"depmod", "-P", "--symbol-prefix", (&|value| value.len() == 1, "_"))
}

pub fn valid_format(inputs: &mut Inputs, _: &mut Rewritten, judge: &Judge<'_>) -> io::Result<bool> {
    let is_valid = |value: &[u8]| [&b"human"[..], b"tmpfiles", b"devname"].contains(&value);
    with_valid_values(inputs, judge, b"kmod", "-f", "--format", (&is_valid, "human"))
}

/// Whether C kmod accepts a value.
type IsValid<'a> = &'a dyn Fn(&[u8]) -> bool;

/// C kmod checks the value of an option while it parses the options, and ours afterwards. Gives C kmod a valid value if it then
/// reports another option, or prints its help.
fn with_valid_values(
    inputs: &mut Inputs,
    judge: &Judge<'_>,
    of: &[u8],
    short: &str,
    long: &str,
    (is_valid, valid): (IsValid<'_>, &str),
) -> io::Result<bool> {
    let plan = &mut inputs.theirs;
    let before = plan.steps.clone();
    for step in plan.steps.iter_mut().filter(|step| tool(step) == of) {
        replace_values(step, short, long, is_valid, valid);
    }
    if plan.steps.iter().zip(&before).all(|(new, old)| new.words == old.words) {
        return Ok(false);
    }
    let name = if of == b"kmod" { "static-nodes".into() } else { String::from_utf8_lossy(of).into_owned() };
    let results = judge.run(&plan.case(), "34")?;
    let mut changed = false;
    for ((step, before), done) in plan.steps.iter_mut().zip(before).zip(results) {
        if step.words != before.words && !is_usage_error(&done.err, &name) && !done.out.starts_with(b"Usage:") {
            *step = before;
        } else {
            changed |= step.words != before.words;
        }
    }
    Ok(changed)
}

/// Replaces invalid values of an option in `-x VALUE`, `-xVALUE`, `--long VALUE` and `--long=VALUE`.
fn replace_values(step: &mut Step, short: &str, long: &str, is_valid: &dyn Fn(&[u8]) -> bool, valid: &str) {
    let mut is_value = false;
    for word in step.words.iter_mut().skip(1) {
        let is_long = |name: &[u8]| name.len() > 2 && name.starts_with(b"--") && long.as_bytes().starts_with(name);
        let equals = word.iter().position(|&b| b == b'=');
        if std::mem::take(&mut is_value) {
            if !is_valid(word) {
                *word = valid.into();
            }
        } else if word == short.as_bytes() || is_long(word) {
            is_value = true;
        } else if let Some(value) = word.strip_prefix(short.as_bytes()) {
            if !is_valid(value) {
                *word = format!("{short}{valid}").into_bytes();
            }
        } else if let Some(at) = equals.filter(|&at| is_long(&word[..at])) {
            if !is_valid(&word[at + 1..]) {
                word.truncate(at + 1);
                word.extend_from_slice(valid.as_bytes());
            }
        }
    }
}

/// Our depmod refuses a FILE without a module suffix. Gives both tools one that does not exist instead.
pub fn missing_files(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let has_suffix =
        |file: &[u8]| [&b".ko"[..], b".ko.xz", b".ko.gz", b".ko.zst"].iter().any(|end| file.ends_with(end));
    let mut changed = false;
    for plan in [&mut inputs.theirs, &mut inputs.ours] {
        for step in plan.steps.iter_mut().filter(|step| tool(step) == b"depmod") {
            let mut is_value = false;
            for word in step.words.iter_mut().skip(1) {
                match &word[..] {
                    _ if std::mem::take(&mut is_value) => {}
                    [b'-', b'-', name @ ..] => is_value = matches!(name, b"basedir" | b"outdir" | b"config"),
                    [b'-', .., last] => is_value = b"bCEFmoP".contains(last),
                    [b'/', ..] if !has_suffix(word) => {
                        *word = MISSING_FILE.into();
                        changed = true;
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(changed)
}

/// No line of a module file is valid configuration, and C kmod reads its lines up to their NUL bytes: gives C kmod an empty file.
pub fn empty_configuration(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let plan = &mut inputs.theirs;
    let files: Vec<Vec<u8>> =
        plan.modules.iter().map(|(path, _)| format!("/lib/modules/REL/{path}").into_bytes()).collect();
    let mut changed = false;
    for step in plan.steps.iter_mut().filter(|step| tool(step) == b"modprobe") {
        for at in 2..step.words.len() {
            let option = &step.words[at - 1];
            let is_long = option.len() > 3 && b"--config".starts_with(option);
            if (option == b"-C" || is_long) && files.contains(&step.words[at]) {
                step.words[at] = EMPTY.into();
                changed = true;
            }
        }
    }
    if changed {
        plan.file(EMPTY, "");
    }
    Ok(changed)
}

/// Gives C kmod the release without the slash that a shell completes.
pub fn plain_release(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let mut changed = false;
    for step in inputs.theirs.steps.iter_mut().filter(|step| tool(step) == b"depmod") {
        for word in step.words.iter_mut().filter(|word| **word == b"REL/") {
            *word = b"REL".to_vec();
            changed = true;
        }
    }
    Ok(changed)
}
