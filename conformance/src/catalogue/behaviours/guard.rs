//! The loop guard `kmod-request`: it ends runaway loops, and nothing else.
//!
//! The guard is the path, and a recording helper is the program that it runs.

mod hostile;

use super::BEHAVIOUR;
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{Helper, act_then_exit, exec, exit_with, requested_names};
use crate::check::lab::{Lab, LabError, SCRATCH, set_path_action, shown_line};
use crate::check::trigger::{mount, unknown_socket, vlan_ioctl};
use agent::plan::{HelperPlan, Record};
use agent::proto::{Action, Caller, GuestMillis};

const GUARD: Entry = Entry {
    group: Group::Guard,
    about: About::Both,
    needs: &[Need::Command("kmod-request")],
    source: "kmod-request(8); docs/guide/request.md",
    ..BEHAVIOUR
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "guard.recursion",
        catalogue: "GRD-01",
        statement: "if a helper repeats the request that started it, the fourth request is refused, within 100 ms",
        check: By(recursion),
        ..GUARD
    },
    Entry {
        id: "guard.two-names",
        catalogue: "GRD-02",
        statement: "a recursion through two names is refused when a name occurs in the chain as often as the setting allows",
        check: By(two_names),
        ..GUARD
    },
    Entry {
        id: "guard.message",
        catalogue: "GRD-03",
        statement: "a refusal is one error in the kernel log, in the words of kernel 2.4, with the chain of requests",
        check: By(message),
        ..GUARD
    },
    Entry {
        id: "guard.hands-on",
        catalogue: "GRD-04",
        statement: "a request that is not part of a loop reaches the helper with the kernel's arguments, its environment plus KMOD_REQUEST, and no open descriptors, and the module is loaded",
        check: By(hands_on),
        ..GUARD
    },
    Entry {
        id: "guard.nested",
        catalogue: "GRD-05",
        statement: "a helper that needs another module gets it",
        check: By(nested),
        ..GUARD
    },
    Entry {
        id: "guard.parallel",
        catalogue: "GRD-06",
        statement: "parallel requests for one name all reach the helper, even if their helpers wait for nested requests",
        cost: Cost::Slow,
        check: By(parallel),
        ..GUARD
    },
    Entry {
        id: "guard.usable-afterwards",
        catalogue: "GRD-07",
        statement: "after a refusal the next request for the same name is handled",
        check: By(usable_afterwards),
        ..GUARD
    },
    Entry {
        id: "guard.unprivileged",
        catalogue: "GRD-08",
        statement: "with the default settings, processes of an unprivileged user are never part of a chain, whatever their names, arguments, namespaces and requests",
        cost: Cost::Slow,
        needs: &[Need::Command("kmod-request"), Need::Config("CONFIG_USER_NS=y"), Need::Config("CONFIG_PID_NS=y")],
        check: By(hostile::unprivileged_processes),
        ..GUARD
    },
    Entry {
        id: "guard.without-proc",
        catalogue: "GRD-09",
        statement: "without /proc a request is handled, and the kernel log says that no loop can be found",
        check: By(without_proc),
        ..GUARD
    },
    Entry {
        id: "guard.settings",
        catalogue: "GRD-10",
        statement: "chain and total set the limits; a line that cannot be used is named in the kernel log and ignored",
        check: By(settings),
        ..GUARD
    },
    Entry {
        id: "guard.itself",
        catalogue: "GRD-11",
        statement: "a guard that is set as its own helper, or starts another guard, runs /sbin/modprobe and says so in the kernel log",
        needs: &[Need::Command("kmod-request"), Need::Command("modprobe")],
        check: By(itself),
        ..GUARD
    },
    Entry {
        id: "guard.missing-helper",
        catalogue: "GRD-12",
        statement: "a helper that cannot be run is named in the kernel log with the reason, and the request fails",
        check: By(missing_helper),
        ..GUARD
    },
];

/// The settings of the guard.
const SETTINGS: &str = "/etc/kmod-request.conf";

/// Sets the guard as the path, and these settings.
fn set_guard(lab: &mut Lab<'_>, settings: &str) -> Result<(), LabError> {
    lab.write(SETTINGS, settings.as_bytes())?;
    lab.set_path(b"/sbin/kmod-request\n")?;
    lab.mark_kmsg()
}

/// Sets the guard as the path, and a helper with this plan as the program that it runs.
fn guard(lab: &mut Lab<'_>, plan: &HelperPlan) -> Result<Helper, LabError> {
    let helper = lab.helper("guarded", plan)?;
    set_guard(lab, &format!("helper {}\n", helper.path()))?;
    Ok(helper)
}

/// The messages of the guard in the kernel log, without process ids.
fn messages(lab: &mut Lab<'_>) -> Result<Vec<String>, LabError> {
    Ok(lab.kmsg_of_programs()?.iter().map(|record| without_process_ids(&shown_line(record))).collect())
}

/// Replaces `[123]` by `[PID]`.
pub(super) fn without_process_ids(line: &str) -> String {
    let mut parts = line.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let id =
            if rest.len() < part.len() && rest.starts_with(']') { "PID" } else { &part[..part.len() - rest.len()] };
        text.extend(["[", id, rest]);
    }
    text
}

fn recursion(lab: &mut Lab<'_>) -> Check {
    // Records would be half of the helpers' work.
    let plan = act_then_exit(vec![unknown_socket()], 1);
    guard(lab, &HelperPlan { record: false, ..plan.clone() })?;
    // Other work of the kernel can make the guard look again, which takes 20 ms. So the least of three is judged.
    let mut socket = lab.observe(unknown_socket())?;
    for _ in 1..3 {
        if socket.millis > 100 {
            socket = lab.observe(unknown_socket())?;
        }
    }
    lab.expect("socket(2) with an unknown family", socket.result, errno::EAFNOSUPPORT);
    lab.expect_within("socket(2) duration", socket.millis, 0..=100, "ms");
    let helper = lab.helper("recorded", &plan)?;
    set_guard(lab, &format!("helper {}\n", helper.path()))?;
    lab.observe(unknown_socket())?;
    let records = lab.records(&helper)?;
    lab.expect("requested names", List(requested_names(&records)), List(vec!["net-pf-3"; 3]));
    Ok(())
}

fn two_names(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper("guarded", &act_then_exit(vec![mount("zz"), unknown_socket()], 1))?;
    set_guard(lab, &format!("helper {}\nchain 1\n", helper.path()))?;
    lab.observe(unknown_socket())?;
    let names = requested_names(&lab.records(&helper)?);
    lab.expect("requested names", List(names), List(vec!["net-pf-3", "fs-zz"]));
    let got = messages(lab)?;
    let refused = [
        "net-pf-3[PID] > fs-zz[PID] > fs-zz[PID]",
        "net-pf-3[PID] > fs-zz[PID] > net-pf-3[PID]",
        "net-pf-3[PID] > net-pf-3[PID]",
    ];
    lab.expect("messages", List(got), List(refused.map(stopped).to_vec()));
    Ok(())
}

/// The message about a refused request.
fn stopped(chain: &str) -> String {
    format!("<3> kmod: runaway modprobe loop assumed and stopped: {chain}")
}

fn message(lab: &mut Lab<'_>) -> Check {
    guard(lab, &act_then_exit(vec![unknown_socket()], 1))?;
    lab.observe(unknown_socket())?;
    let chain = "net-pf-3[PID] > net-pf-3[PID] > net-pf-3[PID] > net-pf-3[PID]";
    let got = messages(lab)?;
    lab.expect("messages", List(got), List(vec![stopped(chain)]));
    Ok(())
}

fn hands_on(lab: &mut Lab<'_>) -> Check {
    let direct = lab.helper_as_path("direct", &exit_with(1))?;
    lab.observe(vlan_ioctl())?;
    let direct = lab.records(&direct)?;
    let helper = guard(lab, &exec("/sbin/modprobe"))?;
    lab.observe(vlan_ioctl())?;
    let guarded = lab.records(&helper)?;
    let arguments: Vec<_> = guarded.iter().flat_map(|record| record.argv.iter().cloned()).collect();
    lab.expect("arguments", List(arguments), List(vec![helper.path(), "-q", "--", "8021q"]));
    let environment = |records: &[Record]| -> Vec<Vec<u8>> {
        let all = records.iter().flat_map(|record| record.envp.iter());
        all.filter(|variable| !variable.starts_with(b"KMOD_REQUEST=")).cloned().collect()
    };
    lab.expect("environment", List(environment(&guarded)), List(environment(&direct)));
    let descriptors =
        |records: &[Record]| List(records.iter().flat_map(|record| record.fds.clone()).collect::<Vec<_>>());
    lab.expect("open descriptors", descriptors(&guarded), descriptors(&direct));
    lab.expect_live(&["8021q"])?;
    let got = messages(lab)?;
    lab.expect("messages", List(got), List::<&str>(vec![]));
    Ok(())
}

fn nested(lab: &mut Lab<'_>) -> Check {
    // The helper hands further requests to modprobe, and makes one.
    let to_modprobe = Action::Write {
        path: SETTINGS.as_bytes().to_vec(),
        data: b"helper /sbin/modprobe\n".to_vec(),
        flags: libc::O_TRUNC,
    };
    let plan = HelperPlan { actions: vec![to_modprobe, vlan_ioctl()], ..exec("/sbin/modprobe") };
    let helper = guard(lab, &plan)?;
    lab.observe(mount("squashfs"))?;
    let names = requested_names(&lab.records(&helper)?);
    lab.expect("requested names", List(names), List(vec!["fs-squashfs"]));
    lab.expect_live(&["squashfs", "8021q"])?;
    let got = messages(lab)?;
    lab.expect("messages", List(got), List::<&str>(vec![]));
    Ok(())
}

fn parallel(lab: &mut Lab<'_>) -> Check {
    const CALLERS: u32 = 10;
    // When all helpers for net-pf-3 have started, each makes a request that takes two seconds.
    let sleeper = lab.helper("sleeper", &act_then_exit(vec![Action::Sleep(2000)], 1))?;
    let to_sleeper = set_path_action(sleeper.path().as_bytes());
    let waiting = guard(lab, &act_then_exit(vec![Action::Sleep(400), to_sleeper, mount("zz")], 1))?;
    let jobs = lab.start(Caller::default(), vec![unknown_socket()], CALLERS)?;
    lab.arrange(Action::Sleep(900))?;
    let nested = lab.records(&sleeper)?.len();
    lab.expect("helpers that wait for a nested request", nested, CALLERS);

    let helper = lab.helper("next", &exit_with(1))?;
    set_guard(lab, &format!("helper {}\n", helper.path()))?;
    lab.observe(unknown_socket())?;
    let names = requested_names(&lab.records(&helper)?);
    lab.expect("further requests that reach the helper", List(names), List(vec!["net-pf-3"]));
    for job in jobs {
        lab.wait(job, GuestMillis(10_000))?;
    }
    let names = requested_names(&lab.records(&waiting)?);
    lab.expect("parallel requests that reach the helper", List(names), List(vec!["net-pf-3"; CALLERS as usize]));
    let got = messages(lab)?;
    lab.expect("messages", List(got), List::<&str>(vec![]));
    Ok(())
}

fn usable_afterwards(lab: &mut Lab<'_>) -> Check {
    guard(lab, &act_then_exit(vec![unknown_socket()], 1))?;
    lab.observe(unknown_socket())?;
    let helper = lab.helper("next", &exit_with(1))?;
    set_guard(lab, &format!("helper {}\n", helper.path()))?;
    lab.observe(unknown_socket())?;
    let names = requested_names(&lab.records(&helper)?);
    lab.expect("requested names", List(names), List(vec!["net-pf-3"]));
    let got = messages(lab)?;
    lab.expect("messages", List(got), List::<&str>(vec![]));
    Ok(())
}

fn without_proc(lab: &mut Lab<'_>) -> Check {
    let helper = guard(lab, &exit_with(1))?;
    lab.arrange_in_init(Action::MkdirAll(format!("{SCRATCH}/empty").into_bytes()))?;
    let hide = Action::Mount {
        source: format!("{SCRATCH}/empty").into_bytes(),
        target: b"/proc".to_vec(),
        fstype: Vec::new(),
        flags: libc::MS_BIND,
        data: Vec::new(),
    };
    lab.arrange_in_init(hide)?;
    lab.observe(unknown_socket())?;
    lab.arrange_in_init(Action::Umount(b"/proc".to_vec(), libc::MNT_DETACH))?;
    let names = requested_names(&lab.records(&helper)?);
    lab.expect("requested names", List(names), List(vec!["net-pf-3"]));
    let got = messages(lab)?;
    let expected = "<4> kmod-request[PID]: request for 'net-pf-3': cannot look for a loop: /proc is not mounted; running the helper";
    lab.expect("messages", List(got), List(vec![expected]));
    Ok(())
}

fn settings(lab: &mut Lab<'_>) -> Check {
    for (name, setting, helpers) in [
        ("chain-1", "chain 1", 1),
        ("chain-5", "chain 5", 5),
        ("total-2", "chain 9\ntotal 2", 2),
        ("bad", "chains 1", 3),
    ] {
        let helper = lab.helper(name, &act_then_exit(vec![unknown_socket()], 1))?;
        set_guard(lab, &format!("helper {}\n{setting}\n", helper.path()))?;
        lab.observe(unknown_socket())?;
        let records = lab.records(&helper)?;
        lab.expect(&format!("helpers started with '{}'", setting.replace('\n', "; ")), records.len(), helpers);
    }
    let got = messages(lab)?.into_iter().filter(|line| line.starts_with("<4>")).collect();
    let ignored =
        "<4> kmod-request[PID]: request for 'net-pf-3': ignoring /etc/kmod-request.conf:2: unknown setting 'chains'";
    lab.expect("warnings about the bad line", List(got), List(vec![ignored; 4]));
    Ok(())
}

fn itself(lab: &mut Lab<'_>) -> Check {
    set_guard(lab, "helper /sbin/kmod-request\n")?;
    lab.observe(vlan_ioctl())?;
    lab.expect_live(&["8021q"])?;
    let another = lab.helper("another", &exec("/sbin/kmod-request"))?;
    lab.write(SETTINGS, format!("helper {}\n", another.path()).as_bytes())?;
    lab.observe(mount("squashfs"))?;
    let requests = lab.records(&another)?.len();
    lab.expect("requests that reach the other guard", requests, 1);
    lab.expect_live(&["squashfs"])?;
    let got = messages(lab)?;
    let expected = [
        "<4> kmod-request[PID]: request for '8021q': the helper in /etc/kmod-request.conf is kmod-request itself; running /sbin/modprobe",
        "<4> kmod-request[PID]: request for 'fs-squashfs': started by another kmod-request; running /sbin/modprobe",
    ];
    lab.expect("messages", List(got), List(expected.to_vec()));
    Ok(())
}

fn missing_helper(lab: &mut Lab<'_>) -> Check {
    set_guard(lab, "helper /no/such/program\n")?;
    let socket = lab.observe(unknown_socket())?;
    lab.expect("socket(2) with an unknown family", socket.result, errno::EAFNOSUPPORT);
    let got = messages(lab)?;
    let expected =
        "<3> kmod-request[PID]: request for 'net-pf-3': cannot run /no/such/program: No such file or directory";
    lab.expect("messages", List(got), List(vec![expected]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::without_process_ids;

    #[test]
    fn process_ids_do_not_occur_in_facts() {
        assert_eq!(without_process_ids("a[12] > b[x] > [3 c[4]"), "a[PID] > b[x] > [3 c[PID]");
    }
}
