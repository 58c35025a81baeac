//! Rules on the input of the tools.

use std::ffi::CString;
use std::io;

use super::super::judge::Judge;
use super::super::plan::Plan;
use super::{Inputs, Rewritten, steps, ties};

pub use steps::MISSING;

/// A rule: changes the input so that both tools must do the same, according to a row of docs/reference/compatibility.md. Returns
/// whether it changed anything.
pub struct Change {
    pub reason: &'static str,
    pub apply: fn(&mut Inputs, &mut Rewritten, &Judge<'_>) -> io::Result<bool>,
}

pub const BLACKLIST: Change = Change {
    reason: "modprobe: `modprobe.blacklist=` with dashes, quotes, brackets, empty items",
    apply: blacklist_in_file,
};
const NAMELESS: Change = Change {
    reason: "modprobe: an item of the kernel command line without a module or parameter name",
    apply: without_nameless_items,
};
pub const SOFTDEPS: Change =
    Change { reason: "modprobe: several `softdep` lines for one module", apply: softdeps_in_one_line };
const DOTS: Change =
    Change { reason: "depmod: a module whose name has a dot, in modules.order", apply: dotted_names_last };
const TIES: Change =
    Change { reason: "depmod: several files for one module with the same priority", apply: ties::our_choice };

const BLANKS: Change = Change {
    reason: "modprobe: a `softdep` line with two separators after the name",
    apply: softdeps_with_single_spaces,
};
const BLANK_VALUES: Change =
    Change { reason: "modprobe: a value of two or more spaces in the configuration", apply: blank_values };
const QUICK: Change = Change { reason: "depmod: `-A` with `-o`", apply: steps::not_quick };
const FILES: Change = Change {
    reason: "modprobe: `--show-alias`; a name instead of a file for `--show-exports` and `--show-modversions`",
    apply: steps::files_instead_of_names,
};

const QUOTES: Change = Change {
    reason: "modprobe: an item of the kernel command line whose first quote ends before its end, such as `\"m.p=\"x`",
    apply: without_odd_quotes,
};
pub const NO_NAME: Change =
    Change { reason: "modprobe: a path without a module name, such as `/.` or `/`", apply: steps::missing_paths };
pub const WAIT: Change =
    Change { reason: "modprobe: `-w abc` before `-h`, `-V`, `-s` or an invalid option", apply: steps::valid_wait };
const PREFIX: Change =
    Change { reason: "depmod: `-P` with an invalid value before an invalid option", apply: steps::valid_prefix };
const FORMAT: Change = Change { reason: "kmod: `-f x` before `-h` or an invalid option", apply: steps::valid_format };
const EMPTY_NAME: Change = Change {
    reason: "insmod, rmmod, lsmod: `rmmod` of an empty name, such as `''` or `.`",
    apply: steps::dots_instead_of_directories,
};
pub const FAILING_SOFTDEP: Change = Change {
    reason: "modprobe: `-r`: a soft dependency that is in use or whose remove command fails; with `--first-time`, one that is not loaded",
    apply: steps::remove_all,
};
const FILE_ALIASES: Change = Change { reason: "modprobe: an alias to a file name", apply: aliases_of_modules };
const SLASHES: Change =
    Change { reason: "depmod: slashes at the ends of a directory in `search` and `override`", apply: without_slashes };
const EXTERNAL: Change =
    Change { reason: "depmod: surplus slashes in an `external` directory", apply: plain_external_directories };
const FOLDED: Change = Change { reason: "depmod: `override n_m` for the file `n-m.ko`", apply: names_of_files };
const RELATIVE: Change = Change {
    reason: "depmod: a bad line in depmod.d; an `external` directory that is missing",
    apply: without_relative_directories,
};

pub const NO_SUFFIX: Change = Change { reason: "depmod: a FILE without a module suffix", apply: steps::missing_files };
const SLASH: Change =
    Change { reason: "depmod: FILEs after a release with a slash, such as `6.1/`", apply: steps::plain_release };
pub const NUL_BYTES: Change =
    Change { reason: "modprobe: a NUL byte in the configuration", apply: steps::empty_configuration };

/// The changes of each stage are made together.
pub const STAGES: [&[Change]; 8] = [
    &[
        BLACKLIST,
        QUOTES,
        NAMELESS,
        BLANKS,
        BLANK_VALUES,
        FILES,
        QUICK,
        NO_NAME,
        WAIT,
        PREFIX,
        FORMAT,
        EMPTY_NAME,
        NUL_BYTES,
        SLASH,
    ],
    &[BLACKLIST, QUOTES, NAMELESS, BLANKS, BLANK_VALUES, SOFTDEPS],
    &[BLACKLIST, QUOTES, NAMELESS, BLANKS, BLANK_VALUES, FILE_ALIASES],
    &[BLACKLIST, QUOTES, NAMELESS, BLANKS, BLANK_VALUES, FILE_ALIASES, SOFTDEPS],
    &[BLACKLIST, QUOTES, NAMELESS, BLANKS, BLANK_VALUES, FAILING_SOFTDEP],
    &[BLACKLIST, QUOTES, NAMELESS, BLANKS, BLANK_VALUES, SOFTDEPS, FAILING_SOFTDEP],
    &[RELATIVE, SLASHES, EXTERNAL, FOLDED, TIES, DOTS],
    &[RELATIVE, SLASHES, EXTERNAL, FOLDED, TIES, DOTS, SLASH, NO_SUFFIX],
];

/// The file of names that the kernel command line blacklists: the last file.
const LAST_FILE: &str = "/etc/modprobe.d/~.conf";

/// Returns the items of a kernel command line: separated by white space outside quotes. An item whose quote is not closed is
/// one item with everything that follows.
fn items(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut items, mut quoted) = (vec![Vec::new()], false);
    for &byte in line {
        quoted ^= byte == b'"';
        match byte {
            b' ' | b'\t'..=b'\r' if !quoted => items.push(Vec::new()),
            _ => items.last_mut().unwrap().push(byte),
        }
    }
    items
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'"') => inner,
        _ => text,
    }
}

fn change_cmdline(plan: &mut Plan, mut keep: impl FnMut(&[u8]) -> bool) -> bool {
    let Some((_, line)) = plan.files.iter_mut().find(|(path, _)| path == "/proc/cmdline") else { return false };
    let all = items(line);
    let kept: Vec<Vec<u8>> = all.iter().filter(|item| keep(item)).cloned().collect();
    let changed = kept.len() != all.len();
    if changed {
        *line = kept.join(&b' ');
    }
    changed
}

/// Whether each `[` has a `]`.
pub fn has_matching_brackets(name: &[u8]) -> bool {
    let mut is_open = false;
    for byte in name {
        match byte {
            b'[' => is_open = true,
            b']' if !is_open => return false,
            b']' => is_open = false,
            _ => {}
        }
    }
    !is_open
}

/// Puts the names of `modprobe.blacklist=` into a file, as the documentation of modprobe says that they count.
fn blacklist_in_file(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let mut lines = Vec::new();
    let plan = &mut inputs.theirs;
    let is_closed = |item: &[u8]| item.iter().filter(|&&b| b == b'"').count() % 2 == 0;
    let changed = change_cmdline(plan, |item| {
        let Some(names) = unquoted(item).strip_prefix(b"modprobe.blacklist=").filter(|_| is_closed(item)) else {
            return true;
        };
        for name in unquoted(names).split(|&b| b == b',') {
            let is_name = |b: &u8| !matches!(b, b'"' | b'=' | b' ' | b'\t'..=b'\r');
            if !name.is_empty() && name.iter().all(is_name) && has_matching_brackets(name) {
                let escaped = crate::case::replace(name, b"\\", b"\\\\");
                lines.extend([&b"blacklist "[..], &escaped, b"\n"].concat());
            }
        }
        false
    });
    if !lines.is_empty() {
        plan.file(LAST_FILE, lines);
    }
    Ok(changed)
}

fn without_nameless_items(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    Ok(change_cmdline(&mut inputs.theirs, |item| {
        let item = unquoted(item);
        let Some(dot) = item.iter().position(|&b| b == b'.') else { return true };
        // An `=` before the dot: not an option of a module.
        let parameter = item[dot + 1..].split(|&b| b == b'=').next().unwrap_or_default();
        dot > 0 && !parameter.is_empty()
    }))
}

/// Moves modules with a dot in their names to the end of modules.order for our tools: C kmod does not find them there.
fn dotted_names_last(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let has_dot = |path: &str| path.rsplit('/').next().unwrap_or_default().matches('.').count() > 1;
    let modules = &mut inputs.ours.modules;
    let before: Vec<String> = modules.iter().map(|(path, _)| path.clone()).collect();
    modules.sort_by_key(|(path, _)| has_dot(path));
    Ok(before.iter().ne(modules.iter().map(|(path, _)| path)))
}

/// Returns the configuration as C kmod understands it.
pub fn dump<'r>(plan: &Plan, rewritten: &'r mut Rewritten, judge: &Judge<'_>) -> io::Result<&'r [u8]> {
    if rewritten.dump.is_none() {
        let mut plan = plan.clone();
        plan.steps.retain(|step| step.words.first().is_some_and(|tool| tool == b"depmod"));
        plan.run_line("modprobe -c");
        let mut results = judge.run(&plan.case(), "34")?;
        let text = results.pop().map(|done| done.out).unwrap_or_default();
        let end = text.windows(8).position(|window| window == b"\n# End o").unwrap_or(text.len());
        rewritten.dump = Some(text[..end].to_vec());
    }
    Ok(rewritten.dump.as_deref().unwrap_or_default())
}

pub fn lines(dump: &[u8]) -> impl Iterator<Item = String> {
    let latin = |line: &[u8]| line.iter().map(|&b| char::from(b)).collect::<String>();
    dump.split(|&b| b == b'\n').map(latin).filter(|line| !line.is_empty())
}

/// Returns the values of all lines with this keyword whose pattern matches a name.
pub fn matching(dump: &[u8], keyword: &str, name: &str) -> impl Iterator<Item = String> {
    lines(dump).filter_map(move |line| {
        let (pattern, value) = line.strip_prefix(keyword)?.strip_prefix(' ')?.split_once(' ')?;
        matches(pattern, name).then(|| value.to_owned())
    })
}

fn matches(pattern: &str, name: &str) -> bool {
    let text = |text: &str| CString::new(text.chars().map(|c| c as u8).collect::<Vec<_>>());
    match (text(pattern), text(name)) {
        // SAFETY: both are strings that end with a NUL.
        (Ok(pattern), Ok(name)) => unsafe { libc::fnmatch(pattern.as_ptr(), name.as_ptr(), 0) == 0 },
        _ => false,
    }
}

/// Returns the name of a module by its path.
pub fn module_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default().replace('-', "_")
}

/// Splits the value of a softdep line that C kmod printed, perhaps without a space before `post:`.
pub fn softdep(value: &str) -> (Vec<&str>, Vec<&str>) {
    let (pre, post) = match value.find("post: ") {
        Some(at) => (&value[..at], &value[at + 6..]),
        None => (value, ""),
    };
    let pre = pre.trim_start().strip_prefix("pre: ").unwrap_or_default();
    (pre.split_whitespace().collect(), post.split_whitespace().collect())
}

/// Every name that a softdep line can apply to in this plan.
pub fn names(plan: &Plan, dump: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = plan.modules.iter().map(|(path, _)| module_of(path)).collect();
    let builtin = plan.files.iter().find(|(path, _)| path == "modules.builtin");
    names.extend(builtin.iter().flat_map(|(_, list)| lines(list)).map(|path| module_of(&path)));
    for line in lines(dump) {
        names.extend(line.split_whitespace().skip(1).map(|word| word.replace('-', "_")));
    }
    // A line for a pattern would count for other names too.
    names.retain(|name| !name.contains(['*', '?', '[']));
    names.sort();
    names.dedup();
    names
}

/// Joins the softdep lines of each module, since all lines count in our tools.
fn softdeps_in_one_line(inputs: &mut Inputs, rewritten: &mut Rewritten, judge: &Judge<'_>) -> io::Result<bool> {
    // The command line may have been changed: the configuration is that of the changed plan.
    rewritten.dump = None;
    let dump = dump(&inputs.theirs, rewritten, judge)?.to_vec();
    if !lines(&dump).any(|line| line.starts_with("softdep ")) {
        return Ok(false);
    }
    let mut text = String::new();
    for name in names(&inputs.theirs, &dump) {
        let values: Vec<String> = matching(&dump, "softdep", &name).collect();
        if values.len() > 1 {
            let (pre, post): (Vec<_>, Vec<_>) = values.iter().map(|value| softdep(value)).unzip();
            text += &format!("softdep {name} pre: {} post: {}\n", pre.concat().join(" "), post.concat().join(" "));
        }
    }
    for line in lines(&dump) {
        let line = match line.strip_prefix("softdep ").and_then(|rest| rest.split_once(' ')) {
            Some((pattern, value)) => {
                let (pre, post) = softdep(value);
                format!("softdep {pattern} pre: {} post: {}", pre.join(" "), post.join(" "))
            }
            None => line,
        };
        text += &line.replace('\\', "\\\\");
        text.push('\n');
    }
    let plan = &mut inputs.theirs;
    plan.files.retain(|(path, _)| !path.contains("/modprobe.d/") && path != "/proc/cmdline");
    plan.file("/etc/modprobe.d/0.conf", text.chars().map(|c| c as u8).collect::<Vec<u8>>());
    Ok(true)
}

/// Whether a plan has soft dependencies.
pub fn has_softdeps(plan: &Plan) -> bool {
    let contains = |text: &[u8]| text.windows(8).any(|part| part.starts_with(b"softdep"));
    plan.files.iter().any(|(path, text)| path.contains("/modprobe.d/") && contains(text))
        || plan.modules.iter().any(|(_, module)| module.modinfo.iter().any(|info| info.starts_with("softdep=")))
}

/// Returns the logical lines of a configuration file with the numbers of their first and last physical lines.
fn numbered_lines(text: &[u8]) -> Vec<(usize, usize, Vec<u8>)> {
    let (mut lines, mut first, mut line, mut escaped) = (Vec::new(), 1, 1, false);
    let mut current = Vec::new();
    for &byte in text {
        match (byte, escaped) {
            (b'\n', true) => line += 1,
            (b'\n', false) => {
                lines.push((first, line, std::mem::take(&mut current)));
                line += 1;
                first = line;
            }
            (b'\\', false) => {}
            _ => current.push(byte),
        }
        escaped = byte == b'\\' && !escaped;
    }
    lines.push((first, line, current));
    lines
}

/// Returns the logical lines with the numbers of their first physical lines.
pub fn logical_lines(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
    numbered_lines(text).into_iter().map(|(first, _, line)| (first, line)).collect()
}

/// Returns the number of the first physical line of the logical line that ends with physical line `last`.
pub fn first_physical(text: &[u8], last: usize) -> Option<usize> {
    numbered_lines(text).into_iter().find(|(_, end, _)| *end == last).map(|(first, ..)| first)
}

/// Whether this is `*` or an extended regular expression of POSIX.
pub fn is_expression(text: &[u8]) -> bool {
    let Ok(text) = CString::new(text) else { return false };
    let mut expression = std::mem::MaybeUninit::<libc::regex_t>::uninit();
    // SAFETY: the text ends with a NUL, and the expression is freed only if it was compiled.
    unsafe {
        let done = libc::regcomp(expression.as_mut_ptr(), text.as_ptr(), libc::REG_EXTENDED | libc::REG_NOSUB);
        if done == 0 {
            libc::regfree(expression.as_mut_ptr());
        }
        text.as_bytes() == b"*" || done == 0
    }
}

/// Changes logical lines of modprobe.d or depmod.d. Every physical line stays, so that the numbers in messages do.
fn change_configuration(plan: &mut Plan, directory: &str, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
    let mut changed = false;
    for (_, text) in plan.files.iter_mut().filter(|(path, _)| path.contains(directory)) {
        if !logical_lines(text).iter().any(|(_, line)| change(line).is_some()) {
            continue;
        }
        changed = true;
        let mut new = Vec::new();
        for (first, last, line) in numbered_lines(text) {
            let line = change(&line).unwrap_or(line);
            new.extend("\\\n".repeat(last - first).bytes());
            new.extend(line.iter().flat_map(|&b| if b == b'\\' { vec![b, b] } else { vec![b] }));
            new.push(b'\n');
        }
        new.pop();
        *text = new;
    }
    changed
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(|&b| is_blank(b)).filter(|word| !word.is_empty()).collect()
}

/// C kmod drops the first `pre:` or `post:` after two separators.
fn softdeps_with_single_spaces(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    Ok(change_configuration(&mut inputs.theirs, "/modprobe.d/", |line| {
        let words = words(line);
        let single = words.join(&b' ');
        (words.first() == Some(&&b"softdep"[..]) && words.len() > 2 && single != line).then_some(single)
    }))
}

/// C kmod accepts two separators as a value.
fn blank_values(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    Ok(change_configuration(&mut inputs.theirs, "/modprobe.d/", |line| {
        let words = words(line);
        let single = words.join(&b' ');
        (words.len() == 2 && line.last().is_some_and(|&b| is_blank(b))).then_some(single)
    }))
}

/// C kmod accepts an alias to `leaf.ko`, but finds no module of that name.
fn aliases_of_modules(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    Ok(change_configuration(&mut inputs.theirs, "/modprobe.d/", |line| match &words(line)[..] {
        [b"alias", name, target, ..] if target.contains(&b'.') => {
            let module = target.split(|&b| b == b'.').next().unwrap_or_default();
            Some([b"alias", *name, module].join(&b' '))
        }
        _ => None,
    }))
}

fn trim_slashes(mut directory: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = directory {
        directory = rest;
    }
    directory
}

/// C kmod compares directories as they are given.
fn without_slashes(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    Ok(change_configuration(&mut inputs.theirs, "/depmod.d/", |line| {
        let words = words(line);
        let trimmed: Vec<&[u8]> = match &words[..] {
            [keyword @ b"search", directories @ ..] => {
                [*keyword].into_iter().chain(directories.iter().map(|directory| trim_slashes(directory))).collect()
            }
            [keyword @ b"override", name, kernel, directory, ..] => {
                vec![keyword, name, kernel, trim_slashes(directory)]
            }
            _ => return None,
        };
        let changed = trimmed.iter().zip(&words).any(|(trimmed, word)| trimmed != word);
        changed.then(|| trimmed.join(&b' '))
    }))
}

/// C kmod compares the name in `override` with that of the file, in which `-` and `_` differ.
fn names_of_files(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    let plan = &mut inputs.theirs;
    let paths: Vec<String> = plan.modules.iter().map(|(path, _)| path.clone()).collect();
    Ok(change_configuration(plan, "/depmod.d/", |line| match &words(line)[..] {
        [b"override", name, kernel, directory, ..] => {
            let (text, top) = (String::from_utf8_lossy(name), String::from_utf8_lossy(directory));
            let is_file = |path: &&String| {
                path.rsplit_once('/').is_some_and(|(dir, _)| dir == top) && module_of(path) == module_of(&text)
            };
            let file = paths.iter().find(is_file)?.rsplit('/').next()?.strip_suffix(".ko")?;
            (file != text).then(|| [&b"override"[..], file.as_bytes(), kernel, directory].join(&b' '))
        }
        _ => None,
    }))
}

/// C kmod searches them below the working directory.
fn without_relative_directories(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    Ok(change_configuration(&mut inputs.theirs, "/depmod.d/", |line| match &words(line)[..] {
        [b"external", _, directory, ..] if !directory.starts_with(b"/") => Some(Vec::new()),
        _ => None,
    }))
}

/// C kmod moves the first quote to the value, whatever follows the second one.
fn without_odd_quotes(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    Ok(change_cmdline(&mut inputs.theirs, |item| {
        let quotes = item.iter().filter(|&&b| b == b'"').count();
        !item.starts_with(b"\"") || quotes < 2 || unquoted(item) != item
    }))
}

/// C kmod lists files with the directory as it is given.
fn plain_external_directories(inputs: &mut Inputs, _: &mut Rewritten, _: &Judge<'_>) -> io::Result<bool> {
    Ok(change_configuration(&mut inputs.theirs, "/depmod.d/", |line| match &words(line)[..] {
        [b"external", kernel, directory @ [b'/', ..], ..] => {
            let parts: Vec<&[u8]> = directory.split(|&b| b == b'/').filter(|part| !part.is_empty()).collect();
            let plain = [b"/", &parts.join(&b'/')[..]].concat();
            (plain != *directory).then(|| [&b"external"[..], kernel, &plain].join(&b' '))
        }
        _ => None,
    }))
}
