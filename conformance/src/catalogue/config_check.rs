//! Finds the options that the configuration of a kernel misses: for kmodlab itself, and for behaviours that would be
//! skipped.

use crate::catalogue::entry::{Entry, Need};
use std::fmt::Write as _;

/// The options that kmodlab itself needs: for modules, an initramfs, a console and a second serial port, and for what the
/// agent mounts and runs.
const LAB: &[(&str, &str)] = &[
    ("CONFIG_64BIT", "y"),
    ("CONFIG_MODULES", "y"),
    ("CONFIG_MODULE_UNLOAD", "y"),
    ("CONFIG_BLK_DEV_INITRD", "y"),
    ("CONFIG_BINFMT_ELF", "y"),
    ("CONFIG_PRINTK", "y"),
    ("CONFIG_TTY", "y"),
    ("CONFIG_SERIAL_8250", "y"),
    ("CONFIG_SERIAL_8250_CONSOLE", "y"),
    ("CONFIG_PROC_FS", "y"),
    ("CONFIG_SYSCTL", "y"),
    ("CONFIG_SYSFS", "y"),
    ("CONFIG_DEVTMPFS", "y"),
    ("CONFIG_SHMEM", "y"),
    ("CONFIG_TMPFS", "y"),
    ("CONFIG_MULTIUSER", "y"),
    ("CONFIG_FUTEX", "y"),
    ("CONFIG_POSIX_TIMERS", "y"),
];

/// Numeric options, and the minimum that kmodlab needs.
const LAB_AT_LEAST: &[(&str, u64)] = &[("CONFIG_SERIAL_8250_NR_UARTS", 2), ("CONFIG_SERIAL_8250_RUNTIME_UARTS", 2)];

/// For each module that a behaviour needs: its option, and the lines that enable it (others may select it).
const MODULES: &[(&str, &str, &[&str])] = &[
    ("8021q", "CONFIG_VLAN_8021Q", &["CONFIG_VLAN_8021Q=m"]),
    ("af_alg", "CONFIG_CRYPTO_USER_API", &["CONFIG_CRYPTO_USER_API_HASH=m"]),
    ("algif_hash", "CONFIG_CRYPTO_USER_API_HASH", &["CONFIG_CRYPTO_USER_API_HASH=m"]),
    ("binfmt_misc", "CONFIG_BINFMT_MISC", &["CONFIG_BINFMT_MISC=m"]),
    ("dummy", "CONFIG_DUMMY", &["CONFIG_DUMMY=m"]),
    ("garp", "CONFIG_GARP", &["CONFIG_VLAN_8021Q=m", "CONFIG_VLAN_8021Q_GVRP=y"]),
    ("inet_diag", "CONFIG_INET_DIAG", &["CONFIG_INET_DIAG=m"]),
    ("ip_tables", "CONFIG_IP_NF_IPTABLES", &["CONFIG_IP_NF_IPTABLES=m"]),
    ("llc", "CONFIG_LLC", &["CONFIG_VLAN_8021Q=m", "CONFIG_VLAN_8021Q_GVRP=y"]),
    ("loop", "CONFIG_BLK_DEV_LOOP", &["CONFIG_BLK_DEV_LOOP=m"]),
    ("netconsole", "CONFIG_NETCONSOLE", &["CONFIG_NETCONSOLE=m"]),
    ("nls_utf8", "CONFIG_NLS_UTF8", &["CONFIG_NLS_UTF8=m"]),
    ("squashfs", "CONFIG_SQUASHFS", &["CONFIG_SQUASHFS=m"]),
    ("test_kmod", "CONFIG_TEST_KMOD", &["CONFIG_RUNTIME_TESTING_MENU=y", "CONFIG_TEST_KMOD=m"]),
];

/// An option that a configuration misses, and what needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingOption {
    /// The lines of a fragment that enables it.
    pub lines: Vec<String>,
    /// The current line of the configuration, e.g. `CONFIG_UNIX=y`.
    pub current: String,
    /// The behaviours that need it; empty if kmodlab itself does.
    pub behaviours: Vec<&'static str>,
}

/// Returns the missing options. `value` returns the value of an option (with `CONFIG_`), `n` if it is not set.
pub fn missing_options<'a>(value: impl Fn(&str) -> &'a str, behaviours: &[&'static Entry]) -> Vec<MissingOption> {
    let current = |option: &str| match value(option) {
        "n" => format!("{option} is not set"),
        value => format!("{option}={value}"),
    };
    let lab = |option: &str, needed: &str| MissingOption {
        lines: vec![format!("{option}={needed}")],
        current: current(option),
        behaviours: Vec::new(),
    };
    let exact = LAB.iter().filter(|(option, needed)| value(option) != *needed);
    let few = LAB_AT_LEAST.iter().filter(|(option, least)| value(option).parse().unwrap_or(0) < *least);
    let mut missing: Vec<MissingOption> = exact.map(|(option, needed)| lab(option, needed)).collect();
    missing.extend(few.map(|(option, least)| lab(option, &least.to_string())));
    for behaviour in behaviours {
        for (option, needed, lines) in behaviour.needs.iter().filter_map(option_of) {
            if value(option) == needed {
                continue;
            }
            let option = MissingOption { lines, current: current(option), behaviours: vec![behaviour.id] };
            match missing.iter_mut().find(|known| (&known.lines, &known.current) == (&option.lines, &option.current)) {
                Some(known) if known.behaviours.is_empty() => {}
                Some(known) => known.behaviours.push(behaviour.id),
                None => missing.push(option),
            }
        }
    }
    missing
}

/// Returns the option of a need, the required value, and the lines that set it.
fn option_of(need: &Need) -> Option<(&'static str, &'static str, Vec<String>)> {
    let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    match need {
        Need::Config(line) => line.split_once('=').map(|(option, value)| (option, value, own(&[line]))),
        Need::Module(name) => {
            MODULES.iter().find(|(module, ..)| module == name).map(|(_, option, lines)| (*option, "m", own(lines)))
        }
        Need::Command(_) | Need::Trait(_) => None,
    }
}

/// Formats missing options as a fragment of a configuration; comments say what needs them.
#[must_use]
pub fn fragment(kernel: &str, missing: &[MissingOption]) -> String {
    let mut text = format!("# {kernel}\n");
    // Writing to a String cannot fail.
    if missing.is_empty() {
        let _ = writeln!(text, "# no option is missing");
    }
    let lab = missing.iter().filter(|option| option.behaviours.is_empty()).count();
    if !missing.is_empty() {
        let _ = writeln!(text, "# missing options: {lab} for kmodlab itself, {} for behaviours", missing.len() - lab);
    }
    for option in missing {
        let users =
            if option.behaviours.is_empty() { "kmodlab itself".to_owned() } else { option.behaviours.join(", ") };
        let _ = writeln!(text, "\n# {}; needed by {users}", option.current);
        option.lines.iter().for_each(|line| text.extend([line, "\n"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::behaviours;
    use std::collections::HashMap;

    /// Returns the options that this configuration misses.
    fn of(text: &str) -> Vec<MissingOption> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
        let config: HashMap<String, &str> = lines.map(|(option, value)| (format!("CONFIG_{option}"), value)).collect();
        missing_options(|option| config.get(option).copied().unwrap_or("n"), &behaviours::all())
    }

    #[test]
    fn every_module_that_a_behaviour_needs_has_an_option() {
        for behaviour in behaviours::all() {
            for need in behaviour.needs {
                assert!(
                    matches!(need, Need::Command(_) | Need::Trait(_)) || option_of(need).is_some(),
                    "{}: {need}",
                    behaviour.id
                );
            }
        }
    }

    #[test]
    fn the_fragment_of_the_missing_options_completes_the_configuration() {
        let all = of("");
        assert!(all.iter().any(|option| option.behaviours.is_empty() && option.lines == ["CONFIG_MODULES=y"]));
        let fragment_text = fragment("test", &all);
        let completed = of(&format!("{fragment_text}CONFIG_GARP=m\nCONFIG_LLC=m\nCONFIG_CRYPTO_USER_API=m\n"));
        assert_eq!(completed, [], "the fragment has every option; three are selected by others");
        insta::assert_snapshot!(fragment("6.1", &completed), @r"
        # 6.1
        # no option is missing
        ");
    }

    #[test]
    fn a_missing_option_is_printed_with_what_needs_it() {
        let whole = fragment("test", &of(""));
        let garp = "CONFIG_GARP=m\nCONFIG_LLC=m\nCONFIG_CRYPTO_USER_API=m\n";
        let without = whole
            .replace("CONFIG_UNIX=m", "CONFIG_UNIX=y")
            .replace("CONFIG_SERIAL_8250_NR_UARTS=2", "CONFIG_SERIAL_8250_NR_UARTS=1");
        insta::assert_snapshot!(fragment("6.1", &of(&format!("{without}{garp}"))), @r"
        # 6.1
        # missing options: 1 for kmodlab itself, 1 for behaviours

        # CONFIG_SERIAL_8250_NR_UARTS=1; needed by kmodlab itself
        CONFIG_SERIAL_8250_NR_UARTS=2

        # CONFIG_UNIX=y; needed by loop.historic-unix
        CONFIG_UNIX=m
        ");
    }
}
