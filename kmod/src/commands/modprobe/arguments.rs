//! `modprobe`'s options.

use super::milliseconds;
use crate::commands::options::{About, Apply, Flag};
use crate::commands::{help_flag, version_flag};
use crate::execute::Force;
use crate::log::Priority;
use std::ffi::OsString;
use std::path::PathBuf;

/// The parsed options.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// `-q` and `-v`.
    pub loudness: Loudness,
    /// Every operand is a module name.
    pub all: bool,
    /// Remove modules.
    pub remove: bool,
    /// Remove the modules that use the named one first.
    pub remove_holders: bool,
    /// How long to retry a removal, in milliseconds; not parsed yet.
    pub wait: Option<OsString>,
    /// Fail if there is nothing to do.
    pub first_time: bool,
    /// Ignore install and remove commands.
    pub ignore_commands: bool,
    /// Apply the blacklist to module names as well.
    pub use_blacklist: bool,
    /// The checks that the kernel skips.
    pub force: Force,
    /// Print the modules that a name resolves to.
    pub show_alias: bool,
    /// Print the load steps.
    pub show_depends: bool,
    /// Print the configuration.
    pub show_config: bool,
    /// Print the symbol versions of a module.
    pub show_modversions: bool,
    /// Print the symbols that a module exports.
    pub show_exports: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// Configuration files and directories that replace the default ones.
    pub config: Vec<PathBuf>,
    /// The root directory of `/lib/modules`.
    pub root: Option<PathBuf>,
    /// The kernel release whose modules are used.
    pub release: Option<OsString>,
    /// Log to syslog.
    pub syslog: bool,
}

/// How much to print: `-q` hides every message, and each `-v` after it or without it shows those of one more priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loudness {
    /// Whether `-q` was given.
    pub quiet: bool,
    /// How often `-v` was given since then.
    pub verbose: u8,
}

impl Loudness {
    /// Returns the number of the last priority that is shown. Usage errors are shown in any case.
    #[must_use]
    pub fn level(self) -> u8 {
        let start = if self.quiet { 0 } else { Priority::Warning as u8 };
        start.saturating_add(self.verbose)
    }
}

/// Keeps the first invalid value, which is reported.
fn set_wait(arguments: &mut Arguments, value: OsString) {
    if arguments.wait.as_deref().is_none_or(|wait| milliseconds(wait).is_some()) {
        arguments.wait = Some(value);
    }
}

fn force_all(arguments: &mut Arguments) {
    arguments.force = Force { modversions: true, vermagic: true };
}

/// The tool's usage and options.
pub static ABOUT: About<Arguments> = About {
    usage: "modprobe [options] MODULE [PARAMETER...]\n\
        modprobe [options] -a MODULE...\n\
        modprobe [options] -r MODULE...\n\
        modprobe [options] -c\n\
        modprobe [options] --show-modversions|--show-exports MODULE",
    flags: &[
        Flag {
            short: Some('a'),
            long: "all",
            old: &[],
            apply: Apply::Set(|a| a.all = true),
            help: "load (with -r: remove) every operand",
        },
        Flag {
            short: Some('r'),
            long: "remove",
            old: &[],
            apply: Apply::Set(|a| a.remove = true),
            help: "remove modules instead of loading them",
        },
        Flag {
            short: None,
            long: "remove-holders",
            old: &["remove-dependencies"],
            apply: Apply::Set(|a| a.remove_holders = true),
            help: "with -r: first remove the modules that use the\nnamed ones",
        },
        Flag {
            short: Some('w'),
            long: "wait",
            old: &[],
            apply: Apply::Value("MSEC", set_wait),
            help: "with -r: retry for up to MSEC milliseconds while\nthe module is in use",
        },
        Flag {
            short: None,
            long: "first-time",
            old: &[],
            apply: Apply::Set(|a| a.first_time = true),
            help: "fail if the module is already loaded (with -r:\nnot loaded)",
        },
        Flag {
            short: Some('i'),
            long: "ignore-install",
            old: &["ignore-remove"],
            apply: Apply::Set(|a| a.ignore_commands = true),
            help: "ignore install commands (with -r: remove\ncommands) and soft dependencies",
        },
        Flag {
            short: Some('b'),
            long: "use-blacklist",
            old: &[],
            apply: Apply::Set(|a| a.use_blacklist = true),
            help: "apply the blacklist to module names as well as\naliases",
        },
        Flag {
            short: Some('f'),
            long: "force",
            old: &[],
            apply: Apply::Set(force_all),
            help: "force loading or removal; implies\n--force-modversion and --force-vermagic",
        },
        Flag {
            short: None,
            long: "force-modversion",
            old: &[],
            apply: Apply::Set(|a| a.force.modversions = true),
            help: "skip the check of symbol versions",
        },
        Flag {
            short: None,
            long: "force-vermagic",
            old: &[],
            apply: Apply::Set(|a| a.force.vermagic = true),
            help: "skip the check of the version magic",
        },
        Flag {
            short: Some('R'),
            long: "show-alias",
            old: &["resolve-alias"],
            apply: Apply::Set(|a| a.show_alias = true),
            help: "print the modules that a name resolves to",
        },
        Flag {
            short: Some('D'),
            long: "show-depends",
            old: &[],
            apply: Apply::Set(|a| a.show_depends = true),
            help: "print the load steps of a module as if nothing\nwere loaded",
        },
        Flag {
            short: Some('c'),
            long: "show-config",
            old: &["showconfig"],
            apply: Apply::Set(|a| a.show_config = true),
            help: "print the configuration and all aliases",
        },
        Flag {
            short: None,
            long: "show-modversions",
            old: &["dump-modversions"],
            apply: Apply::Set(|a| a.show_modversions = true),
            help: "print the symbol versions of a module",
        },
        Flag {
            short: None,
            long: "show-exports",
            old: &[],
            apply: Apply::Set(|a| a.show_exports = true),
            help: "print the symbols that a module exports",
        },
        Flag {
            short: Some('n'),
            long: "dry-run",
            old: &["show"],
            apply: Apply::Set(|a| a.dry_run = true),
            help: "change nothing (with -v: print what would be\ndone)",
        },
        Flag {
            short: Some('C'),
            long: "config",
            old: &[],
            apply: Apply::Value("PATH", |a, value| a.config.push(value.into())),
            help: "read PATH instead of the default configuration;\nmay be repeated",
        },
        Flag {
            short: Some('d'),
            long: "dirname",
            old: &[],
            apply: Apply::Value("DIR", |a, value| a.root = Some(value.into())),
            help: "use DIR as the root directory for modules",
        },
        Flag {
            short: Some('S'),
            long: "set-version",
            old: &[],
            apply: Apply::Value("RELEASE", |a, value| a.release = Some(value)),
            help: "use the modules of this kernel release",
        },
        Flag {
            short: Some('s'),
            long: "syslog",
            old: &[],
            apply: Apply::Set(|a| a.syslog = true),
            help: "log messages to syslog instead of standard error",
        },
        Flag {
            short: Some('q'),
            long: "quiet",
            old: &[],
            apply: Apply::Set(|a| a.loudness = Loudness { quiet: true, verbose: 0 }),
            help: "print no messages",
        },
        Flag {
            short: Some('v'),
            long: "verbose",
            old: &[],
            apply: Apply::Set(|a| a.loudness.verbose = a.loudness.verbose.saturating_add(1)),
            help: "print the steps; repeat for more messages",
        },
        version_flag(),
        help_flag(),
    ],
};

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_lists_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }
}
