//! The limit on concurrent requests: where a recursion is cut off, how long that takes, and what the kernel logs.
//!
//! The recursion comes from a helper that repeats the request it was started for.

#[path = "loop/limit.rs"]
mod limit;

use super::BEHAVIOUR;
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{Helper, act_then_exec, act_then_exit, exec_with, exit_with, most_at_once, requested_names};
use crate::check::lab::{Lab, LabError, Observed, set_path_action, shown_line};
use crate::check::trigger::{mount, socket, unknown_socket};
use agent::plan::{Arg, HelperPlan};
use std::collections::BTreeSet;

const LIMIT_SOURCE: &str =
    "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4)";

const LOOP: Entry = Entry { group: Group::Loop, ..BEHAVIOUR };

pub(super) use limit::ENTRIES as LIMIT_ENTRIES;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "loop.cut-at-50",
        catalogue: "LOOP-01",
        group: Group::Loop,
        statement: "if the helper repeats the request that started it, the kernel stops at 50 concurrent helpers",
        source: LIMIT_SOURCE,
        about: About::Kernel,
        cost: Cost::Storm,
        needs: &[],
        probes: &[],
        check: By(cut_at_50),
    },
    Entry {
        id: "loop.takes-five-seconds",
        catalogue: "LOOP-02",
        group: Group::Loop,
        statement: "the cut-off happens once, after five seconds, and the caller gets the same errno as if no module had been found",
        source: LIMIT_SOURCE,
        about: About::Kernel,
        cost: Cost::Storm,
        needs: &[],
        probes: &[],
        check: By(takes_five_seconds),
    },
    Entry {
        id: "loop.wording",
        catalogue: "LOOP-03",
        group: Group::Loop,
        statement: "the cut-off is logged as a warning: 'throttling' and 'cannot be processed' up to 6.3, the latter alone since 6.4",
        source: "__request_module() (kernel/kmod.c up to 6.3; kernel/module/kmod.c since 6.4, commit 25a1b5b518f4)",
        about: About::Kernel,
        cost: Cost::Storm,
        needs: &[],
        probes: &["cutoff"],
        check: By(wording),
    },
    Entry {
        id: "loop.message-visible",
        catalogue: "LOOP-04",
        group: Group::Loop,
        statement: "the cut-off message is visible in /dev/kmsg as soon as it is logged",
        source: "pr_warn_ratelimited() without a trailing newline in __request_module(), since 4.13",
        about: About::Kernel,
        cost: Cost::Storm,
        needs: &[],
        probes: &[],
        check: By(message_visible),
    },
    Entry {
        id: "loop.usable-afterwards",
        catalogue: "LOOP-07",
        group: Group::Loop,
        statement: "after a cut-off the next request is served at once",
        source: LIMIT_SOURCE,
        about: About::Kernel,
        cost: Cost::Storm,
        needs: &[],
        probes: &[],
        check: By(usable_afterwards),
    },
    Entry {
        id: "loop.two-names",
        catalogue: "LOOP-08",
        statement: "a recursion through two names shares the one limit",
        source: "MAX_KMOD_CONCURRENT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#limit-not-per-name",
        cost: Cost::Storm,
        check: By(two_names),
        ..LOOP
    },
    Entry {
        id: "loop.retries",
        catalogue: "LOOP-09",
        statement: "while the helpers of a recursion retry, at most 50 helpers exist at any moment, and all requests end",
        source: "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#loop-09",
        cost: Cost::Storm,
        check: By(retries),
        ..LOOP
    },
    Entry {
        id: "loop.nested",
        catalogue: "LOOP-17",
        statement: "a helper that needs a module itself causes one nested request and no loop",
        source: "the kernel's historic kmod text; docs/facts/kernel.md#limit-nested",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("af_alg"), Need::Module("squashfs")],
        check: By(nested),
        ..LOOP
    },
    Entry {
        id: "loop.historic-unix",
        catalogue: "LOOP-19",
        group: Group::Loop,
        statement: "modprobe -s reports a missing modules.dep without causing another request, even if support for Unix sockets is built as a module",
        source: "the kernel's historic kmod text (Owens, 1999): the common runaway loop; docs/facts/kernel.md#limit-unix",
        about: About::Both,
        cost: Cost::Storm,
        needs: &[Need::Config("CONFIG_UNIX=m"), Need::Command("modprobe")],
        probes: &[],
        check: By(historic_unix),
    },
];

fn cut_at_50(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("again", &act_then_exit(vec![unknown_socket()], 1))?;
    lab.observe(unknown_socket())?;
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 50);
    let names: BTreeSet<Vec<u8>> = requested_names(&records).into_iter().collect();
    lab.expect("requested names", List(names.into_iter().collect()), List(vec!["net-pf-3"]));
    Ok(())
}

/// Starts the recursion and returns the result of the socket(2) call that triggered it. The helpers write no records,
/// which would be half of their work.
fn run_into_the_limit(lab: &mut Lab<'_>) -> Result<Observed, LabError> {
    let plan = HelperPlan { record: false, ..act_then_exit(vec![unknown_socket()], 1) };
    lab.helper_as_path("again", &plan)?;
    lab.mark_kmsg()?;
    lab.observe(unknown_socket())
}

fn takes_five_seconds(lab: &mut Lab<'_>) -> Check {
    let socket = run_into_the_limit(lab)?;
    lab.expect("socket(2) with an unknown family", socket.result, errno::EAFNOSUPPORT);
    lab.expect_within("socket(2) duration", socket.millis, 5000..=8000, "ms");
    Ok(())
}

fn wording(lab: &mut Lab<'_>) -> Check {
    run_into_the_limit(lab)?;
    let got: Vec<String> = request_module_lines(lab, true)?;
    let expected: &[&str] = match lab.probe("cutoff")? {
        "wait-queue" => &[THROTTLING, CANNOT_BE_PROCESSED],
        _ => &[CANNOT_BE_PROCESSED],
    };
    lab.expect("request_module log lines", List(got), List(expected.to_vec()));
    Ok(())
}

const THROTTLING: &str = "<4> request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: 50), for module net-pf-3, \
    throttling...";
const CANNOT_BE_PROCESSED: &str = "<4> request_module: modprobe net-pf-3 cannot be processed, kmod busy with 50 threads for \
    more than 5 seconds now";

fn message_visible(lab: &mut Lab<'_>) -> Check {
    run_into_the_limit(lab)?;
    let is_cut_off = |line: &String| line.contains("cannot be processed");
    let before = request_module_lines(lab, false)?;
    lab.expect("visible before the next message", before.iter().any(is_cut_off), true);
    let after = request_module_lines(lab, true)?;
    lab.expect("visible after the next message", after.iter().any(is_cut_off), true);
    Ok(())
}

fn usable_afterwards(lab: &mut Lab<'_>) -> Check {
    let cut_off = run_into_the_limit(lab)?;
    lab.expect_within("recursion duration", cut_off.millis, 5000..=8000, "ms");
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    let socket = lab.observe(unknown_socket())?;
    lab.expect_within("socket(2) duration", socket.millis, 0..=100, "ms");
    let records = lab.records(&helper)?;
    lab.expect("requested names", List(requested_names(&records)), List(vec!["net-pf-3"]));
    Ok(())
}

/// Each of two helpers makes the other one the next helper and repeats the other one's request.
fn two_names(lab: &mut Lab<'_>) -> Check {
    let even = Helper::named("even");
    let odd = act_then_exit(vec![set_path_action(even.path().as_bytes()), mount("zz")], 1);
    let odd = lab.helper("odd", &odd)?;
    let even = act_then_exit(vec![set_path_action(odd.path().as_bytes()), unknown_socket()], 1);
    let even = lab.helper("even", &even)?;
    lab.set_path(odd.path().as_bytes())?;
    lab.mark_kmsg()?;
    let socket = lab.observe(unknown_socket())?;
    lab.expect_within("socket(2) duration", socket.millis, 5000..=8000, "ms");
    for (helper, name) in [(odd, "net-pf-3"), (even, "fs-zz")] {
        let names = requested_names(&lab.records(&helper)?);
        lab.expect(
            &format!("helpers started for {name}"),
            names.iter().filter(|got| *got == name.as_bytes()).count(),
            25,
        );
        lab.expect(&format!("helpers started like those for {name}"), names.len(), 25);
    }
    let lines = request_module_lines(lab, true)?;
    let lines: Vec<String> = lines.into_iter().filter(|line| line.contains("cannot be processed")).collect();
    lab.expect("cut-off messages", List(lines), List(vec![CANNOT_BE_PROCESSED]));
    Ok(())
}

/// Helpers that all repeat their request twice would double in number at each of 50 levels. So the first one that has
/// failed replaces the helper by one that ends at once.
fn retries(lab: &mut Lab<'_>) -> Check {
    let ended = lab.helper("ended", &exit_with(1))?;
    let quick = lab.helper("quick", &act_then_exec(vec![], ended.path()))?;
    let attempts = vec![unknown_socket(), set_path_action(quick.path().as_bytes()), unknown_socket()];
    let again = lab.helper_as_path("again", &act_then_exec(attempts, ended.path()))?;
    let socket = lab.observe(unknown_socket())?;
    lab.expect("socket(2) with an unknown family", socket.result, errno::EAFNOSUPPORT);
    lab.expect_within("socket(2) duration", socket.millis, 10_000..=14_000, "ms");
    let (again, quick, ended) = (lab.records(&again)?, lab.records(&quick)?, lab.records(&ended)?);
    lab.expect("helpers that repeat the request", again.len(), 50);
    lab.expect("helpers of the second attempts", quick.len(), 49);
    let mut started = [again, quick].concat();
    started.sort_by_key(|record| record.time);
    lab.expect("helpers at the same moment", most_at_once(&started, &ended), 50);
    Ok(())
}

/// The helper needs a socket of a family that is a module, and is modprobe otherwise.
fn nested(lab: &mut Lab<'_>) -> Check {
    let inner = lab.helper("inner", &exec_with_modprobe())?;
    let needs = vec![set_path_action(inner.path().as_bytes()), socket(libc::AF_ALG, libc::SOCK_SEQPACKET)];
    let outer = lab.helper_as_path("outer", &HelperPlan { actions: needs, ..exec_with_modprobe() })?;
    lab.mark_kmsg()?;
    // Without a device the mount fails, but its type is known then.
    let mount = lab.observe(mount("squashfs"))?;
    lab.expect("mount(2)", mount.result, errno::ENOENT);
    lab.expect_within("mount(2) duration", mount.millis, 0..=2000, "ms");
    for (helper, name) in [(outer, "fs-squashfs"), (inner, "net-pf-38")] {
        let names = requested_names(&lab.records(&helper)?);
        lab.expect(&format!("requests to {}", helper.path()), List(names), List(vec![name]));
    }
    let states = lab.module_states(&["squashfs", "af_alg"])?;
    lab.expect("squashfs, af_alg", List(states), List(vec!["Live", "Live"]));
    let lines = request_module_lines(lab, true)?;
    lab.expect("request_module log lines", List(lines), List::<&str>(vec![]));
    Ok(())
}

fn exec_with_modprobe() -> HelperPlan {
    act_then_exec(vec![], "/sbin/modprobe")
}

/// Kernels of that time started `modprobe -s`. Current kernels pass `-q` instead, so a wrapper restores the old arguments.
fn historic_unix(lab: &mut Lab<'_>) -> Check {
    let modprobe = "/sbin/modprobe";
    let literal = |text: &str| Arg::Literal(text.as_bytes().to_vec());
    let plan = exec_with(modprobe, vec![literal(modprobe), literal("-s"), literal("--"), Arg::Own(3)]);
    let wrapper = lab.helper_as_path("wrapper", &plan)?;
    let release = lab.pair().release.clone();
    lab.rename(&format!("/lib/modules/{release}"), "/lib/modules/away")?;
    lab.mark_kmsg()?;

    let mount = lab.observe(mount("zz"))?;
    lab.expect("mount(2) with an unknown type", mount.result, errno::ENODEV);
    lab.expect_within("mount(2) duration", mount.millis, 0..=1000, "ms");
    let names = requested_names(&lab.records(&wrapper)?);
    lab.expect("helpers started", names.len(), 1);
    lab.expect("first requested name", names.first().cloned().unwrap_or_default(), "fs-zz");
    let nested = names.iter().filter(|name| name.as_slice() == b"net-pf-1").count();
    lab.expect("requests for net-pf-1", nested, 0);
    let cutoff = request_module_lines(lab, true)?;
    lab.expect("cut-off messages", List(cutoff), List::<&str>(vec![]));
    let messages = lab.kmsg_of_programs()?;
    let messages = messages.iter().map(|record| shown_line(record).replace(&release, "RELEASE")).collect();
    let expected = "<2> modprobe: FATAL: Module fs-zz not found in directory /lib/modules/RELEASE";
    lab.expect("messages in the kernel log", List(messages), List(vec![expected]));
    Ok(())
}

fn request_module_lines(lab: &mut Lab<'_>, flush: bool) -> Result<Vec<String>, LabError> {
    let lines = if flush { lab.kmsg()? } else { lab.kmsg_unflushed()? };
    Ok(lines.iter().map(shown_line).filter(|line| line.contains("request_module")).collect())
}
