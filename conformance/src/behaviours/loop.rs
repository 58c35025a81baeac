//! The limit on concurrent requests: where a loop is cut, how long that takes, what is said of it.
//!
//! The loop is made by a helper that repeats the request which started it.

use crate::behaviour::{About, Behaviour, Check, Group, Need};
use crate::era::CutOff;
use crate::errno;
use crate::fact::Many;
use crate::helper::{acts, asked, becomes_with, exits};
use crate::lab::{Lab, LabError, Observed, shown_line};
use crate::trigger::{absent_socket, mount};
use agent::plan::{Arg, Plan};
use std::collections::BTreeSet;

const LIMIT_SOURCE: &str =
    "MAX_KMOD_CONCURRENT and MAX_KMOD_ALL_BUSY_TIMEOUT (kernel/kmod.c; kernel/module/kmod.c since 6.4)";

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        id: "loop.cut-at-50",
        catalogue: "LOOP-01",
        group: Group::Loop,
        statement: "a helper that asks again for what it was started for is cut off at 50 helpers",
        source: LIMIT_SOURCE,
        about: About::Kernel,
        needs: &[],
        check: cut_at_50,
    },
    Behaviour {
        id: "loop.takes-five-seconds",
        catalogue: "LOOP-02",
        group: Group::Loop,
        statement: "the cut-off comes after five seconds, once, and the caller gets its usual errno",
        source: LIMIT_SOURCE,
        about: About::Kernel,
        needs: &[],
        check: takes_five_seconds,
    },
    Behaviour {
        id: "loop.wording",
        catalogue: "LOOP-03",
        group: Group::Loop,
        statement: "the cut-off is told as a warning in its era's words: to 6.3 throttling and cannot be processed, then the latter",
        source: "__request_module() (kernel/kmod.c to 6.3; kernel/module/kmod.c since 6.4, commit 25a1b5b518f4)",
        about: About::Kernel,
        needs: &[],
        check: wording,
    },
    Behaviour {
        id: "loop.line-reaches-readers",
        catalogue: "LOOP-04",
        group: Group::Loop,
        statement: "the cut-off's line reaches a reader of /dev/kmsg when it is written",
        source: "pr_warn_ratelimited() without a final newline in __request_module(), since 4.13",
        about: About::Kernel,
        needs: &[],
        check: line_reaches_readers,
    },
    Behaviour {
        id: "loop.usable-afterwards",
        catalogue: "LOOP-07",
        group: Group::Loop,
        statement: "after a cut-off the next request runs at once",
        source: LIMIT_SOURCE,
        about: About::Kernel,
        needs: &[],
        check: usable_afterwards,
    },
    Behaviour {
        id: "loop.historic-unix",
        catalogue: "LOOP-19",
        group: Group::Loop,
        statement: "modprobe -s without modules.dep and without Unix sockets reports its error and asks for nothing itself",
        source: "the kernel's historic kmod text (Owens, 1999): the common runaway loop; docs/facts/kernel.md#limit-unix",
        about: About::Both,
        needs: &[Need::Config("CONFIG_UNIX=m"), Need::Command("modprobe")],
        check: historic_unix,
    },
];

fn cut_at_50(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("again", &acts(vec![absent_socket()], 1))?;
    lab.observe(absent_socket())?;
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 50);
    let names: BTreeSet<Vec<u8>> = asked(&records).into_iter().collect();
    lab.expect("asked", Many(names.into_iter().collect()), Many(vec!["net-pf-3"]));
    Ok(())
}

/// Starts the loop, and returns how the socket call that began it went. The helpers leave no records, which would
/// be half of their work.
fn run_into_the_limit(lab: &mut Lab<'_>) -> Result<Observed, LabError> {
    let plan = Plan { record: false, ..acts(vec![absent_socket()], 1) };
    lab.helper_as_path("again", &plan)?;
    lab.mark_kmsg()?;
    lab.observe(absent_socket())
}

fn takes_five_seconds(lab: &mut Lab<'_>) -> Check {
    let socket = run_into_the_limit(lab)?;
    lab.expect("socket(2) of an absent family", socket.result, errno::EAFNOSUPPORT);
    lab.expect_within("socket(2) takes", socket.millis, 5000..=8000, "ms");
    Ok(())
}

fn wording(lab: &mut Lab<'_>) -> Check {
    run_into_the_limit(lab)?;
    let got: Vec<String> = request_module_lines(lab, true)?;
    let expected: &[&str] = match lab.eras().cutoff {
        CutOff::WaitQueue => &[THROTTLING, CANNOT_BE_PROCESSED],
        CutOff::Semaphore => &[CANNOT_BE_PROCESSED],
    };
    lab.expect("lines of request_module", Many(got), Many(expected.to_vec()));
    Ok(())
}

const THROTTLING: &str = "<4> request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: 50), for module net-pf-3, \
    throttling...";
const CANNOT_BE_PROCESSED: &str = "<4> request_module: modprobe net-pf-3 cannot be processed, kmod busy with 50 threads for \
    more than 5 seconds now";

fn line_reaches_readers(lab: &mut Lab<'_>) -> Check {
    lab.known("the line lacks its newline, so that a reader sees it only with the next line (since 4.13)");
    run_into_the_limit(lab)?;
    let is_cut = |line: &String| line.contains("cannot be processed");
    let before = request_module_lines(lab, false)?;
    lab.expect("seen before the next line", before.iter().any(is_cut), false);
    let after = request_module_lines(lab, true)?;
    lab.expect("seen after the next line", after.iter().any(is_cut), true);
    Ok(())
}

fn usable_afterwards(lab: &mut Lab<'_>) -> Check {
    let cut_off = run_into_the_limit(lab)?;
    lab.expect_within("the loop takes", cut_off.millis, 5000..=8000, "ms");
    let helper = lab.helper_as_path("log", &exits(1))?;
    let socket = lab.observe(absent_socket())?;
    lab.expect_within("socket(2) takes", socket.millis, 0..=100, "ms");
    let records = lab.records(&helper)?;
    lab.expect("asked", Many(asked(&records)), Many(vec!["net-pf-3"]));
    Ok(())
}

/// The kernels of that time started `modprobe -s`; today's pass `-q`, so a wrapper puts that back.
fn historic_unix(lab: &mut Lab<'_>) -> Check {
    let modprobe = "/sbin/modprobe";
    let literal = |text: &str| Arg::Literal(text.as_bytes().to_vec());
    let plan = becomes_with(modprobe, vec![literal(modprobe), literal("-s"), literal("--"), Arg::Own(3)]);
    let wrapper = lab.helper_as_path("wrapper", &plan)?;
    let release = lab.pair().release.clone();
    lab.rename(&format!("/lib/modules/{release}"), "/lib/modules/away")?;
    lab.mark_kmsg()?;

    let mount = lab.observe(mount("zz"))?;
    lab.expect("mount(2) of an absent type", mount.result, errno::ENODEV);
    let asked = asked(&lab.records(&wrapper)?);
    let cutoff = request_module_lines(lab, true)?;
    if lab.pair().subject.starts_with("kmod-") {
        lab.known("its syslog(3) opens a Unix socket, which asks the kernel for net-pf-1: the historic loop");
        lab.expect("helpers started", asked.len(), 50);
        lab.expect("first asked", asked.first().cloned().unwrap_or_default(), "fs-zz");
        let nested = asked.iter().filter(|name| name.as_slice() == b"net-pf-1").count();
        lab.expect("of them for net-pf-1", nested, 49);
        lab.expect_within("mount(2) takes", mount.millis, 5000..=8000, "ms");
        lab.expect("cut-off told", cutoff.iter().any(|line| line.contains("net-pf-1 cannot be processed")), true);
        return Ok(());
    }
    lab.expect("asked", Many(asked), Many(vec!["fs-zz"]));
    lab.expect_within("mount(2) takes", mount.millis, 0..=1000, "ms");
    lab.expect("cut-off told", Many(cutoff), Many::<&str>(vec![]));
    let (records, _) = lab.kmsg_records(true)?;
    let said: Vec<String> = records
        .iter()
        .filter(|record| record.facility != 0)
        .map(|record| shown_line(record).replace(&release, "RELEASE"))
        .collect();
    let expected = "<2> modprobe: FATAL: Module fs-zz not found in directory /lib/modules/RELEASE";
    lab.expect("said in the kernel's log", Many(said), Many(vec![expected]));
    Ok(())
}

fn request_module_lines(lab: &mut Lab<'_>, flush: bool) -> Result<Vec<String>, LabError> {
    let lines = if flush { lab.kmsg()? } else { lab.kmsg_unflushed()? };
    Ok(lines.iter().map(shown_line).filter(|line| line.contains("request_module")).collect())
}
