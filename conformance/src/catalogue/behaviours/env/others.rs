//! Helpers other than modprobe, which the kernel starts in the same way.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{Helper, act_then_exit, exit_with, requested_names};
use crate::check::lab::{Lab, LabError, SCRATCH, unprivileged};
use crate::check::netlink;
use crate::check::running::wait_for_writer;
use crate::check::settings;
use crate::check::trigger::unknown_socket;
use agent::plan::Record;
use agent::proto::{Action, Caller, Group, GuestMillis, Reply, Request};

/// The environment of helpers that the kernel starts without TERM.
const HOME_AND_PATH: [&str; 2] = ["HOME=/", "PATH=/sbin:/bin:/usr/sbin:/usr/bin"];

/// Returns in what two helpers differ, apart from arguments, environment, process id and time.
fn differences(a: &Record, b: &Record) -> List<&'static str> {
    let same = [
        ("descriptors", a.fds == b.fds),
        ("uids", a.uids == b.uids),
        ("gids", a.gids == b.gids),
        ("capabilities", a.caps == b.caps),
        ("no_new_privs", a.no_new_privs == b.no_new_privs),
        ("seccomp", a.seccomp == b.seccomp),
        ("umask", a.umask == b.umask),
        ("nice", a.nice == b.nice),
        ("directory", (&a.cwd, &a.root) == (&b.cwd, &b.root)),
        ("namespaces", a.namespaces == b.namespaces),
        ("session", (a.sid, a.pgid) == (b.sid, b.pgid)),
        ("signals", a.signals == b.signals),
        ("open files limit", a.nofile == b.nofile),
        ("core limit", a.core == b.core),
    ];
    List(same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect())
}

/// Returns what modprobe's helper records.
fn modprobe(lab: &mut Lab<'_>) -> Result<Record, LabError> {
    let helper = lab.helper_as_path("modprobe", &exit_with(1))?;
    lab.record_of_request(&helper, Caller::default(), vec![])
}

fn only_record(lab: &mut Lab<'_>, helper: &Helper) -> Result<Record, LabError> {
    let records = lab.wait_for_records(helper, 1)?;
    lab.expect("helpers started", records.len(), 1);
    Ok(records.into_iter().next().unwrap_or_default())
}

fn install_request_key(lab: &mut Lab<'_>) -> Result<Helper, LabError> {
    lab.helper_at(Helper::at("/sbin/request-key"), &exit_with(1))
}

pub(super) fn request_key(lab: &mut Lab<'_>) -> Check {
    let modprobe = modprobe(lab)?;
    let helper = install_request_key(lab)?;
    let result = lab.observe_as(unprivileged(), settings::request_key("lab:key"))?.result;
    lab.expect("request_key(2)", result, errno::ENOKEY);
    let record = only_record(lab, &helper)?;
    let [path, operation, key, uid, gid, thread, process, session] = &record.argv[..] else {
        lab.expect("arguments", record.argv.len(), 8_usize);
        return Ok(());
    };
    let known = [path, operation, uid, gid, thread, process].map(Clone::clone).to_vec();
    let expected = vec!["/sbin/request-key", "create", "1000", "1000", "0", "0"];
    lab.expect("path, operation, uid, gid, thread and process keyring", List(known), List(expected));
    let is_serial =
        |serial: &[u8]| std::str::from_utf8(serial).is_ok_and(|text| text.parse().is_ok_and(|id: i32| id > 0));
    lab.expect(
        "key and session keyring are serial numbers",
        [key, session].iter().all(|serial| is_serial(serial)),
        true,
    );
    lab.expect("environment", List(record.envp.clone()), List(HOME_AND_PATH.to_vec()));
    lab.expect("other than for modprobe", differences(&modprobe, &record), List::<&str>(vec![]));
    Ok(())
}

/// Makes core dumps start this helper, and a process that is killed wait until the helper has exited.
fn install_core_pattern(lab: &mut Lab<'_>) -> Result<Helper, LabError> {
    let helper = lab.helper("core", &exit_with(0))?;
    lab.write("/proc/sys/kernel/core_pattern", format!("|{} -- %s %u", helper.path()).as_bytes())?;
    lab.write("/proc/sys/kernel/core_pipe_limit", b"8")?;
    Ok(helper)
}

/// Returns a job of uid 1000 that SIGQUIT kills. The change of uid has made it a process that dumps no core.
fn dumping_job() -> Group {
    let dumpable = Action::Prctl { option: libc::PR_SET_DUMPABLE, arguments: [1, 0, 0, 0] };
    let (actions, signal) = (vec![dumpable, Action::Sleep(60_000)], Some((GuestMillis(10), libc::SIGQUIT)));
    Group { caller: unprivileged(), actions, count: 1, signal, ..Group::default() }
}

pub(super) fn core_pattern(lab: &mut Lab<'_>) -> Check {
    let modprobe = modprobe(lab)?;
    let helper = install_core_pattern(lab)?;
    let killed = lab.run_all(vec![dumping_job()])?.pop().and_then(|end| end.killed_by);
    lab.expect("signal of the process", killed.unwrap_or_default(), libc::SIGQUIT);
    let record = only_record(lab, &helper)?;
    let path = helper.path();
    lab.expect("arguments", List(record.argv.clone()), List(vec![path, "--", "3", "1000"]));
    lab.expect("environment", List(record.envp.clone()), List::<&str>(vec![]));
    lab.expect("other than for modprobe", differences(&modprobe, &record), List(vec!["descriptors", "core limit"]));
    lab.expect("descriptors", List(record.fds.clone()), List(vec![0]));
    lab.expect("core limit", record.core, 1_u64);
    Ok(())
}

pub(super) fn release_agent(lab: &mut Lab<'_>) -> Check {
    let modprobe = modprobe(lab)?;
    lab.create_fifo()?;
    let helper = lab.helper("agent-of-group", &act_then_exit(vec![wait_for_writer()], 0))?;
    let directory = format!("{SCRATCH}/groups");
    lab.arrange(Action::MkdirAll(directory.clone().into_bytes()))?;
    let (source, fstype) = (b"none".to_vec(), b"cgroup".to_vec());
    let (target, data) = (directory.clone().into_bytes(), b"none,name=lab".to_vec());
    lab.arrange_in_init(Action::Mount { source, target, fstype, flags: 0, data })?;
    lab.write(&format!("{directory}/release_agent"), helper.path().as_bytes())?;
    let group = format!("{directory}/group");
    lab.arrange(Action::MkdirAll(group.clone().into_bytes()))?;
    lab.write(&format!("{group}/notify_on_release"), b"1")?;
    // The job enters the group and leaves it empty when it exits.
    lab.write(&format!("{group}/cgroup.procs"), b"0")?;
    let record = only_record(lab, &helper)?;
    lab.expect("arguments", List(record.argv.clone()), List(vec![helper.path(), "/group"]));
    lab.expect("environment", List(record.envp.clone()), List(HOME_AND_PATH.to_vec()));
    lab.expect("other than for modprobe", differences(&modprobe, &record), List::<&str>(vec![]));
    let parent = lab.process_status(record.pid)?.field("PPid");
    lab.expect("parent", parent, KTHREADD);
    if record.pid != 0 {
        lab.release_helpers()?;
        let left = remains(lab, record.pid)?;
        lab.expect("a process remains after its exit", left, false);
    }
    Ok(())
}

/// The process id of kthreadd, which reaps the helpers for which the kernel does not wait.
const KTHREADD: &str = "2";

/// Returns whether a process, or its zombie, still exists after a second of guest time.
fn remains(lab: &mut Lab<'_>, pid: i32) -> Result<bool, LabError> {
    for _ in 0..100 {
        if lab.process_file(pid, "stat")?.is_empty() {
            return Ok(false);
        }
        lab.arrange(Action::Sleep(10))?;
    }
    Ok(true)
}

pub(super) fn uevent_helper(lab: &mut Lab<'_>) -> Check {
    let modprobe = modprobe(lab)?;
    let helper = lab.helper("uevent", &exit_with(0))?;
    lab.write("/sys/kernel/uevent_helper", helper.path().as_bytes())?;
    lab.write("/sys/devices/virtual/mem/null/uevent", b"change")?;
    let record = only_record(lab, &helper)?;
    lab.expect("arguments", List(record.argv.clone()), List(vec![helper.path(), "mem"]));
    let is_number = |variable: &Vec<u8>| variable.starts_with(b"SEQNUM=");
    let variables = record.envp.iter().filter(|variable| !is_number(variable)).cloned().collect();
    let device = ["ACTION=change", "DEVPATH=/devices/virtual/mem/null", "SUBSYSTEM=mem", "SYNTH_UUID=0"];
    let node = ["MAJOR=1", "MINOR=3", "DEVNAME=null", "DEVMODE=0666"];
    let expected = [&device[..], &node, &HOME_AND_PATH].concat();
    lab.expect("environment apart from SEQNUM", List(variables), List(expected));
    lab.expect("other than for modprobe", differences(&modprobe, &record), List::<&str>(vec![]));
    // Its parent is kthreadd, which ignores SIGCHLD, so that it needs no wait(2).
    lab.arrange(Action::Sleep(200))?;
    let Reply::Processes(processes) = lab.ask(&Request::Processes)? else {
        return Err(LabError::Unexpected("no list of processes".to_owned()));
    };
    let zombies = processes.into_iter().filter(|process| process.ppid == 2 && process.state == b'Z');
    lab.expect("zombies", List(zombies.map(|process| process.comm).collect()), List::<&str>(vec![]));
    Ok(())
}

pub(super) fn no_limit(lab: &mut Lab<'_>) -> Check {
    const LIMIT: u32 = 50;
    lab.create_fifo()?;
    let waiting = lab.helper_as_path("waiting", &act_then_exit(vec![wait_for_writer()], 1))?;
    let (keys, cores) = (install_request_key(lab)?, install_core_pattern(lab)?);
    let jobs = lab.start(Caller::default(), vec![unknown_socket()], LIMIT)?;
    let started = lab.wait_for_records(&waiting, LIMIT as usize)?.len();
    lab.expect("helpers of module requests", started, LIMIT);

    let key = lab.observe(settings::request_key("lab:key"))?;
    lab.expect("request_key(2)", key.result, errno::ENOKEY);
    lab.expect_within("request_key(2) duration", key.millis, 0..=1000, "ms");
    let started = lab.records(&keys)?.len();
    lab.expect("helpers of request_key(2)", started, 1);
    lab.run_all(vec![dumping_job()])?;
    let started = lab.records(&cores)?.len();
    lab.expect("helpers of the core dump", started, 1);
    let socket = lab.observe(unknown_socket())?;
    lab.expect_within("duration of another module request", socket.millis, 5000..=8000, "ms");
    let started = lab.records(&waiting)?.len();
    lab.expect("helpers of module requests after it", started, LIMIT);

    lab.release_helpers()?;
    for job in jobs {
        lab.wait_for(job)?;
    }
    Ok(())
}

pub(super) fn no_route(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    lab.trace_requests()?;
    // TEST-NET-1 of RFC 5737; the guest has no route at all.
    let result = lab.observe(netlink::get_route([192, 0, 2, 1]))?.result;
    lab.expect("RTM_GETROUTE", result, errno::ENETUNREACH);
    let records = lab.records(&helper)?;
    lab.expect("helpers started", List(requested_names(&records)), List::<&str>(vec![]));
    let traced = lab.traced_requests()?;
    lab.expect("traced requests", List(traced), List::<&str>(vec![]));
    lab.observe(unknown_socket())?;
    let traced = lab.traced_requests()?;
    lab.expect("traced requests after one of a socket", List(traced), List(vec!["net-pf-3"]));
    Ok(())
}
