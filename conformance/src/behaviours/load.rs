//! Loading by the tools: what a name, an alias or a path brings in, with which options, and what is said when it cannot be.

mod files;

use crate::behaviour::{About, Behaviour, Check, Group, Need};
use crate::fact::Many;
use crate::lab::{Lab, LabError};
use crate::tools::told_modules;
use agent::proto::{Action, Caller, ExitKind, GuestMillis, Ran, Value};
use files::{BAD_VALUE, UNKNOWN_SYMBOLS};
use kmod::index::IndexWriter;

const MODPROBE: Need = Need::Command("modprobe");
const INSMOD: Need = Need::Command("insmod");

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        id: "load.by-name",
        catalogue: "LOAD-01",
        group: Group::Load,
        statement: "modprobe NAME loads a module, with - and _ alike, and says nothing",
        source: "modprobe(8); docs/facts/tools.md#names-and-files",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("nls_utf8")],
        check: by_name,
    },
    Behaviour {
        id: "load.dependencies",
        catalogue: "LOAD-02",
        group: Group::Load,
        statement: "what a module depends on comes in before it, each once; all of it is Live and counted as in use",
        source: "modprobe(8); docs/facts/tools.md#insertion",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("8021q")],
        check: dependencies,
    },
    Behaviour {
        id: "load.by-alias",
        catalogue: "LOAD-03",
        group: Group::Load,
        statement: "modprobe takes an alias that a module's file declares, exact or as a pattern",
        source: "modprobe(8); docs/facts/tools.md#lookup",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("dummy"), Need::Module("loop")],
        check: by_alias,
    },
    Behaviour {
        id: "load.by-path",
        catalogue: "LOAD-04",
        group: Group::Load,
        statement: "modprobe /FILE and ./FILE load this file, after what it depends on",
        source: "docs/facts/tools.md#modprobe",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("garp"), Need::Module("nls_utf8")],
        check: by_path,
    },
    Behaviour {
        id: "load.options",
        catalogue: "LOAD-05",
        group: Group::Load,
        statement: "what stands behind the name on modprobe's command line are the module's options",
        source: "modprobe(8)",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("loop")],
        check: options,
    },
    Behaviour {
        id: "load.again",
        catalogue: "LOAD-06",
        group: Group::Load,
        statement: "a module that is there or built in is loaded already: success, and an error with --first-time",
        source: "modprobe(8), --first-time; docs/facts/tools.md#modprobe",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("nls_utf8"), Need::Config("CONFIG_EXT4_FS=y")],
        check: again,
    },
    Behaviour {
        id: "load.unknown-name",
        catalogue: "LOAD-07",
        group: Group::Load,
        statement: "a name that nobody knows ends modprobe with 1 and a message; -q keeps the status alone, -a goes on",
        source: "modprobe(8); docs/facts/tools.md#modprobe",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("nls_utf8")],
        check: unknown_name,
    },
    Behaviour {
        id: "load.told-apart",
        catalogue: "LOAD-08",
        group: Group::Load,
        statement: "modprobe tells a bad option, an unknown symbol and a missing file apart; no module stays behind",
        source: "docs/facts/kernel.md#sys-16, docs/facts/kernel.md#sys-24; docs/facts/tools.md#modprobe",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("dummy"), Need::Module("garp"), Need::Module("nls_utf8")],
        check: told_apart,
    },
    Behaviour {
        id: "load.insmod",
        catalogue: "LOAD-09",
        group: Group::Load,
        statement: "insmod FILE loads a file with its options, once; an option that the module has not is the kernel's to tell",
        source: "insmod(8); docs/facts/kernel.md#sys-27; docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        needs: &[INSMOD, Need::Module("dummy"), Need::Module("loop")],
        check: files::insmod,
    },
    Behaviour {
        id: "load.insmod-refused",
        catalogue: "LOAD-10",
        group: Group::Load,
        statement: "insmod says why a file did not come in: no file, no module, a symbol missing, a bad option",
        source: "insmod(8); docs/facts/tools.md#insmod-rmmod-lsmod-modinfo-kmod",
        about: About::Both,
        needs: &[INSMOD, Need::Module("dummy"), Need::Module("garp")],
        check: files::insmod_refused,
    },
    Behaviour {
        id: "load.compressed",
        catalogue: "LOAD-11",
        group: Group::Load,
        statement: "a .ko.xz goes to a kernel that decompresses as it is, and decompressed to one that does not",
        source: "MODULE_INIT_COMPRESSED_FILE (include/uapi/linux/module.h); docs/facts/tools.md#insertion",
        about: About::Both,
        needs: &[INSMOD, Need::Module("nls_utf8"), Need::Config("CONFIG_DYNAMIC_DEBUG=y")],
        check: files::compressed,
    },
    Behaviour {
        id: "load.kernel-cannot-decompress",
        catalogue: "LOAD-12",
        group: Group::Load,
        statement: "a .ko.xz with a check that the kernel's decoder refuses is decompressed by the tool and loads",
        source: "module_decompress() (kernel/module/decompress.c); docs/facts/kernel.md#sys-39",
        about: About::Both,
        needs: &[INSMOD, Need::Module("nls_utf8")],
        check: files::kernel_cannot_decompress,
    },
    Behaviour {
        id: "load.force",
        catalogue: "LOAD-13",
        group: Group::Load,
        statement: "a module for another kernel is refused; with insmod -f it loads and the kernel is tainted",
        source: "insmod(8), -f; docs/facts/kernel.md#sys-13",
        about: About::Both,
        needs: &[INSMOD, Need::Module("nls_utf8"), Need::Config("CONFIG_MODULE_FORCE_LOAD=y")],
        check: files::force,
    },
    Behaviour {
        id: "load.at-once",
        catalogue: "LOAD-14",
        group: Group::Load,
        statement: "several modprobes for the same module at once all succeed, and it is loaded",
        source: "docs/facts/tools.md#insertion; docs/facts/kernel.md#mod-02",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("garp")],
        check: at_once,
    },
    Behaviour {
        id: "load.dry-run",
        catalogue: "LOAD-15",
        group: Group::Load,
        statement: "modprobe -n -v and -D tell what would be loaded, in order and with options, and load nothing",
        source: "modprobe(8), -n, -D; docs/facts/tools.md#modprobe",
        about: About::Both,
        needs: &[MODPROBE, Need::Module("garp")],
        check: dry_run,
    },
];

fn by_name(lab: &mut Lab<'_>) -> Check {
    lab.expect_absent(&["nls_utf8"])?;
    let printed = lab.expect_tool(&["modprobe", "nls-utf8"], 0, "")?;
    lab.expect("printed", printed, "");
    lab.expect_live(&["nls_utf8"])
}

fn dependencies(lab: &mut Lab<'_>) -> Check {
    let printed = lab.expect_tool(&["modprobe", "-v", "8021q"], 0, "")?;
    let names = ["8021q", "garp", "mrp", "stp", "llc"];
    lab.expect_live(&names)?;
    let mut counts = Vec::new();
    for name in names {
        counts.push(
            lab.observe(Action::Read { path: format!("/sys/module/{name}/refcnt").into_bytes(), max: 64 })?.result,
        );
    }
    lab.expect("their use counts", Many(counts), Many(vec!["0\n", "1\n", "1\n", "1\n", "2\n"]));
    let told = told_modules(&printed);
    if lab.is_busybox() {
        lab.known("its -v tells nothing");
        lab.expect("told", Many(told), Many::<&str>(vec![]));
    } else {
        lab.expect("told", Many(told), Many(vec!["mrp", "llc", "stp", "garp", "8021q"]));
    }
    Ok(())
}

fn by_alias(lab: &mut Lab<'_>) -> Check {
    lab.expect_tool(&["modprobe", "rtnl-link-dummy"], 0, "")?;
    lab.expect_tool(&["modprobe", "block-major-7-5"], 0, "")?;
    lab.expect_live(&["dummy", "loop"])
}

fn by_path(lab: &mut Lab<'_>) -> Check {
    let garp = lab.module_file("garp")?;
    let link = lab.linked("nls_utf8")?;
    if matches!(lab.pair().subject.as_str(), "kmod-30" | "busybox") {
        lab.known("it takes no path");
        lab.expect_tool(
            &["modprobe", &garp],
            1,
            &format!("modprobe: FATAL: Module {garp} not found in directory /lib/modules/RELEASE"),
        )?;
        return lab.expect_absent(&["garp"]);
    }
    lab.expect_tool(&["modprobe", &garp], 0, "")?;
    lab.expect_live(&["garp", "stp", "llc"])?;
    lab.expect_tool(&["modprobe", &format!(".{link}")], 0, "")?;
    lab.expect_live(&["nls_utf8"])?;
    let says = "modprobe: FATAL: Failed to get module from path ./run/lab/none.ko: No such file or directory";
    lab.expect_tool(&["modprobe", "./run/lab/none.ko"], 1, says)?;
    Ok(())
}

fn options(lab: &mut Lab<'_>) -> Check {
    lab.expect_tool(&["modprobe", "loop", "max_loop=1", "max_part=3"], 0, "")?;
    lab.expect_parameter("loop", "max_loop", "1")?;
    lab.expect_parameter("loop", "max_part", "3")
}

fn again(lab: &mut Lab<'_>) -> Check {
    lab.needs_option("modprobe", "--first-time")?;
    lab.expect_tool(&["modprobe", "--first-time", "nls_utf8"], 0, "")?;
    lab.expect_tool(&["modprobe", "nls_utf8"], 0, "")?;
    let says = "modprobe: ERROR: could not insert 'nls_utf8': Module already in kernel";
    lab.expect_tool(&["modprobe", "--first-time", "nls_utf8"], 1, says)?;
    lab.expect_tool(&["modprobe", "ext4"], 0, "")?;
    let says = "modprobe: ERROR: could not insert 'ext4': Module already in kernel";
    lab.expect_tool(&["modprobe", "--first-time", "ext4"], 1, says)?;
    Ok(())
}

fn unknown_name(lab: &mut Lab<'_>) -> Check {
    let says = "Module no-such not found in directory /lib/modules/RELEASE";
    lab.expect_tool(&["modprobe", "no-such"], 1, &format!("modprobe: FATAL: {says}"))?;
    lab.expect_tool(&["modprobe", "-q", "no-such"], 1, "")?;
    lab.expect_tool(&["modprobe", "-a", "no-such", "nls_utf8"], 1, &format!("modprobe: WARNING: {says}"))?;
    lab.expect_live(&["nls_utf8"])
}

fn told_apart(lab: &mut Lab<'_>) -> Check {
    let says = lab.because("modprobe: ERROR: could not insert 'dummy': Invalid argument", BAD_VALUE);
    lab.expect_tool(&["modprobe", "dummy", "numdummies=x"], 1, &says)?;
    let file = lab.module_file("nls_utf8")?;
    lab.remove(&file)?;
    let says = if lab.is_c_kmod() {
        lab.known("it takes a missing file for an unknown symbol");
        "modprobe: ERROR: could not insert 'nls_utf8': Unknown symbol in module, or unknown parameter (see dmesg)"
    } else {
        "modprobe: ERROR: could not insert 'nls_utf8': nls_utf8.ko: No such file or directory"
    };
    lab.expect_tool(&["modprobe", "nls_utf8"], 1, says)?;
    lab.forget_dependencies("garp")?;
    let says =
        if lab.is_c_kmod() { "Unknown symbol in module, or unknown parameter (see dmesg)" } else { UNKNOWN_SYMBOLS };
    lab.expect_tool(&["modprobe", "garp"], 1, &format!("modprobe: ERROR: could not insert 'garp': {says}"))?;
    lab.expect_absent(&["dummy", "nls_utf8", "garp"])
}

fn at_once(lab: &mut Lab<'_>) -> Check {
    const TOGETHER: u32 = 4;
    let run = crate::lab::run_action(&["/sbin/modprobe", "garp"]);
    let jobs = lab.start(Caller::default(), vec![run], TOGETHER)?;
    let mut ends = Vec::new();
    for job in jobs {
        let end = lab.wait(job, GuestMillis(30_000))?;
        match end.and_then(|end| end.results.into_iter().next()).map(|result| result.result) {
            Some(Ok(Value::Ran(Ran { exit, stderr, .. }))) => ends.push((exit, stderr)),
            other => return Err(LabError::Unexpected(format!("{other:?}"))),
        }
    }
    let succeeded = ends.iter().filter(|(exit, stderr)| *exit == ExitKind::Exited(0) && stderr.is_empty()).count();
    lab.expect("modprobes that succeed and say nothing", succeeded, TOGETHER);
    lab.expect_live(&["garp", "stp", "llc"])
}

fn dry_run(lab: &mut Lab<'_>) -> Check {
    if lab.is_busybox() {
        return Err(LabError::Need("a subject with modprobe -n -v".to_owned()));
    }
    let printed = lab.expect_tool(&["modprobe", "-n", "-v", "garp", "a=1"], 0, "")?;
    let lines = "insmod llc.ko  | insmod stp.ko  | insmod garp.ko a=1";
    lab.expect("printed", printed, lines);
    let printed = lab.expect_tool(&["modprobe", "-D", "garp", "a=1"], 0, "")?;
    lab.expect("printed", printed, lines);
    lab.expect_absent(&["garp", "stp", "llc"])
}

impl Lab<'_> {
    /// A link to a module's file in the scratch directory.
    fn linked(&mut self, name: &str) -> Result<String, LabError> {
        let file = self.module_file(name)?;
        let link = format!("/run/lab/{}", file.rsplit('/').next().unwrap_or(name));
        self.arrange(Action::Symlink(file.into_bytes(), link.clone().into_bytes()))?;
        Ok(link)
    }

    /// Makes the module directory say that a module depends on nothing.
    fn forget_dependencies(&mut self, name: &str) -> Result<(), LabError> {
        let tree = format!("/lib/modules/{}", self.pair().release);
        let line = format!("{}:", self.module_file(name)?.trim_start_matches(&format!("{tree}/")));
        let mut index = IndexWriter::new();
        let written = index.insert(name.as_bytes(), line.as_bytes(), 0).and_then(|()| index.to_bytes());
        let bytes = written.map_err(|error| LabError::Unexpected(format!("making an index: {error}")))?;
        self.write(&format!("{tree}/modules.dep"), format!("{line}\n").as_bytes())?;
        self.write(&format!("{tree}/modules.dep.bin"), &bytes)
    }
}
