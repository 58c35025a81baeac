//! Requests at the limit: who waits, who is rejected, what the kernel logs, and what frees a place.
//!
//! The helpers sleep, so that their callers occupy places at the limit for a known time.

use super::{CANNOT_BE_PROCESSED, LOOP, THROTTLING, request_module_lines};
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{Check, Cost, Entry, Need};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{Helper, act_then_exec, act_then_exit, exit_with, requested_names};
use crate::check::lab::{Lab, LabError, set_path_action};
use crate::check::trigger::{mount, nfnetlink_group, unknown_socket};
use agent::plan::{End, HelperPlan};
use agent::proto::{Action, Group, GuestMicros, GuestMillis, JobEnd, Request, Value};

pub(in super::super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "loop.rejected-name",
        catalogue: "LOOP-05",
        statement: "the cut-off is logged at level warning with the name of the request that is rejected",
        source: "__request_module() (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        cost: Cost::Storm,
        check: By(rejected_name),
        ..LOOP
    },
    Entry {
        id: "loop.etime",
        catalogue: "LOOP-06",
        statement: "while 49 other requests run, a request gets its helper at once; while 50 run, it fails with ETIME after five seconds",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#errno-oracle",
        cost: Cost::Storm,
        needs: &[Need::Module("ip_tables")],
        check: By(etime),
        ..LOOP
    },
    Entry {
        id: "loop.parallel",
        catalogue: "LOOP-10",
        statement: "120 parallel requests with quick helpers all get their helper, and none is rejected",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-storms",
        cost: Cost::Storm,
        check: By(parallel),
        ..LOOP
    },
    Entry {
        id: "loop.short-waits",
        catalogue: "LOOP-11",
        statement: "80 parallel requests with helpers of one second all get their helper within two rounds, and none is rejected",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-storms",
        cost: Cost::Storm,
        check: By(short_waits),
        ..LOOP
    },
    Entry {
        id: "loop.long-waits",
        catalogue: "LOOP-12",
        statement: "of 130 parallel requests with helpers of three seconds, 100 get their helper and 30 fail after five seconds",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-storms",
        cost: Cost::Storm,
        check: By(long_waits),
        ..LOOP
    },
    Entry {
        id: "loop.rate-limit",
        catalogue: "LOOP-13",
        statement: "the cut-off is logged at most ten times in five seconds, followed by the number of suppressed messages",
        source: "pr_warn_ratelimited() in __request_module(); docs/facts/kernel.md#limit-rate",
        cost: Cost::Storm,
        probes: &["cutoff"],
        check: By(rate_limit),
        ..LOOP
    },
    Entry {
        id: "loop.kill-throttled",
        catalogue: "LOOP-14",
        statement: "SIGKILL ends a caller that waits at the limit at once up to 6.3, and only at the end of its wait since 6.4",
        source: "__request_module() (kernel/kmod.c up to 6.3; kernel/module/kmod.c since 6.4, commit 25a1b5b518f4)",
        cost: Cost::Storm,
        probes: &["cutoff"],
        check: By(kill_throttled),
        ..LOOP
    },
    Entry {
        id: "loop.kill-waiting",
        catalogue: "LOOP-15",
        statement: "a fatal signal, and no other, ends a caller that waits for its helper at once, and the helper continues",
        source: "UMH_KILLABLE in call_modprobe() (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        needs: &[Need::Module("ip_tables")],
        check: By(kill_waiting),
        ..LOOP
    },
    Entry {
        id: "loop.killed-callers",
        catalogue: "LOOP-16",
        statement: "killed callers free their places at the limit while their helpers still run",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-callers",
        cost: Cost::Storm,
        needs: &[Need::Module("ip_tables")],
        check: By(killed_callers),
        ..LOOP
    },
    Entry {
        id: "loop.places-freed",
        catalogue: "LOOP-20",
        statement: "a request frees its place at the limit whether its helper succeeds, fails, is killed or cannot be executed",
        source: "__request_module() (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#loop-20",
        cost: Cost::Storm,
        needs: &[Need::Module("ip_tables")],
        check: By(places_freed),
        ..LOOP
    },
    Entry {
        id: "loop.no-wait",
        catalogue: "LOOP-21",
        statement: "request_module_nowait() returns, and frees its place at the limit, while the helper still runs",
        source: "UMH_WAIT_EXEC in __request_module() (kernel/kmod.c; kernel/module/kmod.c since 6.4); nfnetlink_bind() (net/netfilter/nfnetlink.c)",
        cost: Cost::Storm,
        needs: &[Need::Module("ip_tables")],
        check: By(no_wait),
        ..LOOP
    },
];

/// Returns a plan that records, sleeps for a number of milliseconds and exits with 1.
fn sleep(millis: u64) -> HelperPlan {
    act_then_exit(vec![Action::Sleep(millis)], 1)
}

fn jobs(count: u32, after: u64, actions: Vec<Action>) -> Group {
    Group { actions, count, after: GuestMillis(after), ..Group::default() }
}

fn signalled(count: u32, at: u64, signal: i32, action: Action) -> Group {
    Group { signal: Some((GuestMillis(at), signal)), ..jobs(count, 0, vec![action]) }
}

/// `getsockopt(IPT_SO_GET_INFO)`: returns the errno of `request_module()`, or ENOENT if a helper ran (docs/facts/kernel.md).
fn oracle() -> Action {
    Action::IptGetInfo(b"zz".to_vec())
}

/// Returns the result and the duration of each action of a job.
fn expect_action(
    lab: &mut Lab<'_>,
    name: &str,
    end: &JobEnd,
    at: usize,
    result: agent::proto::Errno,
    millis: std::ops::RangeInclusive<u64>,
) {
    let got = end.results.get(at);
    let shown = got.map_or(Ok(Value::Unit), |action| action.result.clone());
    lab.expect(&format!("{name}: result"), shown, result);
    let took = got.map_or(0, |action| action.ended.millis_since(action.began));
    lab.expect_within(&format!("{name}: duration"), took, millis, "ms");
}

/// Returns the durations of the first action of each job, in milliseconds.
fn durations(ends: &[JobEnd]) -> Vec<u64> {
    let first = ends.iter().filter_map(|end| end.results.first());
    first.map(|result| result.ended.millis_since(result.began)).collect()
}

fn rejected_name(lab: &mut Lab<'_>) -> Check {
    lab.helper_as_path("sleeper", &sleep(8000))?;
    lab.mark_kmsg()?;
    lab.run_all(vec![jobs(50, 0, vec![unknown_socket()]), jobs(1, 1000, vec![mount("zz")])])?;
    let lines = cut_off_lines(lab)?;
    lab.expect("cut-off messages", List(lines), List(vec![CANNOT_BE_PROCESSED.replace("net-pf-3", "fs-zz")]));
    Ok(())
}

fn etime(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    let helper = lab.helper_as_path("sleeper", &sleep(8000))?;
    let others = jobs(49, 0, vec![unknown_socket()]);
    let ends = lab.run_all(vec![others, jobs(1, 1000, vec![oracle()]), jobs(1, 1500, vec![oracle()])])?;
    expect_action(lab, "request besides 49 others", &ends[49], 0, errno::ENOENT, 8000..=8900);
    expect_action(lab, "request besides 50 others", &ends[50], 0, errno::ETIME, 5000..=5900);
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 50);
    Ok(())
}

fn parallel(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    lab.mark_kmsg()?;
    let ends = lab.run_all(vec![jobs(120, 500, vec![unknown_socket()])])?;
    expect_served(lab, &helper, &ends, 120, 3000)
}

fn short_waits(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("sleeper", &sleep(1000))?;
    lab.mark_kmsg()?;
    let ends = lab.run_all(vec![jobs(80, 500, vec![unknown_socket()])])?;
    let longest = durations(&ends).into_iter().max().unwrap_or_default();
    lab.expect_within("longest request", longest, 2000..=2900, "ms");
    expect_served(lab, &helper, &ends, 80, 2900)
}

/// Records that each request got a helper, and none was rejected.
fn expect_served(lab: &mut Lab<'_>, helper: &Helper, ends: &[JobEnd], count: usize, millis: u64) -> Check {
    let served = durations(ends).into_iter().filter(|took| *took <= millis).count();
    lab.expect(&format!("requests that take at most {millis} ms"), served, count);
    let records = lab.records(helper)?;
    lab.expect("helpers started", records.len(), count);
    let lines = cut_off_lines(lab)?;
    lab.expect("cut-off messages", List(lines), List::<&str>(vec![]));
    Ok(())
}

fn long_waits(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("sleeper", &sleep(3000))?;
    let ends = lab.run_all(vec![jobs(130, 500, vec![unknown_socket()])])?;
    let took = durations(&ends);
    let between = |from, to| took.iter().filter(|&&took| from <= took && took < to).count();
    lab.expect("requests of three seconds", between(3000, 4000), 50);
    lab.expect("requests of five seconds", between(5000, 5700), 30);
    lab.expect("requests of six seconds", between(5700, 7000), 50);
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 100);
    Ok(())
}

/// 13 requests are rejected within the five seconds to which the limit of the rate applies, and one later.
fn rate_limit(lab: &mut Lab<'_>) -> Check {
    lab.helper_as_path("sleeper", &sleep(14_000))?;
    lab.mark_kmsg()?;
    lab.run_all(vec![jobs(63, 0, vec![unknown_socket()]), jobs(1, 7000, vec![mount("zz")])])?;
    let messages = match lab.probe("cutoff")? {
        "wait-queue" => vec![THROTTLING, CANNOT_BE_PROCESSED],
        _ => vec![CANNOT_BE_PROCESSED],
    };
    let lines = request_module_lines(lab, true)?;
    for message in &messages {
        let count = lines.iter().filter(|line| *line == message).count();
        lab.expect(&format!("first messages like {message}"), count, 10);
    }
    let suppressed = || "<4> __request_module: 3 callbacks suppressed".to_owned();
    let next = |message: &&str| [suppressed(), message.replace("net-pf-3", "fs-zz")];
    let expected: Vec<String> = messages.iter().flat_map(next).collect();
    let lines = lines.into_iter().filter(|line| !messages.contains(&line.as_str())).collect();
    lab.expect("next messages", List(lines), List(expected));
    Ok(())
}

fn kill_throttled(lab: &mut Lab<'_>) -> Check {
    let sleeper = lab.helper_as_path("sleeper", &sleep(8000))?;
    lab.mark_kmsg()?;
    let victim = Group { after: GuestMillis(500), ..signalled(1, 1000, libc::SIGKILL, unknown_socket()) };
    let ends = lab.run_all(vec![jobs(50, 0, vec![unknown_socket()]), victim])?;
    lab.expect("signal that killed the caller", ends[50].killed_by.unwrap_or_default(), libc::SIGKILL);
    let began = ends[0].results.first().map_or(GuestMicros(0), |result| result.began);
    let started = lab.records(&sleeper)?.len();
    lab.expect("helpers started", started, 50);
    let (range, lines) = match lab.probe("cutoff")? {
        "wait-queue" => (1000..=1900, [THROTTLING, SIGKILL_SENT]),
        _ => (5500..=6900, [CANNOT_BE_PROCESSED, ""]),
    };
    lab.expect_within(
        "time from the first request to the end of the caller",
        ends[50].ended.millis_since(began),
        range,
        "ms",
    );
    let got = request_module_lines(lab, true)?;
    lab.expect(
        "request_module log lines",
        List(got),
        List(lines.into_iter().filter(|line| !line.is_empty()).collect()),
    );
    Ok(())
}

const SIGKILL_SENT: &str = "<4> request_module: sigkill sent for modprobe net-pf-3, giving up";

fn kill_waiting(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    let ended = lab.helper("ended", &exit_with(1))?;
    let helper = lab.helper_as_path("sleeper", &act_then_exec(vec![Action::Sleep(3000)], ended.path()))?;
    let signals = [("SIGTERM", libc::SIGTERM), ("SIGKILL", libc::SIGKILL), ("SIGSTOP", libc::SIGSTOP)];
    let groups = signals.map(|(_, signal)| {
        let action = if signal == libc::SIGSTOP { oracle() } else { unknown_socket() };
        signalled(1, 500, signal, action)
    });
    let groups = [groups.to_vec(), vec![jobs(1, 0, vec![Action::Sleep(1)])]].concat();
    let jobs = lab.start_all(groups)?;
    let began = lab.wait_for(jobs[3])?.results.first().map_or(GuestMicros(0), |result| result.began);
    for ((name, signal), job) in signals.into_iter().take(2).zip(&jobs) {
        let end = lab.wait_for(*job)?;
        lab.expect(&format!("{name}: signal that killed the caller"), end.killed_by.unwrap_or_default(), signal);
        lab.expect_within(&format!("{name}: end of the caller"), end.ended.millis_since(began), 400..=900, "ms");
    }
    // A stopped caller continues to wait. An interrupted call would be repeated, with a second helper.
    lab.observe(Action::Sleep(500))?;
    lab.ask(&Request::Signal { job: jobs[2], signal: libc::SIGCONT })?;
    let stopped = lab.wait_for(jobs[2])?;
    let result = stopped.results.first().map_or(Ok(Value::Unit), |result| result.result.clone());
    lab.expect("SIGSTOP and SIGCONT: result", result, errno::ENOENT);
    lab.observe(Action::Sleep(1000))?;
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 3);
    let records = lab.records(&ended)?;
    lab.expect("helpers that reached their end", records.len(), 3);
    Ok(())
}

fn killed_callers(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    let ended = lab.helper("ended", &exit_with(1))?;
    let helper = lab.helper_as_path("sleeper", &act_then_exec(vec![Action::Sleep(4000)], ended.path()))?;
    let killed = signalled(50, 500, libc::SIGKILL, unknown_socket());
    let ends = lab.run_all(vec![killed, jobs(1, 1000, vec![oracle()])])?;
    let (started, ended) = (lab.records(&helper)?, lab.records(&ended)?);
    lab.expect("helpers started", started.len(), 51);
    lab.expect("callers killed", ends.iter().filter(|end| end.killed_by == Some(libc::SIGKILL)).count(), 50);
    let began = ends[50].results.first().map_or(GuestMicros(0), |result| result.began);
    let next = started.iter().find(|record| record.argv.last().is_some_and(|name| name == b"iptable_zz"));
    let next = next.map_or(GuestMicros(u64::MAX), |record| record.time);
    lab.expect_within("time until the next request has its helper", next.millis_since(began), 0..=100, "ms");
    let running = 50_usize.saturating_sub(ended.iter().filter(|record| record.time < next).count());
    lab.expect("helpers of killed callers that still run then", running, 50);
    Ok(())
}

/// 49 callers leave one place. Each request of the last caller needs the place of the one before it.
fn places_freed(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    let success = lab.helper("success", &exit_with(0))?;
    let failure = lab.helper("failure", &exit_with(1))?;
    let killed = HelperPlan { record: true, actions: Vec::new(), end: End::Signal(libc::SIGKILL) };
    let killed = lab.helper("killed", &killed)?;
    let cases = [
        ("helper that exits with 0", success.path(), errno::ENOENT),
        ("helper that exits with 1", failure.path(), errno::ENOENT),
        ("helper that is killed", killed.path(), errno::ENOENT),
        ("missing helper", "/nonexistent", errno::ENOENT),
        ("helper that is a directory", "/run", errno::EACCES),
        ("no helper", "\n", errno::ENOENT),
        ("helper after all others", failure.path(), errno::ENOENT),
    ];
    lab.helper_as_path("sleeper", &sleep(45_000))?;
    let actions = cases.iter().flat_map(|(_, path, _)| [set_path_action(path.as_bytes()), oracle()]).collect();
    let ends = lab.run_all(vec![jobs(49, 0, vec![unknown_socket()]), jobs(1, 1000, actions)])?;
    for (number, (name, _, result)) in cases.into_iter().enumerate() {
        expect_action(lab, name, &ends[49], 2 * number + 1, result, 0..=100);
    }
    for (helper, count) in [(success, 1), (failure, 2), (killed, 1)] {
        let records = lab.records(&helper)?;
        lab.expect(&format!("requests to {}", helper.path()), records.len(), count);
    }
    Ok(())
}

/// Loads nfnetlink unless it is built in.
fn load_nfnetlink(lab: &mut Lab<'_>) -> Check {
    let protocol = libc::NETLINK_NETFILTER;
    match lab.load("nfnetlink") {
        Err(missing @ LabError::Need(_)) => {
            let socket = Action::Socket { family: libc::AF_NETLINK, kind: libc::SOCK_RAW, protocol };
            lab.observe(socket)?.result.map(drop).map_err(|_| missing)
        }
        done => done,
    }
}

/// 49 callers leave one place, which the request that does not wait must have freed when the last one is made.
fn no_wait(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    load_nfnetlink(lab)?;
    let quick = lab.helper("quick", &exit_with(1))?;
    let sleeper = lab.helper_as_path("sleeper", &sleep(12_000))?;
    let actions = vec![nfnetlink_group(1), set_path_action(quick.path().as_bytes()), oracle()];
    let ends = lab.run_all(vec![jobs(49, 0, vec![unknown_socket()]), jobs(1, 1000, actions)])?;
    let joined = ends[49].results.first();
    let result = joined.map_or(Ok(Value::Unit), |joined| joined.result.clone());
    lab.expect("setsockopt(2): result", result, Ok::<_, agent::proto::Errno>(Value::Unit));
    let took = joined.map_or(u64::MAX, |joined| joined.ended.millis_since(joined.began));
    lab.expect_within("setsockopt(2): duration", took, 0..=100, "ms");
    expect_action(lab, "next request", &ends[49], 2, errno::ENOENT, 0..=100);
    let names = requested_names(&lab.records(&sleeper)?);
    lab.expect("name of the request without a wait", names.last().cloned().unwrap_or_default(), "nfnetlink-subsys-1");
    let names = requested_names(&lab.records(&quick)?);
    lab.expect("names of the next requests", List(names), List(vec!["iptable_zz"]));
    Ok(())
}

fn cut_off_lines(lab: &mut Lab<'_>) -> Result<Vec<String>, LabError> {
    Ok(request_module_lines(lab, true)?.into_iter().filter(|line| line.contains("cannot be processed")).collect())
}
