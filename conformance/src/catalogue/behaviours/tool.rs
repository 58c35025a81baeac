//! The subject's programs as the kernel and an init system start them, and the information on modules that they print.

use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::lab::Lab;
use crate::check::modules::OWN;
use crate::check::trigger::mount;
use crate::check::xz::Check as XzCheck;
use agent::proto::{Action, GuestMillis};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "tool.no-open-descriptors",
        catalogue: "TOOL-01",
        group: Group::Tool,
        statement: "modprobe works without open file descriptors and without /dev, which is how the kernel starts it in an early initramfs",
        source: "call_usermodehelper_exec_async() opens no files for the helper (kernel/umh.c)",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[Need::Command("modprobe"), Need::Module("squashfs")],
        probes: &[],
        check: By(no_open_descriptors),
    },
    Entry {
        id: "tool.lsmod",
        catalogue: "TOOL-02",
        group: Group::Tool,
        statement: "lsmod prints, for each module in /proc/modules, its name, size, use count and users",
        source: "lsmod(8); docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[Need::Command("lsmod"), Need::Module("8021q")],
        probes: &[],
        check: By(lsmod),
    },
    Entry {
        id: "tool.kmod-list",
        catalogue: "TOOL-03",
        group: Group::Tool,
        statement: "kmod list prints the same as lsmod",
        source: "kmod(8); docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[Need::Command("lsmod"), Need::Trait("kmod list"), Need::Module("garp")],
        probes: &[],
        check: By(kmod_list),
    },
    Entry {
        id: "tool.modinfo",
        catalogue: "TOOL-07",
        group: Group::Tool,
        statement: "modinfo describes a module by name, alias or path, whether it is loaded, built in or compressed",
        source: "modinfo(8); docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[
            Need::Command("modinfo"),
            Need::Module("loop"),
            Need::Module("nls_utf8"),
            Need::Config("CONFIG_EXT4_FS=y"),
        ],
        probes: &[],
        check: By(modinfo),
    },
    Entry {
        id: "tool.depmod-updates",
        catalogue: "TOOL-04",
        group: Group::Tool,
        statement: "after depmod, a module in updates/ is loaded instead of the kernel's own",
        source: "depmod.d(5), search; docs/facts/tools.md#depmodd",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[Need::Command("depmod"), Need::Command("modprobe"), Need::Module("nls_utf8")],
        probes: &[],
        check: By(depmod_updates),
    },
    Entry {
        id: "tool.static-nodes-unit",
        catalogue: "TOOL-05",
        group: Group::Tool,
        statement: "the ExecStart of kmod-static-nodes.service writes one tmpfiles.d line for each node in modules.devname",
        source: "kmod-static-nodes.service of systemd 252 to 257; docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[Need::Trait("kmod static-nodes"), Need::Module("loop")],
        probes: &[],
        check: By(static_nodes_unit),
    },
    Entry {
        id: "tool.modprobe-unit",
        catalogue: "TOOL-06",
        group: Group::Tool,
        statement: "modprobe -abq NAME, the ExecStart of modprobe@.service, is silent and exits with status 0 if NAME is loaded, built in or blacklisted, and with status 1 otherwise",
        source: "modprobe@.service of systemd 252 to 257; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[
            Need::Command("modprobe"),
            Need::Module("loop"),
            Need::Module("dummy"),
            Need::Config("CONFIG_EXT4_FS=y"),
        ],
        probes: &[],
        check: By(modprobe_unit),
    },
];

fn no_open_descriptors(lab: &mut Lab<'_>) -> Check {
    lab.set_path(b"/sbin/modprobe")?;
    lab.arrange_in_init(Action::Umount(b"/dev".to_vec(), libc::MNT_DETACH))?;
    let null = lab.observe(Action::Read { path: b"/dev/null".to_vec(), max: 1 })?;
    lab.expect("read of /dev/null", null.result, errno::ENOENT);
    let absent = Action::ExecClosed {
        program: b"/sbin/modprobe".to_vec(),
        argv: ["/sbin/modprobe", "-q", "--", "no-such-module"].map(|arg| arg.as_bytes().to_vec()).to_vec(),
        env: Vec::new(),
        chroot: None,
        limit: GuestMillis(10_000),
    };
    let modprobe = lab.observe(absent)?;
    lab.expect("modprobe with an unknown name", modprobe.result, "exit 1");
    lab.observe(mount("squashfs"))?;
    let states = lab.module_states(&["squashfs"])?;
    lab.expect("squashfs after a request by the kernel", List(states), List(vec!["Live"]));
    Ok(())
}

/// Normalizes a row of lsmod or /proc/modules to `NAME SIZE USERS HOLDERS`, the holders sorted.
fn row(line: &str) -> String {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut holders: Vec<&str> =
        fields.get(3).into_iter().flat_map(|list| list.split(',')).filter(|name| !matches!(*name, "" | "-")).collect();
    holders.sort_unstable();
    format!("{} {}", fields.get(..3).unwrap_or_default().join(" "), holders.join(","))
}

fn lsmod(lab: &mut Lab<'_>) -> Check {
    lab.load("8021q")?;
    let table = lab.read("/proc/modules")?;
    let ran = lab.tool(&["lsmod"])?;
    lab.expect_ran("lsmod", &ran, 0, "");
    let (printed, table) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&table));
    let mut lines = printed.lines();
    // The taint state of the kernel may follow.
    let header = lines.next().unwrap_or_default().trim_end_matches("    Not tainted");
    lab.expect("header", header, "Module                  Size  Used by");
    let rows: Vec<String> = lines.map(row).collect();
    let names = rows.iter().filter_map(|row| row.split(' ').next()).filter(|&name| name != OWN);
    let names = names.map(str::to_owned).collect();
    lab.expect("module names", List(names), List(vec!["8021q", "garp", "stp", "llc", "mrp"]));
    lab.expect("rows equal /proc/modules", rows == table.lines().map(row).collect::<Vec<_>>(), true);
    Ok(())
}

fn kmod_list(lab: &mut Lab<'_>) -> Check {
    lab.load("garp")?;
    let lsmod = lab.tool(&["lsmod"])?;
    let ran = lab.tool(&["kmod", "list"])?;
    lab.expect_ran("kmod list", &ran, 0, "");
    let own = ran.stdout.split(|&b| b == b'\n').filter(|line| line.starts_with(OWN.as_bytes())).count();
    lab.expect("line count", ran.stdout.split(|&b| b == b'\n').count() - 1 - own, 4);
    lab.expect("output equals lsmod", ran.stdout == lsmod.stdout, true);
    Ok(())
}

fn modinfo(lab: &mut Lab<'_>) -> Check {
    lab.load("loop")?;
    let compressed = lab.write_xz("nls_utf8", XzCheck::Crc32)?;
    for (operand, module) in [("loop", "loop"), ("block-major-7-5", "loop"), (&compressed, "nls_utf8")] {
        expect_printed(lab, &["modinfo", "-F", "name", operand], module)?;
    }
    expect_printed(lab, &["modinfo", "-n", "loop"], "loop.ko")?;
    let parameters = lab.expect_tool(&["modinfo", "-p", "loop"], 0, "")?;
    lab.expect(
        "max_part is listed",
        parameters.contains("max_part:Maximum number of partitions per loop device"),
        true,
    );
    let listing = lab.expect_tool(&["modinfo", "ext4"], 0, "")?;
    let head: Vec<&str> = listing.split(" | ").take(2).collect();
    lab.expect("first two lines", head.join(" | "), "name:           ext4 | filename:       (builtin)");
    lab.expect_tool(&["modinfo", "no-such"], 1, "modinfo: ERROR: Module no-such not found.")?;
    Ok(())
}

/// Expects a command to succeed silently on standard error, and records its output as a second fact.
fn expect_printed(lab: &mut Lab<'_>, argv: &[&str], output: &str) -> Check {
    let printed = lab.expect_tool(argv, 0, "")?;
    let name = lab.normalize(format!("output of {}", argv.join(" ")).as_bytes());
    lab.expect(&name, printed, output);
    Ok(())
}

fn depmod_updates(lab: &mut Lab<'_>) -> Check {
    let tree = format!("/lib/modules/{}", lab.pair().release);
    let file = lab.module_file("nls_utf8")?;
    let name = file.rsplit('/').next().unwrap_or_default();
    let updated = format!("{tree}/updates/{name}");
    let module = lab.read(&file)?;
    lab.write(&updated, &module)?;
    lab.expect_tool(&["depmod"], 0, "")?;
    let index = lab.read(&format!("{tree}/modules.dep"))?;
    let index = String::from_utf8_lossy(&index);
    let lines: Vec<&str> = index.lines().filter(|line| line.contains("nls_utf8.ko")).collect();
    let line = lines.join(" ").replace(".xz", "");
    lab.expect("line in modules.dep", line, "updates/nls_utf8.ko:");
    // Shows that this file is used: the module is loaded without the other one.
    lab.remove(&file)?;
    lab.expect_tool(&["modprobe", "nls_utf8"], 0, "")?;
    lab.expect_live(&["nls_utf8"])
}

fn static_nodes_unit(lab: &mut Lab<'_>) -> Check {
    const FILE: &str = "/run/tmpfiles.d/static-nodes.conf";
    let devname = lab.read(&format!("/lib/modules/{}/modules.devname", lab.pair().release))?;
    let nodes: Vec<String> = String::from_utf8_lossy(&devname).lines().filter_map(tmpfiles_line).collect();
    lab.expect("nodes in modules.devname", List(nodes.clone()), List(vec!["c! /dev/loop-control 0600 - - - 10:237"]));
    lab.expect_tool(&["kmod", "static-nodes", "--format=tmpfiles", &format!("--output={FILE}")], 0, "")?;
    let written = lab.read(FILE)?;
    let written = String::from_utf8_lossy(&written).lines().map(str::to_owned).collect();
    lab.expect("tmpfiles.d lines", List(written), List(nodes));
    Ok(())
}

/// Returns the tmpfiles.d(5) line for a line of modules.devname (`MODULE NODE cMAJOR:MINOR`).
fn tmpfiles_line(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split(' ').collect();
    match fields[..] {
        ["#", ..] => None,
        [_, node, device] => {
            let (kind, number) = device.split_at_checked(1)?;
            Some(format!("{kind}! /dev/{node} 0600 - - - {number}"))
        }
        _ => Some(format!("? {line}")),
    }
}

fn modprobe_unit(lab: &mut Lab<'_>) -> Check {
    lab.configure("blacklist dummy\n")?;
    for (name, status) in [("loop", 0), ("ext4", 0), ("dummy", 0), ("no-such", 1)] {
        let argv = ["modprobe", "-abq", name];
        let printed = lab.expect_tool(&argv, status, "")?;
        lab.expect(&format!("output of {}", argv.join(" ")), printed, "");
    }
    lab.expect_states("loop, dummy", &["loop", "dummy"], &["Live", "absent"])
}
