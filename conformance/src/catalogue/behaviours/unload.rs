//! Removing modules with the tools: dependencies, modules in use, and waiting for their release.

use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::fact::List;
use crate::check::lab::Lab;
use crate::check::tools::{INDEFINITELY, KMOD_MESSAGES, TAINT_FORCED_RMMOD, listed_modules};
use agent::proto::{ExitKind, Ran};

const MODPROBE: Need = Need::Command("modprobe");
const RMMOD: Need = Need::Command("rmmod");

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "unload.by-name",
        catalogue: "MOD-06",
        group: Group::Unload,
        statement: "modprobe -r NAME removes a module, treats - and _ alike, and succeeds if the module is not loaded",
        source: "modprobe(8), -r; docs/facts/tools.md#removal; docs/facts/kernel.md#sys-41",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("nls_utf8")],
        probes: &[],
        check: By(by_name),
    },
    Entry {
        id: "unload.first-time",
        catalogue: "UNLD-01",
        group: Group::Unload,
        statement: "modprobe -r --first-time fails for a module that is not loaded",
        source: "modprobe(8), --first-time; docs/facts/tools.md#removal",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Trait("modprobe --first-time"), Need::Module("nls_utf8")],
        probes: &[],
        check: By(first_time),
    },
    Entry {
        id: "unload.by-alias",
        catalogue: "UNLD-02",
        group: Group::Unload,
        statement: "modprobe -r accepts an alias that the module declares",
        source: "modprobe(8), -r; docs/facts/tools.md#removal",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("dummy")],
        probes: &[],
        check: By(by_alias),
    },
    Entry {
        id: "unload.dependencies",
        catalogue: "UNLD-03",
        group: Group::Unload,
        statement: "modprobe -r also removes unused dependencies, in reverse dependency order",
        source: "modprobe(8), -r; docs/facts/tools.md#removal",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("8021q")],
        probes: &[],
        check: By(dependencies),
    },
    Entry {
        id: "unload.in-use",
        catalogue: "MOD-05",
        group: Group::Unload,
        statement: "modprobe -r fails with a message for a module that another module or an open file uses",
        source: "docs/facts/kernel.md#sys-43; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("garp"), Need::Module("loop")],
        probes: &[],
        check: By(in_use),
    },
    Entry {
        id: "unload.wait",
        catalogue: "UNLD-04",
        group: Group::Unload,
        statement: "modprobe -r -w MSEC waits for a module in use and removes it if it is released in time",
        source: "modprobe(8), --wait; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Trait("modprobe --wait"), Need::Module("loop")],
        probes: &[],
        check: By(wait),
    },
    Entry {
        id: "unload.wait-timeout",
        catalogue: "UNLD-05",
        group: Group::Unload,
        statement: "modprobe -r -w MSEC gives up after that time with status 1 and a message, and the module stays loaded",
        source: "modprobe(8), --wait; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Trait("modprobe --wait"), Need::Module("loop")],
        probes: &[],
        check: By(wait_timeout),
    },
    Entry {
        id: "unload.holders",
        catalogue: "UNLD-06",
        group: Group::Unload,
        statement: "modprobe -r --remove-holders removes the modules that use a module, then the module itself",
        source: "modprobe(8), --remove-holders; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Trait("modprobe --remove-holders"), Need::Module("garp")],
        probes: &[],
        check: By(holders),
    },
    Entry {
        id: "unload.several",
        catalogue: "UNLD-07",
        group: Group::Unload,
        statement: "modprobe -r removes every named module; with -a it continues after a name that is not found",
        source: "modprobe(8), -r, -a; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("dummy"), Need::Module("nls_utf8")],
        probes: &[],
        check: By(several),
    },
    Entry {
        id: "unload.builtin",
        catalogue: "UNLD-08",
        group: Group::Unload,
        statement: "modprobe -r reports a built-in module and an unknown name as different errors",
        source: "docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Config("CONFIG_EXT4_FS=y")],
        probes: &[],
        check: By(builtin),
    },
    Entry {
        id: "unload.rmmod",
        catalogue: "UNLD-09",
        group: Group::Unload,
        statement: "rmmod removes modules by name and by path, and continues after one that it cannot remove",
        source: "rmmod(8); docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[RMMOD, Need::Module("dummy"), Need::Module("nls_utf8")],
        probes: &[],
        check: By(rmmod),
    },
    Entry {
        id: "unload.rmmod-refused",
        catalogue: "UNLD-10",
        group: Group::Unload,
        statement: "rmmod reports why it did not remove a module: built in, in use through an open file, or used by other modules, which it names",
        source: "rmmod(8); docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[RMMOD, Need::Module("garp"), Need::Module("loop"), Need::Config("CONFIG_EXT4_FS=y")],
        probes: &[],
        check: By(rmmod_refused),
    },
    Entry {
        id: "unload.rmmod-forced",
        catalogue: "UNLD-11",
        group: Group::Unload,
        statement: "rmmod -f removes a module that an open file uses, which taints the kernel (R), but does not remove a module that other modules use",
        source: "rmmod(8), -f; docs/facts/kernel.md#sys-44",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[RMMOD, Need::Module("garp"), Need::Module("loop"), Need::Config("CONFIG_MODULE_FORCE_UNLOAD=y")],
        probes: &[],
        check: By(rmmod_forced),
    },
];

fn by_name(lab: &mut Lab<'_>) -> Check {
    lab.load("nls_utf8")?;
    lab.expect_states("nls_utf8 before modprobe", &["nls_utf8"], &["Live"])?;
    let printed = lab.expect_tool(&["modprobe", "-r", "nls-utf8"], 0, "")?;
    lab.expect("standard output", printed, "");
    lab.expect_absent(&["nls_utf8"])?;
    lab.expect_tool(&["modprobe", "-r", "nls_utf8"], 0, "")?;
    Ok(())
}

fn first_time(lab: &mut Lab<'_>) -> Check {
    let argv = ["modprobe", "-r", "--first-time", "nls_utf8"];
    let message = "modprobe: FATAL: Module nls_utf8 is not in kernel.";
    lab.expect_tool_as("modprobe -r --first-time nls_utf8, not loaded", &argv, 1, message)?;
    lab.load("nls_utf8")?;
    lab.expect_tool_as("modprobe -r --first-time nls_utf8, loaded", &argv, 0, "")?;
    lab.expect_absent(&["nls_utf8"])
}

fn by_alias(lab: &mut Lab<'_>) -> Check {
    lab.load("dummy")?;
    lab.expect_states("dummy before modprobe", &["dummy"], &["Live"])?;
    lab.expect_tool(&["modprobe", "-r", "rtnl-link-dummy"], 0, "")?;
    lab.expect_absent(&["dummy"])
}

fn dependencies(lab: &mut Lab<'_>) -> Check {
    let all = ["8021q", "garp", "mrp", "stp", "llc"];
    lab.load("8021q")?;
    lab.expect_states(&format!("{} before modprobe", all.join(", ")), &all, &["Live"; 5])?;
    let printed = lab.expect_tool(&["modprobe", "-r", "-v", "8021q"], 0, "")?;
    // Only this output shows the order.
    if lab.has_trait(KMOD_MESSAGES)? {
        let order = vec!["8021q", "garp", "stp", "llc", "mrp"];
        lab.expect("modules listed by -v", List(listed_modules(&printed)), List(order));
    }
    lab.expect_absent(&all)
}

fn in_use(lab: &mut Lab<'_>) -> Check {
    lab.load("garp")?;
    lab.expect_tool(&["modprobe", "-r", "llc"], 1, "modprobe: FATAL: Module llc is in use.")?;
    lab.load("loop")?;
    let ran = lab.tool_while_held("/dev/loop0", INDEFINITELY, &["modprobe", "-r", "loop"])?;
    lab.expect_ran("modprobe -r loop, /dev/loop0 open", &ran, 1, "modprobe: FATAL: Module loop is in use.");
    lab.expect_live(&["garp", "stp", "llc", "loop"])
}

fn wait(lab: &mut Lab<'_>) -> Check {
    lab.load("loop")?;
    let argv = ["modprobe", "-r", "-w", "9000", "loop"];
    let ran = lab.tool_while_held("/dev/loop0", 1100, &argv)?;
    lab.expect_ran("modprobe -r -w 9000 loop, /dev/loop0 open for a second", &ran, 0, "");
    lab.expect_within("modprobe duration", ran.took.0, 900..=5000, "ms");
    lab.expect_absent(&["loop"])
}

fn wait_timeout(lab: &mut Lab<'_>) -> Check {
    lab.load("loop")?;
    let argv = ["modprobe", "-r", "-w", "700", "loop"];
    let ran = lab.tool_while_held("/dev/loop0", INDEFINITELY, &argv)?;
    let message = "modprobe: ERROR: could not remove 'loop': Resource temporarily unavailable";
    lab.expect_ran("modprobe -r -w 700 loop, /dev/loop0 open", &ran, 1, message);
    if ran.exit != ExitKind::TimedOut {
        lab.expect_within("modprobe duration", ran.took.0, 600..=3000, "ms");
    }
    lab.expect_live(&["loop"])
}

fn holders(lab: &mut Lab<'_>) -> Check {
    lab.load("garp")?;
    let printed = lab.expect_tool(&["modprobe", "-r", "-v", "--remove-holders", "stp"], 0, "")?;
    lab.expect("modules listed by -v", List(listed_modules(&printed)), List(vec!["garp", "stp", "llc"]));
    lab.expect_absent(&["garp", "stp", "llc"])
}

fn several(lab: &mut Lab<'_>) -> Check {
    let both = ["dummy", "nls_utf8"];
    both.iter().try_for_each(|name| lab.load(name))?;
    lab.expect_tool(&["modprobe", "-r", "dummy", "nls_utf8"], 0, "")?;
    lab.expect_absent(&both)?;
    both.iter().try_for_each(|name| lab.load(name))?;
    let message = "modprobe: WARNING: Module no-such not found.";
    lab.expect_tool(&["modprobe", "-r", "-a", "dummy", "no-such", "nls_utf8"], 1, message)?;
    lab.expect_states("dummy, nls_utf8 after modprobe -r -a", &both, &["absent"; 2])
}

fn builtin(lab: &mut Lab<'_>) -> Check {
    lab.expect_tool(&["modprobe", "-r", "ext4"], 1, "modprobe: FATAL: Module ext4 is builtin.")?;
    lab.expect_tool(&["modprobe", "-r", "no-such"], 1, "modprobe: FATAL: Module no-such not found.")?;
    Ok(())
}

fn rmmod(lab: &mut Lab<'_>) -> Check {
    lab.load("dummy")?;
    lab.load("nls_utf8")?;
    let file = lab.module_file("dummy")?;
    let printed = lab.expect_tool(&["rmmod", &file], 0, "")?;
    lab.expect("standard output", printed, "");
    lab.expect_states("dummy, nls_utf8", &["dummy", "nls_utf8"], &["absent", "Live"])?;
    let message = "rmmod: ERROR: Module dummy is not currently loaded";
    lab.expect_tool(&["rmmod", "dummy", "nls_utf8"], 1, message)?;
    lab.expect_absent(&["nls_utf8"])
}

fn rmmod_refused(lab: &mut Lab<'_>) -> Check {
    lab.expect_tool(&["rmmod", "ext4"], 1, "rmmod: ERROR: Module ext4 is builtin.")?;
    lab.load("loop")?;
    let ran = lab.tool_while_held("/dev/loop0", INDEFINITELY, &["rmmod", "loop"])?;
    lab.expect_ran("rmmod loop, /dev/loop0 open", &ran, 1, "rmmod: ERROR: Module loop is in use");
    lab.load("garp")?;
    let mut ran = lab.tool(&["rmmod", "llc"])?;
    sort_holders(&mut ran);
    lab.expect_ran("rmmod llc", &ran, 1, "rmmod: ERROR: Module llc is in use by: garp stp");
    lab.expect_live(&["loop", "garp", "stp", "llc"])
}

/// Sorts the modules after `in use by: `. The statement promises no order.
fn sort_holders(ran: &mut Ran) {
    const BEFORE: &str = " is in use by: ";
    let message = String::from_utf8_lossy(&ran.stderr).into_owned();
    if let Some((module, holders)) = message.trim_end().split_once(BEFORE) {
        let mut holders: Vec<&str> = holders.split(' ').collect();
        holders.sort_unstable();
        ran.stderr = format!("{module}{BEFORE}{}", holders.join(" ")).into_bytes();
    }
}

fn rmmod_forced(lab: &mut Lab<'_>) -> Check {
    lab.load("garp")?;
    let mut ran = lab.tool(&["rmmod", "-f", "llc"])?;
    // Some tools print two lines: that of a library, then their own.
    ran.stderr = last_line(&ran.stderr);
    let message = "rmmod: ERROR: could not remove module llc: Resource temporarily unavailable";
    lab.expect_ran("rmmod -f llc", &ran, 1, message);
    lab.expect_live(&["llc"])?;
    lab.load("loop")?;
    let ran = lab.tool_while_held("/dev/loop0", INDEFINITELY, &["rmmod", "-f", "loop"])?;
    lab.expect_ran("rmmod -f loop, /dev/loop0 open", &ran, 0, "");
    lab.expect_absent(&["loop"])?;
    lab.expect_tainted(TAINT_FORCED_RMMOD)
}

fn last_line(text: &[u8]) -> Vec<u8> {
    text.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::proto::GuestMillis;

    #[test]
    fn the_modules_in_a_message_are_sorted() {
        let mut ran = Ran {
            exit: ExitKind::Exited(1),
            stdout: Vec::new(),
            stderr: b"rmmod: ERROR: Module llc is in use by: stp garp\n".to_vec(),
            took: GuestMillis(1),
        };
        sort_holders(&mut ran);
        assert_eq!(ran.stderr, b"rmmod: ERROR: Module llc is in use by: garp stp");
        ran.stderr = b"busy\n".to_vec();
        sort_holders(&mut ran);
        assert_eq!(ran.stderr, b"busy\n");
    }

    #[test]
    fn the_last_line_of_a_message_is_found() {
        assert_eq!(last_line(b"library: a\ntool: b\n"), b"tool: b");
        assert_eq!(last_line(b"tool: b\n"), b"tool: b");
        assert_eq!(last_line(b""), b"");
    }
}
