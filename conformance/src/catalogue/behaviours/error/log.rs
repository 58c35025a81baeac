//! What modprobe reports in the kernel log about a request that it could not carry out, although the kernel passes `-q`.

use super::super::BEHAVIOUR;
use super::super::guard::without_process_ids;
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{act_then_exec, exec, exec_with, exit_with, requested_names};
use crate::check::lab::{Lab, LabError, SCRATCH, shown_line};
use crate::check::settings::{call, number};
use crate::check::trigger::mount;
use agent::plan::Arg;
use agent::proto::{Action, Caller, ExitKind, KmsgRecord};

const LOG: Entry = Entry {
    group: Group::Error,
    about: About::Both,
    needs: &[Need::Trait("kernel log"), Need::Module("dummy")],
    source: "modprobe(8), -q; docs/guide/request.md#errors-of-modprobe",
    ..BEHAVIOUR
};

pub(in super::super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "error.log-request",
        catalogue: "ERR-23",
        statement: "a request that modprobe cannot carry out is one error in the kernel log with its process id and the requested name",
        check: By(request),
        ..LOG
    },
    Entry {
        id: "error.log-symbols",
        catalogue: "ERR-24",
        statement: "if a requested module has unknown symbols, modprobe names the module and the symbols in the kernel log",
        needs: &[Need::Trait("kernel log"), Need::Module("garp")],
        check: By(symbols),
        ..LOG
    },
    Entry {
        id: "error.log-version",
        catalogue: "ERR-25",
        statement: "if a requested module is for another kernel, modprobe names both version magics in the kernel log",
        check: By(version),
        ..LOG
    },
    Entry {
        id: "error.log-index",
        catalogue: "ERR-26",
        statement: "modprobe names a damaged index in the kernel log for each request",
        check: By(index),
        ..LOG
    },
    Entry {
        id: "error.log-file",
        catalogue: "ERR-27",
        statement: "modprobe names a module file that is missing or cannot be read in the kernel log",
        check: By(file),
        ..LOG
    },
    Entry {
        id: "error.log-option",
        catalogue: "ERR-28",
        statement: "if a requested module refuses an option in modprobe.d, modprobe names the option in the kernel log",
        check: By(option),
        ..LOG
    },
    Entry {
        id: "error.log-command",
        catalogue: "ERR-29",
        statement: "modprobe names an install command that fails, and its exit status, in the kernel log",
        check: By(command),
        ..LOG
    },
    Entry {
        id: "error.log-usage",
        catalogue: "ERR-30",
        statement: "an invalid option that a script passes to modprobe is named in the kernel log",
        check: By(usage),
        ..LOG
    },
    Entry {
        id: "error.log-limit",
        catalogue: "ERR-31",
        statement: "modprobe writes at most ten errors in five seconds to the kernel log, and the tenth says so",
        cost: Cost::Slow,
        check: By(limit),
        ..LOG
    },
    Entry {
        id: "error.log-silent",
        catalogue: "ERR-32",
        statement: "modprobe logs nothing about a request if the module does not exist, is blacklisted or has an alias to off, or if there is no index or no module directory",
        check: By(silent),
        ..LOG
    },
    Entry {
        id: "error.log-hostile",
        catalogue: "ERR-33",
        statement: "control characters in a requested name are escaped in the kernel log",
        check: By(hostile),
        ..LOG
    },
    Entry {
        id: "error.log-no-device",
        catalogue: "ERR-34",
        statement: "without /dev/kmsg, or with another file in its place, modprobe handles requests and writes nothing",
        needs: &[Need::Trait("kernel log"), Need::Module("dummy"), Need::Module("squashfs")],
        check: By(no_device),
        ..LOG
    },
    Entry {
        id: "error.log-without-proc",
        catalogue: "ERR-35",
        statement: "without /proc errors of a request are in the kernel log as well",
        check: By(without_proc),
        ..LOG
    },
    Entry {
        id: "error.log-only-kernel",
        catalogue: "ERR-36",
        statement: "modprobe -q that the kernel did not start logs nothing, even if it has no open descriptors",
        check: By(only_kernel),
        ..LOG
    },
];

/// A configuration with which a request for `fs-zz` fails: an option that dummy refuses.
const REFUSED: &str = "alias fs-zz dummy\noptions dummy numdummies=x\n";

/// The message about it.
const REFUSAL: &str = "could not insert 'dummy': Invalid argument: parameter 'numdummies' of dummy cannot be 'x'";

/// Makes modprobe the path, with this configuration.
fn set_up(lab: &mut Lab<'_>, configuration: &str) -> Result<(), LabError> {
    lab.configure(configuration)?;
    lab.set_path(b"/sbin/modprobe\n")?;
    lab.mark_kmsg()
}

/// Returns the records of programs since the mark, and marks the end of the log.
fn take_records(lab: &mut Lab<'_>) -> Result<Vec<KmsgRecord>, LabError> {
    let records = lab.kmsg_of_programs()?;
    lab.mark_kmsg()?;
    Ok(records)
}

/// The messages of programs since the mark, without process ids and releases; marks the end of the log.
fn take_messages(lab: &mut Lab<'_>) -> Result<Vec<String>, LabError> {
    let release = lab.pair().release.clone();
    let records = take_records(lab)?;
    Ok(records.iter().map(|record| without_process_ids(&shown_line(record)).replace(&release, "RELEASE")).collect())
}

/// The message about a request.
fn about(name: &str, text: &str) -> String {
    format!("<3> modprobe[PID]: request for '{name}': {text}")
}

/// Mounts `zz` and expects ENODEV and these messages about the request.
fn expect_logged(lab: &mut Lab<'_>, what: &str, texts: &[&str]) -> Check {
    expect_logged_about(lab, what, "FILE", texts)
}

/// The same, with FILE instead of the path of a module file, which can end with `.ko` or `.ko.xz`.
fn expect_logged_about(lab: &mut Lab<'_>, what: &str, file: &str, texts: &[&str]) -> Check {
    let mounted = lab.observe(mount("zz"))?.result;
    lab.expect(&format!("{what}: mount(2)"), mounted, errno::ENODEV);
    let messages = take_messages(lab)?.into_iter().map(|line| line.replace(file, "FILE")).collect();
    let expected = texts.iter().map(|text| about("fs-zz", text)).collect();
    lab.expect(&format!("{what}: messages"), List(messages), List(expected));
    Ok(())
}

fn request(lab: &mut Lab<'_>) -> Check {
    lab.configure("alias fs-yy dummy\nalias fs-zz dummy\noptions dummy numdummies=x\n")?;
    let helper = lab.helper_as_path("recorded", &exec("/sbin/modprobe"))?;
    lab.mark_kmsg()?;
    for name in ["zz", "yy"] {
        lab.observe(mount(name))?;
    }
    let pids: Vec<i32> = lab.records(&helper)?.iter().map(|record| record.pid).collect();
    lab.expect("process ids differ", pids.first() != pids.last(), true);
    let records = take_records(lab)?;
    const DAEMON: u32 = 3;
    lab.expect("facility", records.iter().all(|record| record.facility == DAEMON), true);
    let mut got: Vec<String> = records.iter().map(shown_line).collect();
    for (line, pid) in got.iter_mut().zip(&pids) {
        *line = line.replace(&format!("[{pid}]"), "[its pid]");
    }
    let expected = ["fs-zz", "fs-yy"].map(|name| about(name, REFUSAL).replace("PID", "its pid"));
    lab.expect("messages", List(got), List(expected.to_vec()));
    Ok(())
}

fn symbols(lab: &mut Lab<'_>) -> Check {
    // The command loads nothing, so the symbols of stp are missing.
    lab.shell(&exit_with(0))?;
    set_up(lab, "alias fs-zz garp\ninstall stp load stp\n")?;
    expect_logged(
        lab,
        "unknown symbols",
        &["could not insert 'garp': Unknown symbol in module: garp needs stp_proto_register, stp_proto_unregister"],
    )?;
    lab.expect_absent(&["garp"])
}

fn version(lab: &mut Lab<'_>) -> Check {
    const KEY: &[u8] = b"vermagic=";
    let file = lab.unsigned_module("dummy")?;
    let at = file.find(KEY)? + KEY.len();
    let magic = file.image()[at..].split(|&byte| byte == 0).next().unwrap_or_default();
    let magic = String::from_utf8_lossy(magic).into_owned();
    // Where symbols have versions, the kernel does not compare the release.
    let Some((_, flags)) = magic.split_once(' ').filter(|(_, flags)| !flags.is_empty()) else {
        return Err(LabError::Need("a kernel whose version magic has flags".to_owned()));
    };
    let mut image = file.image().to_vec();
    let changed = at + magic.len() - flags.len();
    image[changed] = b'x';
    let path = lab.module_file("dummy")?;
    lab.write(&path, &image)?;
    set_up(lab, "alias fs-zz dummy\n")?;
    lab.observe(mount("zz"))?;
    let other = format!("x{}", &flags[1..]);
    let messages = take_messages(lab)?;
    let messages = messages.iter().map(|line| line.replace(&other, "OTHER-FLAGS").replace(flags, "FLAGS")).collect();
    let text = "could not insert 'dummy': Exec format error: dummy was built for 'RELEASE OTHER-FLAGS', the kernel is 'RELEASE FLAGS'";
    lab.expect("messages", List(messages), List(vec![about("fs-zz", text)]));
    Ok(())
}

/// Makes every request an error.
fn damage_index(lab: &mut Lab<'_>) -> Result<(), LabError> {
    let index = format!("/lib/modules/{}/modules.alias.bin", lab.pair().release);
    lab.write(&index, &[0; 64])
}

/// The message about it.
const DAMAGED_INDEX: &str =
    "/lib/modules/RELEASE/modules.alias.bin: magic check fail: 0 instead of b007f457; run depmod";

fn index(lab: &mut Lab<'_>) -> Check {
    damage_index(lab)?;
    set_up(lab, "")?;
    expect_logged(lab, "damaged index", &[DAMAGED_INDEX])?;
    expect_logged(lab, "next request", &[DAMAGED_INDEX])
}

fn file(lab: &mut Lab<'_>) -> Check {
    let path = lab.module_file("dummy")?;
    let image = lab.module_image("dummy")?;
    set_up(lab, "alias fs-zz dummy\n")?;
    let shown = path.replace(&lab.pair().release.clone(), "RELEASE");
    let failure = |reason: &str| format!("could not insert 'dummy': FILE: {reason}");
    lab.remove(&path)?;
    expect_logged_about(lab, "missing", &shown, &[&failure("No such file or directory")])?;
    lab.write(&path, b"")?;
    expect_logged_about(lab, "empty", &shown, &[&failure("the file is empty")])?;
    lab.write(&path, b"\x1f\x8b\x08\0\0\0\0\0\0\x03not compressed")?;
    let mounted = lab.observe(mount("zz"))?.result;
    lab.expect("damaged: mount(2)", mounted, errno::ENODEV);
    let messages = take_messages(lab)?;
    let begins = messages.iter().all(|line| line.replace(&shown, "FILE").starts_with(&about("fs-zz", &failure(""))));
    lab.expect("damaged: the file is named in one message", begins && messages.len() == 1, true);
    lab.remove(&path)?;
    lab.arrange(Action::Mknod { path: path.clone().into_bytes(), mode: libc::S_IFIFO | 0o600, major: 0, minor: 0 })?;
    expect_logged_about(lab, "FIFO", &shown, &[&failure("not a regular file")])?;
    lab.remove(&path)?;
    lab.write(&path, &image)?;
    expect_logged(lab, "intact", &[])?;
    lab.expect_live(&["dummy"])
}

fn option(lab: &mut Lab<'_>) -> Check {
    set_up(lab, REFUSED)?;
    expect_logged(lab, "invalid value", &[REFUSAL])?;
    lab.expect_absent(&["dummy"])
}

fn command(lab: &mut Lab<'_>) -> Check {
    lab.shell(&exit_with(7))?;
    set_up(lab, "alias fs-zz dummy\ninstall dummy start $CMDLINE_OPTS service\n")?;
    let text = "Error running install command 'start  service' for module dummy: retcode 7";
    expect_logged(lab, "failing command", &[text])
}

fn usage(lab: &mut Lab<'_>) -> Check {
    let literal = |text: &str| Arg::Literal(text.as_bytes().to_vec());
    let plan = exec_with("/sbin/modprobe", vec![literal("/sbin/modprobe"), literal("--no-such"), Arg::OwnFrom(1)]);
    lab.helper_as_path("wrapper", &plan)?;
    lab.mark_kmsg()?;
    expect_logged(lab, "invalid option", &["unrecognized option '--no-such'"])
}

fn limit(lab: &mut Lab<'_>) -> Check {
    // A load that fails takes too long on a kernel that decompresses the module.
    damage_index(lab)?;
    set_up(lab, "")?;
    lab.observe_all_as(Caller::default(), vec![mount("zz"); 15])?;
    let mut expected = vec![about("fs-zz", DAMAGED_INDEX); 10];
    expected[9].push_str("; further messages are suppressed for 5 s");
    let messages = take_messages(lab)?;
    lab.expect("messages about 15 requests", List(messages), List(expected));
    lab.arrange(Action::Sleep(7_000))?;
    expect_logged(lab, "seven seconds later", &[DAMAGED_INDEX])
}

fn silent(lab: &mut Lab<'_>) -> Check {
    set_up(lab, "")?;
    expect_logged(lab, "unknown name", &[])?;
    for (what, configuration) in [
        ("blacklisted", "alias fs-zz dummy\nblacklist dummy\n"),
        ("alias to off", "alias fs-zz off\n"),
        ("alias to an unknown module", "alias fs-zz no-such-module\n"),
    ] {
        lab.configure(configuration)?;
        expect_logged(lab, what, &[])?;
    }
    lab.expect_absent(&["dummy"])?;
    lab.configure("")?;
    let tree = format!("/lib/modules/{}", lab.pair().release);
    lab.rename(&tree, &format!("{tree}.away"))?;
    expect_logged(lab, "no module directory", &[])?;
    lab.arrange(Action::MkdirAll(tree.clone().into_bytes()))?;
    expect_logged(lab, "no index", &[])?;
    lab.rename(&tree, &format!("{tree}.empty"))?;
    lab.rename(&format!("{tree}.away"), &tree)?;
    // Errors are logged in this guest.
    lab.configure(REFUSED)?;
    expect_logged(lab, "invalid value", &[REFUSAL])
}

fn hostile(lab: &mut Lab<'_>) -> Check {
    set_up(lab, "alias fs-* dummy\noptions dummy numdummies=x\n")?;
    lab.observe(mount("z\n<0>oops\x1b\x7f"))?;
    let messages = take_messages(lab)?;
    // Backslashes are doubled in this text.
    let expected = about(r"fs-z\\x0a<0>oops\\x1b\\x7f", REFUSAL);
    lab.expect("messages", List(messages), List(vec![expected]));
    Ok(())
}

fn no_device(lab: &mut Lab<'_>) -> Check {
    const DEVICE: &str = "/dev/kmsg";
    set_up(lab, REFUSED)?;
    lab.rename(DEVICE, "/dev/kmsg.away")?;
    let failed = lab.observe(mount("zz"))?;
    lab.write(DEVICE, b"")?;
    let with_file = lab.observe(mount("zz"))?;
    lab.observe(mount("squashfs"))?;
    let written = lab.read(DEVICE)?;
    lab.remove(DEVICE)?;
    lab.rename("/dev/kmsg.away", DEVICE)?;
    lab.expect("without the device: mount(2)", failed.result, errno::ENODEV);
    lab.expect_within("without the device: mount(2) duration", failed.millis, 0..=1000, "ms");
    lab.expect("with a file: mount(2)", with_file.result, errno::ENODEV);
    lab.expect("bytes written to the file", written.len(), 0);
    lab.expect_live(&["squashfs"])?;
    expect_logged(lab, "with the device", &[REFUSAL])
}

fn without_proc(lab: &mut Lab<'_>) -> Check {
    set_up(lab, REFUSED)?;
    lab.arrange_in_init(Action::MkdirAll(format!("{SCRATCH}/empty").into_bytes()))?;
    lab.arrange_in_init(Action::Mount {
        source: format!("{SCRATCH}/empty").into_bytes(),
        target: b"/proc".to_vec(),
        fstype: Vec::new(),
        flags: libc::MS_BIND,
        data: Vec::new(),
    })?;
    let mounted = lab.observe(mount("zz"))?.result;
    lab.arrange_in_init(Action::Umount(b"/proc".to_vec(), libc::MNT_DETACH))?;
    lab.expect("mount(2)", mounted, errno::ENODEV);
    let messages = take_messages(lab)?;
    lab.expect("messages", List(messages), List(vec![about("fs-zz", REFUSAL)]));
    Ok(())
}

fn only_kernel(lab: &mut Lab<'_>) -> Check {
    set_up(lab, REFUSED)?;
    let plain = lab.run(&["/sbin/modprobe", "-q", "--", "fs-zz"])?;
    lab.expect("modprobe", plain.exit, ExitKind::Exited(1));
    let close = |descriptor| call(libc::SYS_close, &[number(descriptor)]);
    let closed = lab.helper("closed", &act_then_exec((0..3).map(close).collect(), "/sbin/modprobe"))?;
    let path = closed.path().to_owned();
    let ran = lab.run(&[&path, "-q", "--", "fs-zz"])?;
    lab.expect("without descriptors", ran.exit, ExitKind::Exited(1));
    let names = requested_names(&lab.records(&closed)?);
    lab.expect("its arguments", List(names), List(vec!["fs-zz"]));
    let messages = take_messages(lab)?;
    lab.expect("messages", List(messages), List::<&str>(vec![]));
    expect_logged(lab, "started by the kernel", &[REFUSAL])
}
