//! The options of `modprobe`.

use crate::commands::options::{About, Apply, Flag};
use crate::commands::{help_flag, version_flag};
use crate::execute::Force;
use std::ffi::OsString;
use std::path::PathBuf;

/// What was given, options only.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// Every operand is a module.
    pub all: bool,
    /// Remove.
    pub remove: bool,
    /// Remove what uses the module first.
    pub remove_holders: bool,
    /// For how long to try to remove, in milliseconds.
    pub wait: Option<OsString>,
    /// Fail when there is nothing to do.
    pub first_time: bool,
    /// Ignore install and remove commands.
    pub ignore_commands: bool,
    /// Apply the blacklist to names, too.
    pub use_blacklist: bool,
    /// Checks to leave out.
    pub force: Force,
    /// Print what a name stands for.
    pub show_alias: bool,
    /// Print what would be done.
    pub show_depends: bool,
    /// Print the configuration.
    pub show_config: bool,
    /// Print the symbol versions of a module.
    pub show_modversions: bool,
    /// Print the exports of a module.
    pub show_exports: bool,
    /// Do nothing.
    pub dry_run: bool,
    /// Files and directories of the configuration.
    pub config: Vec<PathBuf>,
    /// What `/lib/modules` lies under.
    pub root: Option<PathBuf>,
    /// The release whose modules to use.
    pub release: Option<OsString>,
    /// Messages go to the system log.
    pub syslog: bool,
    /// No messages.
    pub quiet: bool,
    /// More messages.
    pub verbose: u8,
}

fn force_all(arguments: &mut Arguments) {
    arguments.force = Force { modversions: true, vermagic: true };
}

/// The command.
pub static ABOUT: About<Arguments> = About {
    usage: "modprobe [options] [-i] [-b] NAME [PARAMETER...]\n\
        modprobe [options] -a [-i] [-b] NAME...\n\
        modprobe [options] -r [-i] NAME...\n\
        modprobe [options] -c",
    flags: &[
        Flag {
            short: Some('a'),
            long: "all",
            old: &[],
            apply: Apply::Set(|a| a.all = true),
            help: "every operand is a module, to be inserted\nor removed (-r)",
        },
        Flag {
            short: Some('r'),
            long: "remove",
            old: &[],
            apply: Apply::Set(|a| a.remove = true),
            help: "remove modules",
        },
        Flag {
            short: None,
            long: "remove-holders",
            old: &["remove-dependencies"],
            apply: Apply::Set(|a| (a.remove, a.remove_holders) = (true, true)),
            help: "remove modules and, before them, those that\nuse them",
        },
        Flag {
            short: Some('w'),
            long: "wait",
            old: &[],
            apply: Apply::Take("MSEC", |a, value| a.wait = Some(value)),
            help: "with -r: go on trying for so long while the\nmodule is in use",
        },
        Flag {
            short: None,
            long: "first-time",
            old: &[],
            apply: Apply::Set(|a| a.first_time = true),
            help: "fail if the module is there (-r: is not there)\nalready",
        },
        Flag {
            short: Some('i'),
            long: "ignore-install",
            old: &["ignore-remove"],
            apply: Apply::Set(|a| a.ignore_commands = true),
            help: "ignore install commands (-r: remove commands)\nand soft dependencies; also --ignore-remove",
        },
        Flag {
            short: Some('b'),
            long: "use-blacklist",
            old: &[],
            apply: Apply::Set(|a| a.use_blacklist = true),
            help: "apply the blacklist to module names, too",
        },
        Flag {
            short: Some('f'),
            long: "force",
            old: &[],
            apply: Apply::Set(force_all),
            help: "force insertion or removal; implies\n--force-modversion and --force-vermagic",
        },
        Flag {
            short: None,
            long: "force-modversion",
            old: &[],
            apply: Apply::Set(|a| a.force.modversions = true),
            help: "ignore versions of symbols",
        },
        Flag {
            short: None,
            long: "force-vermagic",
            old: &[],
            apply: Apply::Set(|a| a.force.vermagic = true),
            help: "ignore the version magic",
        },
        Flag {
            short: Some('R'),
            long: "show-alias",
            old: &["resolve-alias"],
            apply: Apply::Set(|a| a.show_alias = true),
            help: "print the modules that a name stands for",
        },
        Flag {
            short: Some('D'),
            long: "show-depends",
            old: &[],
            apply: Apply::Set(|a| a.show_depends = true),
            help: "print what would be done for a module, as if\nnothing were loaded",
        },
        Flag {
            short: Some('c'),
            long: "show-config",
            old: &["showconfig"],
            apply: Apply::Set(|a| a.show_config = true),
            help: "print configuration and aliases",
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
            help: "do nothing (-v: print what would be done)",
        },
        Flag {
            short: Some('C'),
            long: "config",
            old: &[],
            apply: Apply::Take("PATH", |a, value| a.config.push(value.into())),
            help: "a file or directory instead of the default\nones; may be repeated",
        },
        Flag {
            short: Some('d'),
            long: "dirname",
            old: &[],
            apply: Apply::Take("DIR", |a, value| a.root = Some(value.into())),
            help: "the root for /lib/modules",
        },
        Flag {
            short: Some('S'),
            long: "set-version",
            old: &[],
            apply: Apply::Take("VERSION", |a, value| a.release = Some(value)),
            help: "a release instead of that of `uname -r`",
        },
        Flag {
            short: Some('s'),
            long: "syslog",
            old: &[],
            apply: Apply::Set(|a| a.syslog = true),
            help: "messages go to the system log",
        },
        Flag { short: Some('q'), long: "quiet", old: &[], apply: Apply::Set(|a| a.quiet = true), help: "no messages" },
        Flag {
            short: Some('v'),
            long: "verbose",
            old: &[],
            apply: Apply::Set(|a| a.verbose = a.verbose.saturating_add(1)),
            help: "print what is done; more messages",
        },
        version_flag(),
        help_flag(),
    ],
};

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_names_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }
}
