//! Which options a kernel's configuration missing: for the lab itself, and for each behaviour that would be skipped.

use crate::behaviour::{Behaviour, Need};
use std::fmt::Write as _;

/// What the lab cannot do without: modules, an initramfs, a console and a second serial port, what the agent mounts and runs.
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

/// Options with a number, and the least that the lab wants.
const LAB_AT_LEAST: &[(&str, u64)] = &[("CONFIG_SERIAL_8250_NR_UARTS", 2), ("CONFIG_SERIAL_8250_RUNTIME_UARTS", 2)];

/// Which option makes a module of the catalogue's needs, and which lines bring it about, where others select it.
const MODULES: &[(&str, &str, &[&str])] = &[
    ("8021q", "CONFIG_VLAN_8021Q", &["CONFIG_VLAN_8021Q=m"]),
    ("af_alg", "CONFIG_CRYPTO_USER_API", &["CONFIG_CRYPTO_USER_API_HASH=m"]),
    ("dummy", "CONFIG_DUMMY", &["CONFIG_DUMMY=m"]),
    ("garp", "CONFIG_GARP", &["CONFIG_VLAN_8021Q=m", "CONFIG_VLAN_8021Q_GVRP=y"]),
    ("ip_tables", "CONFIG_IP_NF_IPTABLES", &["CONFIG_IP_NF_IPTABLES=m"]),
    ("llc", "CONFIG_LLC", &["CONFIG_VLAN_8021Q=m", "CONFIG_VLAN_8021Q_GVRP=y"]),
    ("loop", "CONFIG_BLK_DEV_LOOP", &["CONFIG_BLK_DEV_LOOP=m"]),
    ("nls_utf8", "CONFIG_NLS_UTF8", &["CONFIG_NLS_UTF8=m"]),
    ("squashfs", "CONFIG_SQUASHFS", &["CONFIG_SQUASHFS=m"]),
];

/// Lines that a configuration missing, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingOption {
    /// The lines of a fragment that would mend it.
    pub lines: Vec<String>,
    /// What the configuration has now: `CONFIG_UNIX=y`.
    pub has: String,
    /// The behaviours; none: the lab itself.
    pub behaviours: Vec<&'static str>,
}

/// What is lacking; `value` gives an option's value, `n` if it is not set, by its name with `CONFIG_`.
pub fn missing_options<'a>(value: impl Fn(&str) -> &'a str, behaviours: &[&'static Behaviour]) -> Vec<MissingOption> {
    let has = |option: &str| match value(option) {
        "n" => format!("{option} is not set"),
        value => format!("{option}={value}"),
    };
    let lab = |option: &str, wanted: &str| MissingOption {
        lines: vec![format!("{option}={wanted}")],
        has: has(option),
        behaviours: Vec::new(),
    };
    let exact = LAB.iter().filter(|(option, wanted)| value(option) != *wanted);
    let few = LAB_AT_LEAST.iter().filter(|(option, least)| value(option).parse().unwrap_or(0) < *least);
    let mut missing: Vec<MissingOption> = exact.map(|(option, wanted)| lab(option, wanted)).collect();
    missing.extend(few.map(|(option, least)| lab(option, &least.to_string())));
    for behaviour in behaviours {
        for (option, wanted, lines) in behaviour.needs.iter().filter_map(wanted) {
            if value(option) == wanted {
                continue;
            }
            let lack = MissingOption { lines, has: has(option), behaviours: vec![behaviour.id] };
            match missing.iter_mut().find(|known| (&known.lines, &known.has) == (&lack.lines, &lack.has)) {
                Some(known) if known.behaviours.is_empty() => {}
                Some(known) => known.behaviours.push(behaviour.id),
                None => missing.push(lack),
            }
        }
    }
    missing
}

/// The option of a need, the value that it must have, and the lines that bring it about.
fn wanted(need: &Need) -> Option<(&'static str, &'static str, Vec<String>)> {
    let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    match need {
        Need::Config(line) => line.split_once('=').map(|(option, value)| (option, value, own(&[line]))),
        Need::Module(name) => {
            MODULES.iter().find(|(module, ..)| module == name).map(|(_, option, lines)| (*option, "m", own(lines)))
        }
        Need::Command(_) => None,
    }
}

/// What is lacking as a fragment: comments say for what.
#[must_use]
pub fn fragment(kernel: &str, missing: &[MissingOption]) -> String {
    let mut text = format!("# {kernel}\n");
    // Writing to a String cannot fail.
    if missing.is_empty() {
        let _ = writeln!(text, "# has every option that the lab and its behaviours want");
    }
    for lack in missing {
        let whom = if lack.behaviours.is_empty() { "the lab itself".to_owned() } else { lack.behaviours.join(", ") };
        let _ = writeln!(text, "\n# {}; wanted by {whom}", lack.has);
        lack.lines.iter().for_each(|line| text.extend([line, "\n"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviours;
    use std::collections::HashMap;

    /// As a kernel with these lines has it.
    fn of(text: &str) -> Vec<MissingOption> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
        let config: HashMap<String, &str> = lines.map(|(option, value)| (format!("CONFIG_{option}"), value)).collect();
        missing_options(|option| config.get(option).copied().unwrap_or("n"), &behaviours::all())
    }

    #[test]
    fn every_module_that_a_behaviour_needs_has_its_option() {
        for behaviour in behaviours::all() {
            for need in behaviour.needs {
                assert!(matches!(need, Need::Command(_)) || wanted(need).is_some(), "{}: {need}", behaviour.id);
            }
        }
    }

    #[test]
    fn what_is_lacking_is_a_fragment_that_says_for_what() {
        let all = of("");
        assert!(all.iter().any(|lack| lack.behaviours.is_empty() && lack.lines == ["CONFIG_MODULES=y"]));
        let fragment_text = fragment("made", &all);
        let mended = of(&format!("{fragment_text}CONFIG_GARP=m\nCONFIG_LLC=m\nCONFIG_CRYPTO_USER_API=m\n"));
        assert_eq!(mended, [], "what the fragment says is what is wanted; three options are selected by others");
        insta::assert_snapshot!(fragment("6.1", &mended), @r"
        # 6.1
        # has every option that the lab and its behaviours want
        ");
    }

    #[test]
    fn an_option_that_two_behaviours_want_stands_once() {
        let whole = fragment("made", &of(""));
        let garp = "CONFIG_GARP=m\nCONFIG_LLC=m\nCONFIG_CRYPTO_USER_API=m\n";
        let without = whole
            .replace("CONFIG_UNIX=m", "CONFIG_UNIX=y")
            .replace("CONFIG_SERIAL_8250_NR_UARTS=2", "CONFIG_SERIAL_8250_NR_UARTS=1");
        insta::assert_snapshot!(fragment("6.1", &of(&format!("{without}{garp}"))), @r"
        # 6.1

        # CONFIG_SERIAL_8250_NR_UARTS=1; wanted by the lab itself
        CONFIG_SERIAL_8250_NR_UARTS=2

        # CONFIG_UNIX=y; wanted by loop.historic-unix
        CONFIG_UNIX=m
        ");
    }
}
