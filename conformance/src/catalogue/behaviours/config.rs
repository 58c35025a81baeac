//! The effect of the tools' configuration on loading and removal: options, aliases, soft dependencies, commands, the
//! blacklist, masks, and the kernel command line.

use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{Helper, exec_with, exit_with};
use crate::check::lab::{Lab, LabError};
use crate::check::tools::listed_modules;
use crate::check::trigger::mount;
use agent::plan::{Arg, End, HelperPlan, Record};
use agent::proto::{Action, Value};

const MODPROBE: Need = Need::Command("modprobe");

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "config.options",
        catalogue: "CONF-01",
        group: Group::Config,
        statement: "parameters from the options lines of all files reach the module in the order of the file names; those on modprobe's command line come last",
        source: "modprobe.d(5), options; docs/facts/tools.md#modprobed",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("loop")],
        probes: &[],
        check: By(options),
    },
    Entry {
        id: "config.options-on-demand",
        catalogue: "CFG-01",
        group: Group::Config,
        statement: "options lines in modprobe.d apply to a module that the kernel requests",
        source: "modprobe.d(5), options; blkdev_request_module() (block/bdev.c)",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("loop"), Need::Config("CONFIG_BLOCK_LEGACY_AUTOLOAD=y")],
        probes: &[],
        check: By(options_on_demand),
    },
    Entry {
        id: "config.command-line",
        catalogue: "CFG-02",
        group: Group::Config,
        statement: "modprobe honours MODULE.PARAMETER=VALUE and modprobe.blacklist= on the kernel command line",
        source: "modprobe(8); docs/facts/tools.md#kernel-command-line",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("loop"), Need::Module("dummy")],
        probes: &[],
        check: By(command_line),
    },
    Entry {
        id: "config.alias",
        catalogue: "CONF-02",
        group: Group::Config,
        statement: "a name loads the modules of all aliases that match it, including alias patterns; an alias takes precedence over a module name",
        source: "modprobe.d(5), alias; docs/facts/tools.md#lookup",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("dummy"), Need::Module("nls_utf8"), Need::Module("llc")],
        probes: &[],
        check: By(alias),
    },
    Entry {
        id: "config.blacklist",
        catalogue: "CFG-04",
        group: Group::Config,
        statement: "a blacklisted module is not loaded by alias, is loaded by name unless -b is given, and is always loaded as a dependency",
        source: "modprobe.d(5), blacklist; docs/facts/tools.md#modprobed",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("squashfs"), Need::Module("llc"), Need::Module("nls_utf8")],
        probes: &[],
        check: By(blacklist),
    },
    Entry {
        id: "config.softdep",
        catalogue: "CFG-05",
        group: Group::Config,
        statement: "soft dependencies are loaded before and after their module and removed in reverse order; a missing one is not an error",
        source: "modprobe.d(5), softdep; docs/facts/tools.md#insertion",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("nls_utf8"), Need::Module("llc"), Need::Module("dummy")],
        probes: &[],
        check: By(softdep),
    },
    Entry {
        id: "config.softdep-lines",
        catalogue: "CONF-03",
        group: Group::Config,
        statement: "all softdep lines of a module take effect",
        source: "docs/reference/compatibility.md#modprobe; kmod issue 33",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("nls_utf8"), Need::Module("llc"), Need::Module("dummy")],
        probes: &[],
        check: By(softdep_lines),
    },
    Entry {
        id: "config.install-command",
        catalogue: "CFG-03",
        group: Group::Config,
        statement: "an install command is run by /bin/sh instead of the module being loaded, and receives the module's parameters; it can load the module with modprobe -i",
        source: "modprobe.d(5), install; docs/facts/tools.md#modprobed",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("loop")],
        probes: &[],
        check: By(install_command),
    },
    Entry {
        id: "config.install-fails",
        catalogue: "CONF-04",
        group: Group::Config,
        statement: "modprobe fails with a message if an install command exits with an error or is killed by a signal",
        source: "modprobe.d(5), install; docs/facts/tools.md#a7",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("dummy")],
        probes: &[],
        check: By(install_fails),
    },
    Entry {
        id: "config.install-and-softdep",
        catalogue: "CONF-05",
        group: Group::Config,
        statement: "an install command also runs for a module with soft dependencies, so that a command can block the module",
        source: "docs/facts/tools.md#a10; kmod issue 446",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("dummy"), Need::Module("llc")],
        probes: &[],
        check: By(install_and_softdep),
    },
    Entry {
        id: "config.remove-command",
        catalogue: "CONF-06",
        group: Group::Config,
        statement: "a remove command runs instead of the removal, even if the module is not loaded; -i ignores it",
        source: "modprobe.d(5), remove; docs/facts/tools.md#removal",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("dummy")],
        probes: &[],
        check: By(remove_command),
    },
    Entry {
        id: "config.directories",
        catalogue: "CONF-07",
        group: Group::Config,
        statement: "a file in /etc/modprobe.d hides files of the same name in /run and /lib; -C replaces all of these directories",
        source: "modprobe.d(5); docs/facts/tools.md#modprobed",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[MODPROBE, Need::Trait("modprobe --config"), Need::Module("loop")],
        probes: &[],
        check: By(directories),
    },
    Entry {
        id: "config.mask",
        catalogue: "CONF-08",
        group: Group::Config,
        statement: "a masked module is not loaded by name, by alias or as a dependency and is skipped when it is a soft dependency, each time with a message",
        source: "docs/facts/tools.md#mask",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[
            MODPROBE,
            Need::Trait("masks in kmod.d"),
            Need::Module("squashfs"),
            Need::Module("garp"),
            Need::Module("nls_utf8"),
        ],
        probes: &[],
        check: By(mask),
    },
];

fn options(lab: &mut Lab<'_>) -> Check {
    lab.write("/etc/modprobe.d/a.conf", b"options loop max_loop=2 max_part=7\n")?;
    lab.write("/etc/modprobe.d/z.conf", b"options loop max_part=15\noptions loop max_part=3\n")?;
    lab.expect_tool(&["modprobe", "loop"], 0, "")?;
    lab.expect_parameter("loop", "max_loop", "2")?;
    lab.expect_parameter("loop", "max_part", "3")?;
    lab.expect_tool(&["modprobe", "-r", "loop"], 0, "")?;
    lab.expect_tool(&["modprobe", "loop", "max_loop=1"], 0, "")?;
    lab.expect_parameter_as("loop: max_loop, given on the command line", "loop", "max_loop", "1")
}

fn options_on_demand(lab: &mut Lab<'_>) -> Check {
    lab.configure("options loop max_loop=2 max_part=15\n")?;
    lab.set_path(b"/sbin/modprobe")?;
    let node = b"/run/lab/node".to_vec();
    lab.arrange(Action::Mknod { path: node.clone(), mode: libc::S_IFBLK | 0o600, major: 7, minor: 0 })?;
    let open = lab.observe(Action::Open { path: node, flags: libc::O_RDONLY })?;
    lab.expect("open(2) of block device 7:0", open.result, 0);
    lab.expect_live(&["loop"])?;
    lab.expect_parameter("loop", "max_part", "15")
}

fn command_line(lab: &mut Lab<'_>) -> Check {
    lab.write(
        "/run/lab/cmdline",
        b"console=ttyS0 loop.max_part=15 modprobe.blacklist=dummy,none -- loop.max_loop=2\n",
    )?;
    let (source, target) = (b"/run/lab/cmdline".to_vec(), b"/proc/cmdline".to_vec());
    let bind = Action::Mount { source, target, fstype: b"none".to_vec(), flags: libc::MS_BIND, data: Vec::new() };
    lab.arrange_in_init(bind)?;
    lab.expect_tool(&["modprobe", "loop"], 0, "")?;
    lab.expect_parameter("loop", "max_part", "15")?;
    lab.expect_parameter("loop", "max_loop", "2")?;
    lab.tool(&["modprobe", "-b", "dummy"])?;
    lab.expect_absent(&["dummy"])
}

fn alias(lab: &mut Lab<'_>) -> Check {
    lab.configure("alias my-?-name dummy\nalias my-0-name nls_utf8\nalias llc nls_utf8\n")?;
    lab.expect_tool(&["modprobe", "my_0-name"], 0, "")?;
    lab.expect_live(&["dummy", "nls_utf8"])?;
    lab.expect_tool(&["modprobe", "llc"], 0, "")?;
    lab.expect_absent(&["llc"])
}

fn blacklist(lab: &mut Lab<'_>) -> Check {
    lab.configure("blacklist squashfs\nblacklist llc\nblacklist nls-utf8\n")?;
    lab.set_path(b"/sbin/modprobe")?;
    let mount = lab.observe(mount("squashfs"))?;
    lab.expect("mount(2)", mount.result, errno::ENODEV);
    lab.expect_tool(&["modprobe", "fs-squashfs"], 0, "")?;
    lab.expect_tool(&["modprobe", "-b", "nls_utf8"], 0, "")?;
    lab.expect_absent(&["squashfs", "nls_utf8"])?;
    lab.expect_tool(&["modprobe", "nls_utf8"], 0, "")?;
    lab.expect_tool(&["modprobe", "-b", "stp"], 0, "")?;
    lab.expect_live(&["nls_utf8", "stp", "llc"])
}

fn softdep(lab: &mut Lab<'_>) -> Check {
    lab.configure("softdep nls_utf8 pre: no_such llc post: dummy\n")?;
    let all = ["llc", "nls_utf8", "dummy"];
    let printed = lab.expect_tool(&["modprobe", "-v", "nls_utf8"], 0, "")?;
    lab.expect("modules listed by -v", List(listed_modules(&printed)), List(all.to_vec()));
    lab.expect_live(&all)?;
    let printed = lab.expect_tool(&["modprobe", "-r", "-v", "nls_utf8"], 0, "")?;
    lab.expect("modules listed by -r -v", List(listed_modules(&printed)), List(vec!["dummy", "nls_utf8", "llc"]));
    lab.expect_states("llc, nls_utf8, dummy after modprobe -r", &all, &["absent"; 3])
}

fn softdep_lines(lab: &mut Lab<'_>) -> Check {
    lab.configure("softdep nls_utf8 pre: llc\nsoftdep nls_utf8 post: dummy\n")?;
    lab.expect_tool(&["modprobe", "nls_utf8"], 0, "")?;
    lab.expect_live(&["llc", "nls_utf8", "dummy"])
}

/// Returns a plan that runs the subject's modprobe as a shell would.
fn run_modprobe(arguments: &[&str]) -> HelperPlan {
    let argv = [&["/sbin/modprobe"], arguments].concat();
    exec_with("/sbin/modprobe", argv.iter().map(|argument| Arg::Literal(argument.as_bytes().to_vec())).collect())
}

/// Returns how a command was started: its argv, and the variable that names the module.
fn command_line_and_module(record: Option<&Record>) -> (Vec<Vec<u8>>, Vec<u8>) {
    let Some(record) = record else { return (Vec::new(), Vec::new()) };
    // glibc 2.38 and later pass `--` before the command.
    let argv = record.argv.iter().filter(|argument| argument.as_slice() != b"--").cloned().collect();
    let module = record.envp.iter().find(|variable| variable.starts_with(b"MODPROBE_MODULE="));
    (argv, module.cloned().unwrap_or_default())
}

fn install_command(lab: &mut Lab<'_>) -> Check {
    lab.configure("install loop modprobe -i loop $CMDLINE_OPTS\noptions loop max_part=3\n")?;
    let shell = lab.shell(&run_modprobe(&["-i", "loop", "max_part=3", "max_loop=1"]))?;
    lab.expect_tool(&["modprobe", "loop", "max_loop=1"], 0, "")?;
    let records = lab.records(&shell)?;
    lab.expect("commands started", records.len(), 1);
    let (argv, module) = command_line_and_module(records.first());
    lab.expect("argv of the shell", List(argv), List(vec!["sh", "-c", "modprobe -i loop max_part=3 max_loop=1"]));
    lab.expect("environment of the shell", module, "MODPROBE_MODULE=loop");
    lab.expect_parameter("loop", "max_part", "3")?;
    lab.expect_parameter("loop", "max_loop", "1")
}

fn expect_commands(lab: &mut Lab<'_>, shell: &Helper, count: usize) -> Check {
    let records = lab.records(shell)?;
    lab.expect("commands started", records.len(), count);
    Ok(())
}

fn install_fails(lab: &mut Lab<'_>) -> Check {
    lab.configure("install dummy no-way $CMDLINE_OPTS\n")?;
    let shell = lab.shell(&exit_with(7))?;
    let message = |end: &str| {
        format!(
            "modprobe: ERROR: Error running install command 'no-way ' for module dummy: {end} \
           | modprobe: ERROR: could not insert 'dummy': Invalid argument"
        )
    };
    let argv = ["modprobe", "dummy"];
    lab.expect_tool_as("modprobe dummy, command exits with 7", &argv, 1, &message("retcode 7"))?;
    expect_commands(lab, &shell, 1)?;
    let killed = shell.encode(&HelperPlan { record: true, actions: Vec::new(), end: End::Signal(libc::SIGKILL) });
    lab.write(&shell.plan_path(), &killed.map_err(LabError::Unexpected)?)?;
    lab.expect_tool_as("modprobe dummy, command is killed", &argv, 1, &message("killed by signal 9"))?;
    lab.expect_absent(&["dummy"])
}

fn install_and_softdep(lab: &mut Lab<'_>) -> Check {
    lab.configure("install dummy no-way\nsoftdep dummy pre: llc\n")?;
    let shell = lab.shell(&exit_with(1))?;
    let message = "modprobe: ERROR: Error running install command 'no-way' for module dummy: retcode 1 \
                | modprobe: ERROR: could not insert 'dummy': Invalid argument";
    lab.expect_tool(&["modprobe", "dummy"], 1, message)?;
    expect_commands(lab, &shell, 1)?;
    lab.expect_states("llc, dummy", &["llc", "dummy"], &["Live", "absent"])
}

fn remove_command(lab: &mut Lab<'_>) -> Check {
    lab.configure("remove dummy farewell $CMDLINE_OPTS\n")?;
    let shell = lab.shell(&exit_with(0))?;
    let argv = ["modprobe", "-r", "dummy"];
    lab.expect_tool_as("modprobe -r dummy, not loaded", &argv, 0, "")?;
    lab.load("dummy")?;
    lab.expect_tool_as("modprobe -r dummy, loaded", &argv, 0, "")?;
    let records = lab.records(&shell)?;
    lab.expect("commands started", records.len(), 2);
    let (argv, module) = command_line_and_module(records.last());
    lab.expect("argv of the shell", List(argv), List(vec!["sh", "-c", "farewell "]));
    lab.expect("environment of the shell", module, "MODPROBE_MODULE=dummy");
    lab.expect_live(&["dummy"])?;
    lab.expect_tool(&["modprobe", "-r", "-i", "dummy"], 0, "")?;
    lab.expect_states("dummy after modprobe -r -i", &["dummy"], &["absent"])
}

fn directories(lab: &mut Lab<'_>) -> Check {
    lab.write("/run/modprobe.d/x.conf", b"options loop max_part=7\n")?;
    lab.write("/lib/modprobe.d/x.conf", b"options loop max_part=15\n")?;
    lab.write("/lib/modprobe.d/y.conf", b"options loop max_loop=1\n")?;
    lab.write("/etc/modprobe.d/x.conf", b"options loop max_part=3\n")?;
    lab.write("/run/lab/other", b"options loop max_part=31\n")?;
    lab.expect_tool(&["modprobe", "loop"], 0, "")?;
    lab.expect_parameter("loop", "max_part", "3")?;
    lab.expect_parameter("loop", "max_loop", "1")?;
    lab.expect_tool(&["modprobe", "-r", "loop"], 0, "")?;
    lab.expect_tool(&["modprobe", "-C", "/run/lab/other", "loop"], 0, "")?;
    lab.expect_parameter_as("loop: max_part with -C", "loop", "max_part", "31")?;
    let max_loop = lab.observe(Action::Read { path: b"/sys/module/loop/parameters/max_loop".to_vec(), max: 16 })?;
    lab.expect("max_loop set by y.conf", max_loop.result == Ok(Value::Bytes(b"1\n".to_vec())), false);
    Ok(())
}

fn mask(lab: &mut Lab<'_>) -> Check {
    lab.write("/etc/kmod.d/lab.conf", b"mask squashfs\nmask ll?\n")?;
    let message = |module: &str, masked: &str, line: u32| {
        format!(
            "modprobe: ERROR: could not insert '{module}': module '{masked}' is masked by /etc/kmod.d/lab.conf line {line}"
        )
    };
    for name in ["squashfs", "fs-squashfs"] {
        lab.expect_tool(&["modprobe", name], 1, &message("squashfs", "squashfs", 1))?;
    }
    lab.set_path(b"/sbin/modprobe")?;
    let mount = lab.observe(mount("squashfs"))?;
    lab.expect("mount(2)", mount.result, errno::ENODEV);
    lab.expect_tool(&["modprobe", "garp"], 1, &message("garp", "llc", 2))?;
    lab.configure("softdep nls_utf8 pre: stp\n")?;
    let left_out =
        "modprobe: WARNING: a soft dependency is left out: module 'llc' is masked by /etc/kmod.d/lab.conf line 2";
    lab.expect_tool(&["modprobe", "nls_utf8"], 0, left_out)?;
    lab.expect_live(&["nls_utf8"])?;
    lab.expect_absent(&["squashfs", "garp", "stp", "llc"])
}
