//! Rules on what the tools printed, by the tool that they concern.

mod all_tools;
mod depmod;
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

pub const RULES: [Rule; 39] = [
    Rule { reason: "depmod: `-E`: a module without symbol versions", apply: depmod::no_versions },
    Rule { reason: super::inputs::BLACKLIST.reason, apply: modprobe::bracket_in_blacklist },
    Rule { reason: "modprobe: `-c` of a `weakdep` line", apply: modprobe::spaces_of_weakdep },
    Rule { reason: "modprobe: `-r`: a module that soft dependencies reach twice", apply: modprobe::removed_twice },
    Rule { reason: "depmod: `-P` with an invalid value before an invalid option", apply: depmod::prefix_before_option },
    Rule {
        reason: "All tools: `KMOD_LOG=info`, `debug`; `-v` more than once",
        apply: all_tools::context_of_the_library,
    },
    Rule {
        reason: "All tools: `--force` without finit_module(2), if there is no version information",
        apply: all_tools::nothing_to_strip,
    },
    Rule { reason: "depmod: a FILE without a module suffix", apply: depmod::no_module_file },
    Rule { reason: "All tools: bytes of names, paths and values in messages", apply: all_tools::bytes_in_messages },
    Rule {
        reason: "modprobe: a bad line in the configuration that is continued",
        apply: modprobe::number_of_a_continued_line,
    },
    Rule { reason: "modprobe: a line with `include` or `config`", apply: modprobe::deprecated_keyword },
    Rule {
        reason: "modprobe: a bad line in the configuration, with `-q` or `-s`",
        apply: modprobe::quiet_configuration,
    },
    Rule { reason: "modprobe: `-c` of a softdep with `pre:` and `post:`", apply: modprobe::softdep_in_dump },
    Rule { reason: "modprobe: a dependency reached twice in `-D`", apply: modprobe::steps_printed_twice },
    Rule {
        reason: "modprobe: a module that matches an alias twice (`-R`, `-n -v`)",
        apply: modprobe::aliases_printed_twice,
    },
    Rule { reason: "modprobe: a softdep beside an `install` command", apply: modprobe::install_beside_softdep },
    Rule { reason: "modprobe: `-r` with a cycle of softdeps", apply: modprobe::cycle_of_softdeps },
    Rule { reason: "modprobe: a relative path, or one with dots and double slashes", apply: modprobe::slashes },
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
    Rule { reason: "All tools: the reason for rejecting a file", apply: all_tools::reason_for_a_file },
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
    Rule { reason: "modprobe: `-w abc` before `-h`, `-V`, `-s` or an invalid option", apply: modprobe::wait_value },
    Rule { reason: "kmod: `-f x` before `-h` or an invalid option", apply: others::unknown_format },
    Rule {
        reason: "modprobe: `-r`: a soft dependency that is in use or whose remove command fails; with `--first-time`, one that is not loaded",
        apply: modprobe::failing_softdep,
    },
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

/// Returns a character for each byte, so that bytes that are not UTF-8 survive.
fn latin(text: &[u8]) -> String {
    text.iter().map(|&b| char::from(b)).collect()
}

/// Whether this is a message of getopt(3).
fn is_usage_error(text: &[u8], tool: &str) -> bool {
    let text = String::from_utf8_lossy(text).into_owned();
    let message = text.strip_prefix(tool).and_then(|text| text.strip_prefix(": ")).unwrap_or_default();
    ["option ", "unrecognized option ", "invalid option "].iter().any(|start| message.starts_with(start))
}

/// Replaces C kmod's messages about the configuration by those of another result: a changed configuration has others.
pub fn keep_configuration_messages(original: &Done, changed: &mut Done) {
    let mut messages = original.err.clone();
    change_lines(&mut messages, |line| is_about_configuration(&line).then_some(line));
    change_lines(&mut changed.err, |line| (!is_about_configuration(&line)).then_some(line));
    changed.err = [messages, std::mem::take(&mut changed.err)].concat();
}
