//! Hostile input: names that look like something else, storms of requests, damaged modules, and unusual helpers.

use super::BEHAVIOUR;
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::capability::SYS_MODULE;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{act_then_exit, exec, exit_with, most_at_once, requested_names};
use crate::check::lab::{Lab, LabError, SCRATCH, unprivileged};
use crate::check::trigger::{interface_index, mount, unknown_socket};
use crate::check::xz;
use agent::plan::{HelperPlan, Record};
use agent::proto::{Action, Argument, Caller, Group as Jobs, GuestMicros, GuestMillis};
use std::collections::BTreeSet;

const HOSTILE: Entry = Entry { group: Group::Hostile, ..BEHAVIOUR };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "hostile.random-names",
        catalogue: "HOST-01",
        statement: "256 random names from an unprivileged caller reach the helper unchanged, one request each",
        source: "ctrl_getfamily() (net/netlink/genetlink.c); docs/facts/kernel.md#name-bytes",
        cost: Cost::Storm,
        check: By(random_names),
        ..HOSTILE
    },
    Entry {
        id: "hostile.option-names",
        catalogue: "HOST-02",
        statement: "a requested name that looks like an option, a path or a shell command has no effect as one",
        source: "-- in call_modprobe(); CVE-2000-1095; docs/facts/kernel.md#host-02",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("dummy")],
        check: By(option_names),
        ..HOSTILE
    },
    Entry {
        id: "hostile.path-names",
        catalogue: "HOST-03",
        statement: "a caller without CAP_SYS_MODULE cannot make modprobe load a file by its path",
        source: "dev_load() (net/core/dev_ioctl.c); CVE-2011-1019; docs/facts/kernel.md#host-03",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("nls_utf8")],
        check: By(path_names),
        ..HOSTILE
    },
    Entry {
        id: "hostile.format-names",
        catalogue: "HOST-04",
        statement: "a requested name with printf conversions reaches the helper unchanged",
        source: "request_module() with a constant format at each call site; docs/facts/kernel.md#host-04",
        check: By(format_names),
        ..HOSTILE
    },
    Entry {
        id: "hostile.name-storm",
        catalogue: "HOST-05",
        statement: "of a storm of names from an unprivileged caller, at most 50 have a helper at a time, and one that waits five seconds has none",
        source: "CVE-2012-4398; docs/facts/kernel.md#host-05",
        about: About::Both,
        cost: Cost::Storm,
        needs: &[Need::Command("modprobe")],
        check: By(name_storm),
        ..HOSTILE
    },
    Entry {
        id: "hostile.kill-storm",
        catalogue: "HOST-06",
        statement: "the helpers of killed callers do not count towards the limit",
        source: "docs/facts/kernel.md#limit-callers; docs/facts/kernel.md#host-06",
        cost: Cost::Storm,
        check: By(kill_storm),
        ..HOSTILE
    },
    Entry {
        id: "hostile.damaged-modules",
        catalogue: "HOST-07",
        statement: "a damaged module is refused without an oops and without a taint, whether a tool loads it or the kernel requests it",
        source: "elf_validity_check() (kernel/module/main.c; kernel/module.c up to 5.18); docs/facts/kernel.md#host-07",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("nls_utf8")],
        check: By(damaged_modules),
        ..HOSTILE
    },
    Entry {
        id: "hostile.replaced-helper",
        catalogue: "HOST-09",
        statement: "a helper that is replaced during a storm of requests runs entirely as its old or its new file",
        source: "do_open_execat() (fs/exec.c) opens the file once; docs/facts/kernel.md#host-09",
        cost: Cost::Storm,
        check: By(replaced_helper),
        ..HOSTILE
    },
    Entry {
        id: "hostile.set-id-helper",
        catalogue: "HOST-10",
        statement: "a helper with set-uid and set-gid bits has the effective ids of its file, and no effective capabilities",
        source: "bprm_fill_uid() (fs/exec.c), cap_bprm_creds_from_file() (security/commoncap.c); docs/facts/kernel.md#host-10",
        check: By(set_id_helper),
        ..HOSTILE
    },
];

/// Returns names of 1 to 15 bytes without NUL, the same on every run.
fn random_names_of(count: usize) -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The remainder is less than 256.
        u8::try_from((state >> 16) % limit).unwrap_or_default()
    };
    (0..count).map(|_| (0..=next(15)).map(|_| 1 + next(255)).collect()).collect()
}

const FAMILY: &[u8] = b"net-pf-16-proto-16-family-";

fn random_names(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    let names = random_names_of(256);
    let actions = names.iter().cloned().map(Action::GenlGetFamily).collect();
    lab.run_all(vec![Jobs { caller: unprivileged(), actions, count: 1, ..Jobs::default() }])?;
    let got = requested_names(&lab.records(&helper)?);
    lab.expect("requests", got.len(), 256);
    let unchanged = got.iter().zip(&names).filter(|(got, name)| **got == [FAMILY, name.as_slice()].concat()).count();
    lab.expect("names that are unchanged", unchanged, 256);
    Ok(())
}

const OPTIONS: [&[u8]; 11] = [
    b"-r",
    b"-rdummy",
    b"--remove",
    b"--help",
    b"-C/run/lab",
    b"--",
    b"../../x",
    b"a b",
    b"$(id)",
    b";reboot",
    &[0xff; 15],
];

fn option_names(lab: &mut Lab<'_>) -> Check {
    lab.load("dummy")?;
    let wrapper = lab.helper_as_path("wrapper", &exec("/sbin/modprobe"))?;
    let before = lab.read("/proc/modules")?;
    let actions = OPTIONS.map(interface_index).to_vec();
    let ends = lab.run_all(vec![Jobs { actions, count: 1, ..Jobs::default() }])?;
    let refused = ends[0].results.iter().filter(|result| result.result == Err(errno::ENODEV)).count();
    lab.expect("ioctl(2) that fails with ENODEV", refused, OPTIONS.len());
    let records = lab.records(&wrapper)?;
    let names = OPTIONS.iter().flat_map(|name| [[b"netdev-", *name].concat(), name.to_vec()]).collect();
    lab.expect("requested names", List(requested_names(&records)), List(names));
    let separated = records.iter().filter(|record| record.argv.get(2).is_some_and(|word| word == b"--")).count();
    lab.expect("names that follow --", separated, 2 * OPTIONS.len());
    let unchanged = lab.read("/proc/modules")? == before;
    lab.expect("/proc/modules is unchanged", unchanged, true);
    Ok(())
}

fn path_names(lab: &mut Lab<'_>) -> Check {
    let file = lab.module_file("nls_utf8")?;
    let link = if file.ends_with(".ko") { "/x.ko" } else { "/x.ko.xz" };
    lab.arrange(Action::Symlink(file.into_bytes(), link.as_bytes().to_vec()))?;
    let wrapper = lab.helper_as_path("wrapper", &exec("/sbin/modprobe"))?;
    let without = Caller { caps: Some(!(1 << SYS_MODULE)), ..Caller::default() };
    for (name, caller, action) in [
        ("mount(2)", Caller::default(), mount(link)),
        ("ioctl(2) without CAP_SYS_MODULE", without, interface_index(link.as_bytes())),
        ("a generic netlink family of uid 1000", unprivileged(), Action::GenlGetFamily(link.as_bytes().to_vec())),
    ] {
        lab.observe_as(caller, action)?;
        let states = lab.module_states(&["nls_utf8"])?;
        lab.expect(&format!("nls_utf8 after {name}"), List(states), List(vec!["absent"]));
    }
    let names = requested_names(&lab.records(&wrapper)?);
    let paths = names.iter().filter(|name| name.starts_with(b"/")).count();
    lab.expect("requests", names.len(), 3);
    lab.expect("requested names that are a path", paths, 0);
    Ok(())
}

fn format_names(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    let mut before = 0;
    for name in [&b"%s%n%d%x%p%c%%"[..], b"%99999999s", b"%*d%-5ld%hhn"] {
        lab.observe_as(unprivileged(), Action::GenlGetFamily(name.to_vec()))?;
        lab.observe(interface_index(name))?;
        lab.observe(Action::Fsopen(name.to_vec()))?;
        let shown = String::from_utf8_lossy(name);
        let records = lab.records(&helper)?;
        let names = requested_names(records.get(before..).unwrap_or_default());
        before = records.len();
        let expected = [FAMILY, b"netdev-", b"", b"fs-"].map(|prefix: &[u8]| [prefix, name].concat());
        lab.expect(&format!("requested names for {shown}"), List(names), List(expected.to_vec()));
    }
    Ok(())
}

/// Returns a plan that records and then sleeps for a number of milliseconds.
fn sleep_then(millis: u64, plan: HelperPlan) -> HelperPlan {
    HelperPlan { actions: vec![Action::Sleep(millis)], ..plan }
}

/// Returns the largest number of helpers that slept at the same moment, each for `millis` after its start.
fn most_asleep(started: &[Record], millis: u64) -> usize {
    let end = |record: &Record| Record { time: GuestMicros(record.time.0 + 1000 * millis), ..Record::default() };
    most_at_once(started, &started.iter().map(end).collect::<Vec<_>>())
}

fn name_storm(lab: &mut Lab<'_>) -> Check {
    let wrapper = lab.helper_as_path("wrapper", &sleep_then(3000, exec("/sbin/modprobe")))?;
    let job = |name: Vec<u8>| Jobs {
        caller: unprivileged(),
        actions: vec![Action::GenlGetFamily(name)],
        count: 1,
        after: GuestMillis(500),
        ..Jobs::default()
    };
    let names: BTreeSet<Vec<u8>> = (0..120).map(|number| format!("storm-{number}").into_bytes()).collect();
    let ends = lab.run_all(names.iter().cloned().map(job).collect())?;
    let refused = ends.iter().filter_map(|end| end.results.first()).filter(|end| end.result == Err(errno::ENOENT));
    lab.expect("lookups that fail with ENOENT", refused.count(), 120);
    let records = lab.records(&wrapper)?;
    lab.expect("helpers at the same moment", most_asleep(&records, 3000), 50);
    let requested: BTreeSet<Vec<u8>> = requested_names(&records).into_iter().collect();
    lab.expect("names that have a helper", requested.len(), 100);
    lab.expect("helpers", records.len(), 100);
    Ok(())
}

fn kill_storm(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("sleeper", &sleep_then(8000, exit_with(1)))?;
    let wave = |number: u64| Jobs {
        actions: vec![unknown_socket()],
        count: 40,
        after: GuestMillis(800 * number),
        signal: Some((GuestMillis(800 * number + 600), libc::SIGKILL)),
        ..Jobs::default()
    };
    lab.mark_kmsg()?;
    let ends = lab.run_all((0..3).map(wave).collect())?;
    let killed = ends.iter().filter(|end| end.killed_by == Some(libc::SIGKILL)).count();
    lab.expect("callers killed", killed, 120);
    let records = lab.records(&helper)?;
    lab.expect("helpers at the same moment", most_asleep(&records, 8000), 120);
    let lines = lab.kmsg()?.into_iter().filter(|record| record.text.starts_with(b"request_module")).count();
    lab.expect("request_module log lines", lines, 0);
    Ok(())
}

/// A change to the bytes of a module.
type Damage = (&'static str, fn(&mut Vec<u8>));

/// The offsets are those of `Elf64_Ehdr`.
const DAMAGES: [Damage; 8] = [
    ("empty", Vec::clear),
    ("only the ELF header", |image| image.truncate(64)),
    ("first half", |image| image.truncate(image.len() / 2)),
    ("wrong magic number", |image| image[1] = b'F'),
    ("wrong type", |image| image[16] = 2),
    ("wrong machine", |image| image[18] ^= 1),
    ("section table beyond the end", |image| image[40 + 4] = 1),
    ("section names beyond the table", |image| image[62] = 0xfe),
];

fn damaged_modules(lab: &mut Lab<'_>) -> Check {
    const MODULE: &str = "nls_utf8";
    let (file, image) = (lab.module_file(MODULE)?, lab.module_image(MODULE)?);
    let packed =
        |image: &[u8]| if file.ends_with(".xz") { xz::encode(image, xz::Check::Crc32) } else { image.to_vec() };
    lab.set_path(b"/sbin/modprobe")?;
    let before = lab.read("/proc/sys/kernel/tainted")?;
    for (name, damage) in DAMAGES {
        let mut damaged = image.clone();
        damage(&mut damaged);
        lab.write(&file, &packed(&damaged))?;
        lab.observe(interface_index(MODULE.as_bytes()))?;
        let refused = lab.tool(&["modprobe", MODULE])?.exit;
        lab.expect(&format!("{name}: modprobe"), refused, agent::proto::ExitKind::Exited(1));
        let states = lab.module_states(&[MODULE])?;
        lab.expect(&format!("{name}: state"), List(states), List(vec!["absent"]));
    }
    let after = lab.read("/proc/sys/kernel/tainted")?;
    lab.expect("taint flags added", after != before, false);
    // The request does load the module when its file is intact.
    lab.write(&file, &packed(&image))?;
    lab.observe(interface_index(MODULE.as_bytes()))?;
    let states = lab.module_states(&[MODULE])?;
    lab.expect("intact: state", List(states), List(vec!["Live"]));
    Ok(())
}

/// The helper is a script, so that its file alone decides which interpreter runs, with which argument.
fn replaced_helper(lab: &mut Lab<'_>) -> Check {
    const REQUESTS: u64 = 60;
    let helpers = [lab.helper("one", &exit_with(1))?, lab.helper("two", &exit_with(1))?];
    let mut renames = Vec::new();
    for number in 0..20 {
        let name = if number % 2 == 0 { "two" } else { "one" };
        let file = format!("{SCRATCH}/script-{number}");
        script(lab, &file, name)?;
        renames.extend([Action::Rename(file.into_bytes(), SCRIPT.as_bytes().to_vec()), Action::Sleep(25)]);
    }
    script(lab, SCRIPT, "one")?;
    lab.set_path(SCRIPT.as_bytes())?;
    let request = |number| Jobs {
        actions: vec![unknown_socket()],
        count: 1,
        after: GuestMillis(500 + 10 * number),
        ..Jobs::default()
    };
    let replace = Jobs { actions: renames, count: 1, after: GuestMillis(550), ..Jobs::default() };
    lab.run_all([vec![replace], (0..REQUESTS).map(request).collect()].concat())?;
    let mut total = 0;
    for helper in helpers {
        let records = lab.records(&helper)?;
        total += records.len();
        lab.expect(&format!("{} runs at least once", helper.path()), !records.is_empty(), true);
        let argument = helper.path().as_bytes().iter().skip(SCRATCH.len() + 1).copied().collect::<Vec<u8>>();
        let expected = [helper.path().as_bytes(), &argument, SCRIPT.as_bytes(), b"-q", b"--", b"net-pf-3"];
        let mixed = records.iter().filter(|record| record.argv != expected).count();
        lab.expect(&format!("{} with other arguments", helper.path()), mixed, 0);
    }
    lab.expect("helpers started", total, usize::try_from(REQUESTS).unwrap_or_default());
    Ok(())
}

const SCRIPT: &str = "/run/lab/script";

/// Writes a script whose interpreter is the helper of this name, with its name as the argument.
fn script(lab: &mut Lab<'_>, path: &str, name: &str) -> Result<(), LabError> {
    lab.write(path, format!("#!{SCRATCH}/{name} {name}\n").as_bytes())?;
    lab.arrange(Action::Chmod(path.as_bytes().to_vec(), 0o755))?;
    Ok(())
}

fn set_id_helper(lab: &mut Lab<'_>) -> Check {
    const AGENT: &[u8] = b"/bin/agent";
    const OWNER: u32 = 65534;
    let helper = lab.helper_as_path("log", &act_then_exit(vec![], 1))?;
    // The helper has no capability to create its log.
    lab.write(&helper.log_path(), b"")?;
    lab.arrange(Action::Chmod(helper.log_path().into_bytes(), 0o666))?;
    let owner =
        [Argument::Bytes(b"/bin/agent\0".to_vec()), Argument::Number(OWNER.into()), Argument::Number(OWNER.into())];
    lab.arrange(Action::SystemCall { number: libc::SYS_chown, arguments: owner.to_vec() })?;
    lab.arrange(Action::Chmod(AGENT.to_vec(), 0o6755))?;
    let socket = lab.observe(unknown_socket())?;
    lab.expect("socket(2) with an unknown family", socket.result, errno::EAFNOSUPPORT);
    let record = lab.records(&helper)?.pop().unwrap_or_default();
    lab.expect("requested name", record.argv.last().cloned().unwrap_or_default(), "net-pf-3");
    lab.expect("real, effective and saved uid", List(record.uids.to_vec()), List(vec![0, OWNER, OWNER]));
    lab.expect("real, effective and saved gid", List(record.gids.to_vec()), List(vec![0, OWNER, OWNER]));
    lab.expect("effective capabilities", record.caps[2], 0_u64);
    lab.expect("permitted capabilities", record.caps[1] != 0, true);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_are_names_of_families() {
        let names = random_names_of(256);
        assert!(names.iter().all(|name| (1..=15).contains(&name.len()) && !name.contains(&0)));
        let lengths: BTreeSet<usize> = names.iter().map(Vec::len).collect();
        assert_eq!(lengths.len(), 15);
        let bytes: BTreeSet<u8> = names.iter().flatten().copied().collect();
        assert_eq!(bytes.len(), 255);
    }
}
