//! Rules on what the tools printed, by the tool that they concern.

mod all_tools;
pub(super) mod depmod;
mod modprobe;
mod others;

use super::super::judge::Differing;
use crate::results::Done;

/// A rule: changes the result of one of the tools according to a row of docs/reference/compatibility.md.
pub struct Rule {
    pub reason: &'static str,
    /// The third argument is the configuration as C kmod's `modprobe -c` prints it, if that is known.
    pub apply: fn(&Differing<'_>, Option<&[u8]>, &mut Done, &mut Done),
}

pub const RULES: [Rule; 40] = [
    Rule { reason: "depmod: `-E`: a module without symbol versions", apply: depmod::no_versions },
    Rule { reason: "modprobe: `-c` of a `weakdep` line", apply: modprobe::spaces_of_weakdep },
    Rule { reason: "modprobe: `-r`: a module that soft dependencies reach twice", apply: modprobe::removed_twice },
    Rule {
        reason: "All tools: `KMOD_LOG=info`, `debug`; `-v` more than once",
        apply: all_tools::context_of_the_library,
    },
    Rule {
        reason: "All tools: `--force` without finit_module(2), if there is no version information",
        apply: all_tools::nothing_to_strip,
    },
    Rule { reason: super::inputs::BLACKLIST.reason, apply: modprobe::bracket_in_blacklist },
    Rule { reason: "depmod: the same FILE twice", apply: depmod::repeated_file },
    Rule {
        reason: "depmod: the indexes of built-in modules when their lists are missing",
        apply: depmod::empty_indexes,
    },
    Rule { reason: super::inputs::NUL_BYTES.reason, apply: modprobe::lines_with_nul_bytes },
    Rule { reason: "modprobe: `-r -D` of a built-in module", apply: modprobe::builtin_as_if_loaded },
    Rule {
        reason: "modprobe: a bad line in the configuration that is continued",
        apply: modprobe::number_of_a_continued_line,
    },
    Rule { reason: "modprobe: a line with `include` or `config`", apply: modprobe::deprecated_keyword },
    Rule {
        reason: "modprobe: a bad line in the configuration, with `-q` or `-s`",
        apply: modprobe::quiet_configuration,
    },
    Rule { reason: "All tools: bytes of names, paths and values in messages", apply: all_tools::bytes_in_messages },
    Rule { reason: "modprobe: `-c` of a softdep with `pre:` and `post:`", apply: modprobe::softdep_in_dump },
    Rule { reason: "modprobe: a dependency reached twice in `-D`", apply: modprobe::steps_printed_twice },
    Rule {
        reason: "modprobe: a module that matches an alias twice (`-R`, `-n -v`)",
        apply: modprobe::aliases_printed_twice,
    },
    Rule { reason: "modprobe: a softdep beside an `install` command", apply: modprobe::install_beside_softdep },
    Rule { reason: "All tools: a relative path, or one with dots and double slashes", apply: all_tools::slashes },
    Rule { reason: "modprobe: `-r` of a name with an unmatched bracket", apply: modprobe::unmatched_bracket },
    Rule {
        reason: "modprobe: an alias or `remove` line for a module that does not exist",
        apply: modprobe::no_such_target,
    },
    Rule {
        reason: "All tools: an item of the kernel command line with an unmatched bracket",
        apply: all_tools::bracket_in_item,
    },
    Rule {
        reason: "modprobe: `-r --remove-holders` of a module that is not loaded",
        apply: modprobe::holders_of_nothing,
    },
    Rule { reason: "depmod: `-A` without a module directory", apply: depmod::quick_without_directory },
    Rule { reason: "All tools: candidates for an ambiguous abbreviation", apply: all_tools::candidates },
    Rule { reason: "insmod, rmmod, lsmod: `rmmod` of an empty name, such as `''` or `.`", apply: others::empty_name },
    Rule { reason: "insmod, rmmod, lsmod: the source of `lsmod`'s figures", apply: others::order_in_lsmod },
    Rule {
        reason: "insmod, rmmod, lsmod: order of the names in `rmmod`'s \"in use by\"",
        apply: others::order_of_users,
    },
    Rule { reason: "insmod, rmmod, lsmod: a removal that the kernel refuses", apply: others::refused_removal },
    Rule { reason: "insmod, rmmod, lsmod: `insmod -v`", apply: others::verbose_insmod },
    Rule { reason: "insmod, rmmod, lsmod: `rmmod -v`", apply: others::verbose_rmmod },
    Rule {
        reason: "modprobe: output of a command when standard output is not a terminal",
        apply: modprobe::order_of_output,
    },
    Rule { reason: super::inputs::WAIT.reason, apply: modprobe::wait_value },
    Rule { reason: super::inputs::FAILING_SOFTDEP.reason, apply: modprobe::soft_dependency_that_is_not_loaded },
    Rule { reason: "depmod: invalid items of the kernel command line", apply: depmod::kernel_command_line },
    Rule {
        reason: "depmod: order of modules that modules.order does not list, and of modules.symbols",
        apply: depmod::order_of_symbols,
    },
    Rule { reason: "depmod: `-A` before modules.dep exists", apply: depmod::quick_without_dep },
    Rule {
        reason: "depmod: a bad line in depmod.d; an `external` directory that is missing",
        apply: depmod::depmod_lines,
    },
    Rule { reason: super::inputs::NO_NAME.reason, apply: modprobe::path_without_a_name },
    Rule { reason: "All tools: the reason for rejecting a file", apply: all_tools::reason_for_a_file },
];

/// Changes each line; `None` removes it.
fn change_lines(text: &mut Vec<u8>, mut change: impl FnMut(String) -> Option<String>) {
    let lines: Vec<String> = text.split_inclusive(|&b| b == b'\n').filter_map(|line| change(latin(line))).collect();
    *text = lines.concat().chars().map(|c| c as u8).collect();
}

/// Changes lines of C kmod to ours where the function says so. The texts must have as many lines.
fn pairs(theirs: &mut Vec<u8>, ours: &[u8], change: impl Fn(&str, &str) -> Option<String>) {
    let count = |text: &[u8]| text.iter().filter(|&&b| b == b'\n').count();
    let ours = latin(ours);
    if count(theirs) == ours.matches('\n').count() {
        let mut lines = ours.split_inclusive('\n');
        change_lines(theirs, |line| Some(change(&line, lines.next().unwrap_or_default()).unwrap_or(line)));
    }
}

/// Returns the start of a message in the system log without its time, which is not compared.
fn untimed(start: &str) -> &str {
    match start.strip_prefix('<') {
        Some(rest) => rest.get(19..).unwrap_or_default(),
        None => start,
    }
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

/// Whether a text is a word of a command, as it is or as our messages show it.
fn is_word(text: &str, word: &[u8]) -> bool {
    latin(word) == text || kmod::name::Escaped(word).to_string() == text
}

/// Returns a character for each byte, so that bytes that are not UTF-8 survive.
fn latin(text: &[u8]) -> String {
    text.iter().map(|&b| char::from(b)).collect()
}

/// Whether this is a message of getopt(3).
pub fn is_usage_error(text: &[u8], tool: &str) -> bool {
    let text = String::from_utf8_lossy(text).into_owned();
    let message = text.strip_prefix(tool).and_then(|text| text.strip_prefix(": ")).unwrap_or_default();
    ["option ", "unrecognized option ", "invalid option "].iter().any(|start| message.starts_with(start))
}

/// Whether a removal did the same as with `-a`, up to a fatal message, which is a warning with `-a`.
pub fn is_cut(done: &Done, with_all: &Done) -> bool {
    let is_beginning = |text: &[u8], whole: &[u8]| {
        let lines = latin(text);
        let whole = latin(whole);
        let mut same = lines.lines().zip(whole.lines()).map(|(line, other)| {
            let plain = |line: &str| {
                let (start, message) = line.split_once("modprobe: ").unwrap_or(("", line));
                (untimed(start).to_owned(), message.to_owned())
            };
            let ((start, message), (other_start, other)) = (plain(line), plain(other));
            // The number before the message in the system log is the priority.
            message == other && start == other_start || message == other.replace("WARNING: ", "FATAL: ")
        });
        lines.lines().count() <= whole.lines().count() && same.all(|same| same)
    };
    let is_fatal = [&done.err, &done.syslog].iter().any(|text| latin(text).contains("modprobe: FATAL: "));
    let texts = [(&done.out, &with_all.out), (&done.err, &with_all.err), (&done.syslog, &with_all.syslog)];
    match is_fatal {
        true => done.end == "exit 1" && texts.iter().all(|(text, whole)| is_beginning(text, whole)),
        // The time in the system log is not compared.
        false => {
            let is_same = (&done.end, &done.out, &done.err) == (&with_all.end, &with_all.out, &with_all.err);
            is_same && done.syslog.len() == with_all.syslog.len()
        }
    }
}

/// Removes the messages about the configuration.
pub fn without_configuration_messages(done: &mut Done) {
    for text in [&mut done.err, &mut done.syslog] {
        change_lines(text, |line| (!is_about_configuration(&line)).then_some(line));
    }
}

/// Replaces C kmod's messages about the configuration by those of another result: a changed configuration has others.
pub fn keep_configuration_messages(original: &Done, changed: &mut Done) {
    let mut messages = original.err.clone();
    change_lines(&mut messages, |line| is_about_configuration(&line).then_some(line));
    change_lines(&mut changed.err, |line| (!is_about_configuration(&line)).then_some(line));
    changed.err = [messages, std::mem::take(&mut changed.err)].concat();
}
