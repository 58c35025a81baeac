//! What a helper does not inherit from the process that causes the request.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::exit_with;
use crate::check::lab::{Lab, LabError, SCRATCH, root_of, run_action, unprivileged};
use crate::check::running::Waiting;
use crate::check::settings;
use crate::check::trigger::unknown_socket;
use agent::plan::Record;
use agent::proto::{Action, Caller, GuestMillis, Value};
use std::collections::BTreeMap;

pub(super) fn credentials(lab: &mut Lab<'_>) -> Check {
    let no_new_privs = || Caller { no_new_privs: true, ..unprivileged() };
    let callers = [
        ("root in other groups", Caller::default(), vec![settings::groups(&[7, 8])]),
        ("uid 1000", unprivileged(), vec![]),
        ("no_new_privs", no_new_privs(), vec![]),
        ("seccomp filter", no_new_privs(), vec![settings::seccomp_filter()]),
        ("root of a user namespace", root_of(libc::CLONE_NEWUSER), vec![]),
    ];
    let mut waiting = Waiting::install(lab)?;
    for (name, caller, settings) in callers {
        let running = waiting.start(lab, caller, settings)?;
        let status = lab.process_status(running.record.pid)?;
        let identity = status.fields(&["Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp"]);
        let expected = vec!["Uid 0 0 0 0", "Gid 0 0 0 0", "Groups", "NoNewPrivs 0", "Seccomp 0"];
        lab.expect(name, List(identity), List(expected));
        waiting.finish(lab, &running)?;
    }
    Ok(())
}

pub(super) fn namespaces(lab: &mut Lab<'_>) -> Check {
    const CLONE_NEWTIME: u64 = 0x80;
    let flags = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWCGROUP,
    ];
    let unshare = flags.into_iter().fold(CLONE_NEWTIME, |all, flag| all | flag as u64);
    let caller = Caller { unshare, map_uid: Some(0), ..Caller::default() };
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    let run = || run_action(&[helper.path()]);

    lab.observe(run())?;
    lab.observe_as(caller.clone(), run())?;
    lab.observe_as(caller, unknown_socket())?;
    let mut records = lab.records(&helper)?.into_iter().map(|record| by_name(&record));
    let mut next = || records.next().unwrap_or_default();
    let (init, program, helper) = (next(), next(), next());
    let differ = |from: &BTreeMap<String, String>| -> Vec<String> {
        init.iter()
            .filter(|(name, namespace)| from.get(*name) != Some(namespace))
            .map(|(name, _)| name.clone())
            .collect()
    };
    let all = vec!["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    lab.expect("namespaces of the caller other than those of PID 1", List(differ(&program)), List(all));
    lab.expect("namespaces of the helper other than those of PID 1", List(differ(&helper)), List::<&str>(vec![]));
    Ok(())
}

/// Returns the namespaces in a record, such as `mnt:[4026531841]`, by name.
fn by_name(record: &Record) -> BTreeMap<String, String> {
    let namespaces = record.namespaces.iter().map(|namespace| String::from_utf8_lossy(namespace).into_owned());
    namespaces.map(|namespace| (namespace.split(':').next().unwrap_or_default().to_owned(), namespace)).collect()
}

pub(super) fn limits(lab: &mut Lab<'_>) -> Check {
    let own = vec![
        settings::limit(libc::RLIMIT_NOFILE, 64, 128),
        settings::limit(libc::RLIMIT_CORE, u64::MAX, u64::MAX),
        settings::limit(libc::RLIMIT_STACK, 1 << 20, 1 << 21),
        settings::limit(libc::RLIMIT_DATA, 1 << 30, 1 << 31),
    ];
    lab.arrange_in_init(settings::limit(libc::RLIMIT_MEMLOCK, 1 << 24, 1 << 24))?;
    let mut waiting = Waiting::install(lab)?;
    let running = waiting.start(lab, Caller::default(), own)?;
    lab.expect("open files: soft and hard limit", List(running.record.nofile.to_vec()), List(vec![1024_u64, 4096]));
    lab.expect("core file size: soft limit", running.record.core, 0_u64);
    let limits = lab.process_file(running.record.pid, "limits")?;
    let of_kthreadd = lab.process_file(2, "limits")?;
    let lines = |text: &[u8]| String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>();
    let (limits, of_kthreadd) = (lines(&limits), lines(&of_kthreadd));
    lab.expect("limits of the helper", limits.len() > 10, true);
    let others = limits.into_iter().filter(|line| !of_kthreadd.contains(line)).collect();
    lab.expect("limits of the helper other than those of kthreadd", List(others), List::<&str>(vec![]));
    waiting.finish(lab, &running)
}

pub(super) fn signals(lab: &mut Lab<'_>) -> Check {
    let own = vec![settings::block(libc::SIGTERM), settings::block(libc::SIGUSR1), settings::ignore(libc::SIGINT)];
    let mut waiting = Waiting::install(lab)?;
    for (name, own) in [("a caller", vec![]), ("a caller that blocks and ignores signals", own)] {
        let running = waiting.start(lab, Caller::default(), own)?;
        let status = lab.process_status(running.record.pid)?;
        let fields = ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"];
        // Empty if there is no helper.
        let mask =
            |field| u64::from_str_radix(&status.field(field), 16).map_or(String::new(), |mask| format!("{mask:x}"));
        let masks = fields.map(|field| format!("{field} {}", mask(field))).to_vec();
        lab.expect(name, List(masks), List(fields.map(|field| format!("{field} 0")).to_vec()));
        waiting.finish(lab, &running)?;
    }
    Ok(())
}

pub(super) fn umask(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    for (init, own) in [(0o022, 0o077), (0o077, 0), (0, 0o027)] {
        lab.arrange_in_init(settings::umask(init))?;
        let record = lab.record_of_request(&helper, Caller::default(), vec![settings::umask(own)])?;
        let name = format!("umask {init:03o} of PID 1 and {own:03o} of the caller");
        lab.expect(&name, format!("{:03o}", record.umask), "022");
    }
    Ok(())
}

pub(super) fn nice(lab: &mut Lab<'_>) -> Check {
    let mut waiting = Waiting::install(lab)?;
    let running = waiting.start(lab, Caller::default(), vec![settings::own_nice(10), settings::batch()])?;
    let stat = lab.process_stat(running.record.pid)?;
    lab.expect("caller with nice 10 and SCHED_BATCH: nice", stat.field(19), "0");
    lab.expect("caller with nice 10 and SCHED_BATCH: policy", stat.field(41), "0");
    waiting.finish(lab, &running)?;

    lab.arrange(settings::nice_of_root(-5))?;
    let running = waiting.start(lab, unprivileged(), vec![])?;
    let parent = lab.process_status(running.record.pid)?.number("PPid");
    let (stat, parent) = (lab.process_stat(running.record.pid)?, lab.process_stat(parent)?);
    lab.expect("kernel threads with nice -5: nice of the parent", parent.field(19), "-5");
    lab.expect("kernel threads with nice -5: nice", stat.field(19), "0");
    waiting.finish(lab, &running)
}

pub(super) fn session(lab: &mut Lab<'_>) -> Check {
    let mut waiting = Waiting::install(lab)?;
    for (name, own) in [("a caller", vec![]), ("a leader of a session", vec![settings::new_session()])] {
        let running = waiting.start(lab, Caller::default(), own)?;
        let stat = lab.process_stat(running.record.pid)?;
        let fields = [("process group", 5), ("session", 6), ("terminal", 7)];
        let fields = fields.map(|(field, number)| format!("{field} {}", stat.field(number))).to_vec();
        lab.expect(name, List(fields), List(vec!["process group 0", "session 0", "terminal 0"]));
        waiting.finish(lab, &running)?;
    }
    Ok(())
}

pub(super) fn parent(lab: &mut Lab<'_>) -> Check {
    /// `include/linux/sched.h`
    const PF_KTHREAD: u64 = 0x0020_0000;
    let mut waiting = Waiting::install(lab)?;
    let running = waiting.start(lab, Caller::default(), vec![])?;
    let pid = running.record.pid;
    let parent = lab.process_status(pid)?.number("PPid");
    let name = lab.process_file(parent, "comm")?;
    let flags = lab.process_stat(parent)?.field(9).parse::<u64>().unwrap_or_default();
    lab.expect("parent: name", name.get(..9).unwrap_or(&name), "kworker/u");
    lab.expect("parent: kernel thread", flags & PF_KTHREAD != 0, true);
    let flags = lab.process_stat(pid)?.field(9).parse::<u64>().unwrap_or(PF_KTHREAD);
    lab.expect("helper: kernel thread", flags & PF_KTHREAD != 0, false);
    let ended = lab.wait(running.job(), GuestMillis(100))?.is_some();
    lab.expect("the request ended while its helper ran", ended, false);
    waiting.finish(lab, &running)?;
    let stat = lab.observe(Action::Stat(format!("/proc/{pid}").into_bytes()))?.result;
    lab.expect("stat(2) of the helper's directory in /proc after the request", stat, errno::ENOENT);
    Ok(())
}

pub(super) fn directory(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    for init in ["/", "/run"] {
        lab.arrange_in_init(Action::Chdir(init.as_bytes().to_vec()))?;
        let chdir = Action::Chdir(b"/tmp".to_vec());
        let record = lab.record_of_request(&helper, Caller::default(), vec![chdir])?;
        lab.expect(&format!("PID 1 in {init}: working directory"), record.cwd, init);
        lab.expect(&format!("PID 1 in {init}: root"), record.root, "/");
    }
    Ok(())
}

pub(super) fn cgroup(lab: &mut Lab<'_>) -> Check {
    let directory = format!("{SCRATCH}/cgroup");
    lab.arrange(Action::MkdirAll(directory.clone().into_bytes()))?;
    let (source, fstype) = (b"cgroup2".to_vec(), b"cgroup2".to_vec());
    let target = directory.clone().into_bytes();
    lab.arrange_in_init(Action::Mount { source, target, fstype, flags: 0, data: Vec::new() })?;
    lab.arrange(Action::MkdirAll(format!("{directory}/caller").into_bytes()))?;
    let enter =
        Action::Write { path: format!("{directory}/caller/cgroup.procs").into_bytes(), data: b"0".to_vec(), flags: 0 };
    let own = Action::Read { path: b"/proc/self/cgroup".to_vec(), max: 4096 };
    let mut waiting = Waiting::install(lab)?;
    let running = waiting.start(lab, Caller::default(), vec![enter.clone()])?;
    let group = lab.process_file(running.record.pid, "cgroup")?;
    lab.expect("group of the helper", unified(&group), "0::/");
    waiting.finish(lab, &running)?;
    let read = lab.observe_all_as(Caller::default(), vec![enter, own])?.into_iter().nth(1).map(|read| read.result);
    let Some(Ok(Value::Bytes(group))) = read else {
        return Err(LabError::Unexpected("a job could not read its own file".to_owned()));
    };
    lab.expect("group of the caller", unified(&group), "0::/caller");
    Ok(())
}

/// Returns the line of the unified hierarchy in a cgroup file.
fn unified(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().find(|line| line.starts_with("0::")).unwrap_or_default().to_owned()
}

pub(super) fn personality(lab: &mut Lab<'_>) -> Check {
    const ADDR_NO_RANDOMIZE: i64 = 0x0004_0000;
    let adjust = Action::Write { path: b"/proc/self/oom_score_adj".to_vec(), data: b"500".to_vec(), flags: 0 };
    let mut waiting = Waiting::install(lab)?;
    let running = waiting.start(lab, Caller::default(), vec![settings::personality(ADDR_NO_RANDOMIZE), adjust])?;
    for (file, expected) in [("personality", "00000000\n"), ("oom_score_adj", "0\n")] {
        let value = lab.process_file(running.record.pid, file)?;
        lab.expect(&format!("/proc/PID/{file}"), value, expected);
    }
    waiting.finish(lab, &running)
}

pub(super) fn ptrace(lab: &mut Lab<'_>) -> Check {
    let mut waiting = Waiting::install(lab)?;
    let callers = [
        ("uid 1000", unprivileged(), false),
        ("root of a user namespace", root_of(libc::CLONE_NEWUSER), false),
        ("root", Caller::default(), true),
    ];
    for (name, caller, may) in callers {
        let running = waiting.start(lab, caller.clone(), vec![])?;
        let pid = running.record.pid;
        let signal = settings::call(libc::SYS_kill, &[settings::number(pid.into()), settings::number(0)]);
        for (call, action) in [("ptrace(2)", settings::trace(pid)), ("kill(2)", signal)] {
            let result = lab.observe_as(caller.clone(), action)?.result;
            let name = format!("{name}: {call}");
            if may {
                lab.expect(&name, result, 0_u32);
            } else {
                lab.expect(&name, result, errno::EPERM);
            }
        }
        waiting.finish(lab, &running)?;
    }
    Ok(())
}
