//! Loading with the tools: by name, alias or path, with options, and the messages when it fails.

mod files;

use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::fact::List;
use crate::check::lab::{Lab, LabError};
use crate::check::tools::{KERNEL_REASONS, listed_modules};
use agent::proto::{Action, Caller, ExitKind, GuestMillis, Ran, Value};
use files::{BAD_VALUE, UNKNOWN_SYMBOLS};
use kmod::index::IndexWriter;

const MODPROBE: Need = Need::Command("modprobe");
const INSMOD: Need = Need::Command("insmod");

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "load.by-name",
        catalogue: "LOAD-01",
        group: Group::Load,
        statement: "modprobe NAME loads a module silently and treats - and _ alike",
        source: "modprobe(8); docs/facts/tools.md#names-and-files",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("nls_utf8")],
        probes: &[],
        check: By(by_name),
    },
    Entry {
        id: "load.dependencies",
        catalogue: "LOAD-02",
        group: Group::Load,
        statement: "modprobe loads each dependency once, before the modules that need it; all are Live, and dependencies count as in use",
        source: "modprobe(8); docs/facts/tools.md#insertion",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("8021q")],
        probes: &[],
        check: By(dependencies),
    },
    Entry {
        id: "load.by-alias",
        catalogue: "LOAD-03",
        group: Group::Load,
        statement: "modprobe accepts an alias that a module declares, whether the declared alias is literal or contains wildcards",
        source: "modprobe(8); docs/facts/tools.md#lookup",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("dummy"), Need::Module("loop")],
        probes: &[],
        check: By(by_alias),
    },
    Entry {
        id: "load.by-path",
        catalogue: "LOAD-04",
        group: Group::Load,
        statement: "modprobe /FILE and modprobe ./FILE load that file after its dependencies",
        source: "docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("garp"), Need::Module("nls_utf8")],
        probes: &[],
        check: By(by_path),
    },
    Entry {
        id: "load.options",
        catalogue: "LOAD-05",
        group: Group::Load,
        statement: "arguments after the name on modprobe's command line are passed to the module as parameters",
        source: "modprobe(8)",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("loop")],
        probes: &[],
        check: By(options),
    },
    Entry {
        id: "load.already-loaded",
        catalogue: "LOAD-06",
        group: Group::Load,
        statement: "modprobe succeeds for a module that is loaded or built in, but fails with --first-time",
        source: "modprobe(8), --first-time; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[
            MODPROBE,
            Need::Trait("modprobe --first-time"),
            Need::Module("nls_utf8"),
            Need::Config("CONFIG_EXT4_FS=y"),
        ],
        probes: &[],
        check: By(already_loaded),
    },
    Entry {
        id: "load.unknown-name",
        catalogue: "LOAD-07",
        group: Group::Load,
        statement: "modprobe exits with status 1 and a message for an unknown name; -q suppresses the message, and -a continues with the next name",
        source: "modprobe(8); docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("nls_utf8")],
        probes: &[],
        check: By(unknown_name),
    },
    Entry {
        id: "load.failure-reasons",
        catalogue: "LOAD-08",
        group: Group::Load,
        statement: "modprobe reports an invalid parameter, an unknown symbol and a missing file as different errors and leaves no module loaded",
        source: "docs/facts/kernel.md#sys-16, docs/facts/kernel.md#sys-24; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("dummy"), Need::Module("garp"), Need::Module("nls_utf8")],
        probes: &[],
        check: By(failure_reasons),
    },
    Entry {
        id: "load.insmod",
        catalogue: "LOAD-09",
        group: Group::Load,
        statement: "insmod FILE loads a module with the given parameters; a second insmod fails; an unknown parameter is reported only by the kernel",
        source: "insmod(8); docs/facts/kernel.md#sys-27; docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[INSMOD, Need::Module("dummy"), Need::Module("loop")],
        probes: &[],
        check: By(files::insmod),
    },
    Entry {
        id: "load.insmod-refused",
        catalogue: "LOAD-10",
        group: Group::Load,
        statement: "insmod reports why it did not load a file: missing file, not a module, unknown symbol or invalid parameter",
        source: "insmod(8); docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[INSMOD, Need::Module("dummy"), Need::Module("garp")],
        probes: &[],
        check: By(files::insmod_refused),
    },
    Entry {
        id: "load.compressed",
        catalogue: "LOAD-11",
        group: Group::Load,
        statement: "insmod passes a .ko.xz as is to a kernel that can decompress it, and decompressed to one that cannot",
        source: "MODULE_INIT_COMPRESSED_FILE (include/uapi/linux/module.h); docs/facts/tools.md#insertion",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[INSMOD, Need::Module("nls_utf8"), Need::Config("CONFIG_DYNAMIC_DEBUG=y")],
        probes: &["decompression"],
        check: By(files::compressed),
    },
    Entry {
        id: "load.kernel-cannot-decompress",
        catalogue: "LOAD-12",
        group: Group::Load,
        statement: "insmod decompresses and loads a .ko.xz whose integrity check the kernel's decoder rejects",
        source: "module_decompress() (kernel/module/decompress.c); docs/facts/kernel.md#sys-39",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[INSMOD, Need::Module("nls_utf8")],
        probes: &["decompression"],
        check: By(files::kernel_cannot_decompress),
    },
    Entry {
        id: "load.force",
        catalogue: "LOAD-13",
        group: Group::Load,
        statement: "a module built for another kernel is rejected; insmod -f loads it and taints the kernel",
        source: "insmod(8), -f; docs/facts/kernel.md#sys-13",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[
            INSMOD,
            Need::Trait("insmod -f"),
            Need::Module("nls_utf8"),
            Need::Config("CONFIG_MODULE_FORCE_LOAD=y"),
        ],
        probes: &[],
        check: By(files::force),
    },
    Entry {
        id: "load.concurrent",
        catalogue: "LOAD-14",
        group: Group::Load,
        statement: "concurrent modprobe processes for the same module all succeed, and the module is loaded",
        source: "docs/facts/tools.md#insertion; docs/facts/kernel.md#mod-02",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Module("garp")],
        probes: &[],
        check: By(concurrent),
    },
    Entry {
        id: "load.dry-run",
        catalogue: "LOAD-15",
        group: Group::Load,
        statement: "modprobe -n -v and modprobe -D print what would be loaded, in order and with parameters, and load nothing",
        source: "modprobe(8), -n, -D; docs/facts/tools.md#modprobe",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[MODPROBE, Need::Trait("modprobe -n -v"), Need::Module("garp")],
        probes: &[],
        check: By(dry_run),
    },
];

fn by_name(lab: &mut Lab<'_>) -> Check {
    lab.expect_states("nls_utf8 before modprobe", &["nls_utf8"], &["absent"])?;
    let printed = lab.expect_tool(&["modprobe", "nls-utf8"], 0, "")?;
    lab.expect("standard output", printed, "");
    lab.expect_live(&["nls_utf8"])
}

fn dependencies(lab: &mut Lab<'_>) -> Check {
    let printed = lab.expect_tool(&["modprobe", "-v", "8021q"], 0, "")?;
    let names = ["8021q", "garp", "mrp", "stp", "llc"];
    lab.expect_live(&names)?;
    lab.expect_reference_counts(&names, &["0", "1", "1", "1", "2"])?;
    let order = vec!["mrp", "llc", "stp", "garp", "8021q"];
    lab.expect("modules listed by -v", List(listed_modules(&printed)), List(order));
    Ok(())
}

fn by_alias(lab: &mut Lab<'_>) -> Check {
    lab.expect_tool(&["modprobe", "rtnl-link-dummy"], 0, "")?;
    lab.expect_tool(&["modprobe", "block-major-7-5"], 0, "")?;
    lab.expect_live(&["dummy", "loop"])
}

fn by_path(lab: &mut Lab<'_>) -> Check {
    let garp = lab.module_file("garp")?;
    let link = lab.link_to_module("nls_utf8")?;
    lab.expect_tool(&["modprobe", &garp], 0, "")?;
    lab.expect_live(&["garp", "stp", "llc"])?;
    lab.expect_tool(&["modprobe", &format!(".{link}")], 0, "")?;
    lab.expect_live(&["nls_utf8"])?;
    let message = "modprobe: FATAL: Failed to get module from path ./run/lab/none.ko: No such file or directory";
    lab.expect_tool(&["modprobe", "./run/lab/none.ko"], 1, message)?;
    Ok(())
}

fn options(lab: &mut Lab<'_>) -> Check {
    lab.expect_tool(&["modprobe", "loop", "max_loop=1", "max_part=3"], 0, "")?;
    lab.expect_parameter("loop", "max_loop", "1")?;
    lab.expect_parameter("loop", "max_part", "3")
}

fn already_loaded(lab: &mut Lab<'_>) -> Check {
    let argv = ["modprobe", "--first-time", "nls_utf8"];
    lab.expect_tool_as("modprobe --first-time nls_utf8, not loaded", &argv, 0, "")?;
    lab.expect_tool(&["modprobe", "nls_utf8"], 0, "")?;
    let message = "modprobe: ERROR: could not insert 'nls_utf8': Module already in kernel";
    lab.expect_tool_as("modprobe --first-time nls_utf8, loaded", &argv, 1, message)?;
    lab.expect_tool(&["modprobe", "ext4"], 0, "")?;
    let message = "modprobe: ERROR: could not insert 'ext4': Module already in kernel";
    lab.expect_tool(&["modprobe", "--first-time", "ext4"], 1, message)?;
    Ok(())
}

fn unknown_name(lab: &mut Lab<'_>) -> Check {
    let message = "Module no-such not found in directory /lib/modules/RELEASE";
    lab.expect_tool(&["modprobe", "no-such"], 1, &format!("modprobe: FATAL: {message}"))?;
    lab.expect_tool(&["modprobe", "-q", "no-such"], 1, "")?;
    lab.expect_tool(&["modprobe", "-a", "no-such", "nls_utf8"], 1, &format!("modprobe: WARNING: {message}"))?;
    lab.expect_live(&["nls_utf8"])
}

fn failure_reasons(lab: &mut Lab<'_>) -> Check {
    let message = lab.with_reason("modprobe: ERROR: could not insert 'dummy': Invalid argument", BAD_VALUE);
    lab.expect_tool(&["modprobe", "dummy", "numdummies=x"], 1, &message)?;
    let file = lab.module_file("nls_utf8")?;
    lab.remove(&file)?;
    let message = "modprobe: ERROR: could not insert 'nls_utf8': nls_utf8.ko: No such file or directory";
    lab.expect_tool(&["modprobe", "nls_utf8"], 1, message)?;
    lab.clear_dependencies("garp")?;
    let message = if lab.has_trait(KERNEL_REASONS)? {
        UNKNOWN_SYMBOLS
    } else {
        "Unknown symbol in module, or unknown parameter (see dmesg)"
    };
    lab.expect_tool(&["modprobe", "garp"], 1, &format!("modprobe: ERROR: could not insert 'garp': {message}"))?;
    lab.expect_absent(&["dummy", "nls_utf8", "garp"])
}

fn concurrent(lab: &mut Lab<'_>) -> Check {
    const PROCESSES: u32 = 4;
    let run = crate::check::lab::run_action(&["/sbin/modprobe", "garp"]);
    let jobs = lab.start(Caller::default(), vec![run], PROCESSES)?;
    let mut ends = Vec::new();
    for job in jobs {
        let end = lab.wait(job, GuestMillis(30_000))?;
        match end.and_then(|end| end.results.into_iter().next()).map(|result| result.result) {
            Some(Ok(Value::Ran(Ran { exit, stderr, .. }))) => ends.push((exit, stderr)),
            _ => return Err(LabError::Unexpected("a concurrent modprobe left no exit status".to_owned())),
        }
    }
    let succeeded = ends.iter().filter(|(exit, stderr)| *exit == ExitKind::Exited(0) && stderr.is_empty()).count();
    lab.expect("modprobe processes that succeed silently", succeeded, PROCESSES);
    lab.expect_live(&["garp", "stp", "llc"])
}

fn dry_run(lab: &mut Lab<'_>) -> Check {
    for option in [&["-n", "-v"][..], &["-D"]] {
        let argv = [&["modprobe"], option, &["garp", "a=1"]].concat();
        let printed = lab.expect_tool(&argv, 0, "")?;
        let name = format!("output of {}", argv.join(" "));
        lab.expect(&name, printed, "insmod llc.ko  | insmod stp.ko  | insmod garp.ko a=1");
    }
    lab.expect_absent(&["garp", "stp", "llc"])
}

impl Lab<'_> {
    /// Links a module's file into the scratch directory and returns the path of the link.
    fn link_to_module(&mut self, name: &str) -> Result<String, LabError> {
        let file = self.module_file(name)?;
        let link = format!("/run/lab/{}", file.rsplit('/').next().unwrap_or(name));
        self.arrange(Action::Symlink(file.into_bytes(), link.clone().into_bytes()))?;
        Ok(link)
    }

    /// Replaces the index by one in which the module has no dependencies.
    fn clear_dependencies(&mut self, name: &str) -> Result<(), LabError> {
        let tree = format!("/lib/modules/{}", self.pair().release);
        let line = format!("{}:", self.module_file(name)?.trim_start_matches(&format!("{tree}/")));
        let mut index = IndexWriter::new();
        let encoded = index.insert(name.as_bytes(), line.as_bytes(), 0).and_then(|()| index.to_bytes());
        let bytes = encoded.map_err(|error| LabError::Unexpected(format!("cannot build an index: {error}")))?;
        self.write(&format!("{tree}/modules.dep"), format!("{line}\n").as_bytes())?;
        self.write(&format!("{tree}/modules.dep.bin"), &bytes)
    }
}
