//! Results of requests: what callers, the kernel log and the trace show of a helper.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{act_then_exit, exec_with, exit_with, requested_names};
use crate::check::lab::{Lab, LabError, SCRATCH, shown_line};
use crate::check::modules::{finit_flags, load_order};
use crate::check::trigger::{mount, unknown_socket};
use agent::plan::{Arg, End, HelperPlan};
use agent::proto::{Action, Caller, Group, GuestMillis};

pub(super) fn helper_fails(lab: &mut Lab<'_>) -> Check {
    let node = format!("{SCRATCH}/node").into_bytes();
    lab.arrange(Action::Mknod { path: node.clone(), mode: libc::S_IFCHR | 0o600, major: 77, minor: 5 })?;
    lab.load("ip_tables")?;
    // An unsigned module taints the kernel.
    let taints = lab.taints()?;
    lab.mark_kmsg()?;
    let signal = |number| HelperPlan { end: End::Signal(number), ..exit_with(0) };
    let helpers = [
        ("exit 1", exit_with(1)),
        ("exit 255", exit_with(255)),
        ("SIGKILL", signal(libc::SIGKILL)),
        ("SIGSEGV", signal(libc::SIGSEGV)),
    ];
    for (number, (end, plan)) in helpers.iter().enumerate() {
        let helper = lab.helper_as_path(&format!("helper-{number}"), plan)?;
        let open = Action::Open { path: node.clone(), flags: libc::O_RDONLY };
        let callers = [
            ("socket(2)", unknown_socket(), errno::EAFNOSUPPORT),
            ("mount(2)", mount("zz"), errno::ENODEV),
            ("getsockopt(2)", Action::IptGetInfo(b"zz".to_vec()), errno::ENOENT),
            ("open(2)", open, errno::ENXIO),
        ];
        for (call, action, expected) in callers {
            let got = lab.observe(action)?.result;
            lab.expect(&format!("{end}: {call}"), got, expected);
        }
        let names = requested_names(&lab.records(&helper)?);
        let expected = vec!["net-pf-3", "fs-zz", "iptable_zz", "char-major-77-5", "char-major-77"];
        lab.expect(&format!("{end}: requested names"), List(names), List(expected));
    }
    let lines = lab.new_lines()?;
    lab.expect("kernel log", List(lines), List::<&str>(vec![]));
    lab.expect_new_taints("new taint flags", taints, &[])
}

pub(super) fn nothing_loaded(lab: &mut Lab<'_>) -> Check {
    lab.mark_kmsg()?;
    lab.helper_as_path("fails", &exit_with(1))?;
    expect_fsopen(lab, "helper fails", "zz", errno::ENODEV, &[])?;
    let load = |path: String| {
        let flags = finit_flags(&path);
        Action::FinitModule { path: path.into_bytes(), params: Vec::new(), flags }
    };
    let loads = load_order(lab.pair(), "squashfs")?.into_iter().map(load).collect();
    lab.helper_as_path("loads", &act_then_exit(loads, 0))?;
    let opened = lab.observe(Action::Fsopen(b"squashfs".to_vec()))?.result;
    lab.expect("helper loads the file system: fsopen(2)", opened.map(drop).is_ok(), true);
    let lines = lab.new_lines()?;
    let lines = lines.into_iter().filter(|line| line.contains("request_module")).collect();
    lab.expect("helper loads the file system: request_module lines", List(lines), List::<&str>(vec![]));

    let taints = lab.taints()?;
    lab.helper_as_path("nothing", &exit_with(0))?;
    let line = "<4> request_module fs-zz succeeded, but still no fs?";
    expect_fsopen(lab, "helper loads nothing", "zz", errno::ENODEV, &[line])?;
    expect_fsopen(lab, "again", "zz", errno::ENODEV, &[])?;
    expect_fsopen(lab, "another file system", "yy", errno::ENODEV, &[])?;
    lab.expect_new_taints("new taint flags", taints, &[])
}

fn expect_fsopen(
    lab: &mut Lab<'_>,
    what: &str,
    name: &str,
    result: agent::proto::Errno,
    lines: &[&str],
) -> Result<(), LabError> {
    let opened = lab.observe(Action::Fsopen(name.as_bytes().to_vec()))?.result;
    lab.expect(&format!("{what}: fsopen(2)"), opened, result);
    let logged = lab.new_lines()?;
    lab.expect(&format!("{what}: kernel log"), List(logged), List(lines.to_vec()));
    Ok(())
}

/// The number of requests that the kernel serves at the same time.
const LIMIT: u32 = 50;

pub(super) fn trace(lab: &mut Lab<'_>) -> Check {
    lab.trace_requests()?;
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    lab.observe(unknown_socket())?;
    // 55 bytes are the longest name.
    lab.observe(mount(&"f".repeat(53)))?;
    lab.set_path(b"\n")?;
    lab.observe(mount("empty"))?;
    lab.set_path(b"/nonexistent")?;
    lab.observe(mount("zz"))?;
    let calls = lab.traced_calls()?;
    let expected = ["net-pf-3 wait=1 call_site=__sock_create", "fs-zz wait=1 call_site=get_fs_type"];
    lab.expect("traced requests", List(calls), List(expected.to_vec()));
    let names = requested_names(&lab.records(&helper)?);
    lab.expect("requested names", List(names), List(vec!["net-pf-3"]));

    let sleeps = HelperPlan { record: false, ..act_then_exit(vec![Action::Sleep(7_000)], 1) };
    lab.helper_as_path("sleeps", &sleeps)?;
    lab.trace_requests()?;
    let callers = |action, count, after| Group {
        caller: Caller::default(),
        actions: vec![action],
        count,
        after: GuestMillis(after),
        signal: None,
    };
    let jobs = lab.start_all(vec![callers(unknown_socket(), LIMIT, 0), callers(mount("rejected"), 1, 1_000)])?;
    let Some(&rejected) = jobs.last() else {
        return Err(LabError::Unexpected("no jobs".to_owned()));
    };
    let end = lab.wait(rejected, GuestMillis(20_000))?;
    let Some(result) = end.and_then(|end| end.results.into_iter().next()) else {
        return Err(LabError::Unexpected("the caller at the limit did not end".to_owned()));
    };
    lab.expect("at the limit: mount(2)", result.result, errno::ENODEV);
    lab.expect_within("at the limit: duration", result.ended.millis_since(result.began), 5_000..=6_000, "ms");
    let names = lab.traced_requests()?;
    let served = names.iter().filter(|name| *name == b"net-pf-3").count();
    lab.expect("at the limit: traced requests of the callers that it admits", served, LIMIT);
    lab.expect("at the limit: other traced requests", names.len() - served, 0);
    Ok(())
}

pub(super) fn syslog(lab: &mut Lab<'_>) -> Check {
    let modprobe = "/sbin/modprobe";
    let literal = |text: &str| Arg::Literal(text.as_bytes().to_vec());
    let plan = exec_with(modprobe, vec![literal(modprobe), literal("-s"), literal("--"), Arg::Own(3)]);
    let wrapper = lab.helper_as_path("wrapper", &plan)?;
    lab.trace_requests()?;
    lab.mark_kmsg()?;
    let opened = lab.observe(Action::Fsopen(b"zz".to_vec()))?.result;
    lab.expect("fsopen(2)", opened, errno::ENODEV);
    let names = requested_names(&lab.records(&wrapper)?);
    lab.expect("helpers started", List(names), List(vec!["fs-zz"]));
    let traced = lab.traced_requests()?;
    lab.expect("traced requests", List(traced), List(vec!["fs-zz"]));
    let release = lab.pair().release.clone();
    let (records, _) = lab.kmsg_records(true)?;
    let lines: Vec<String> = records.iter().map(|record| shown_line(record).replace(&release, "RELEASE")).collect();
    let expected = "<2> modprobe: FATAL: Module fs-zz not found in directory /lib/modules/RELEASE";
    lab.expect("kernel log", List(lines), List(vec![expected]));
    Ok(())
}

/// The device of test_kmod (lib/test_kmod.c).
const TEST_KMOD: &str = "/sys/devices/virtual/misc/test_kmod0";

pub(super) fn wait_status(lab: &mut Lab<'_>) -> Check {
    lab.load("test_kmod")?;
    lab.write(&format!("{TEST_KMOD}/config_num_threads"), b"1")?;
    lab.write(&format!("{TEST_KMOD}/config_test_driver"), b"zz")?;
    let signal = |number| HelperPlan { end: End::Signal(number), ..exit_with(0) };
    let helpers = [
        ("exit 1", exit_with(1), "256"),
        ("exit 255", exit_with(255), "65280"),
        ("SIGKILL", signal(libc::SIGKILL), "9"),
        ("exit 0", exit_with(0), "0"),
    ];
    for (number, (end, plan, status)) in helpers.iter().enumerate() {
        lab.helper_as_path(&format!("helper-{number}"), plan)?;
        // The write fails if the request does.
        let trigger = format!("{TEST_KMOD}/trigger_config").into_bytes();
        lab.observe(Action::Write { path: trigger, data: b"1".to_vec(), flags: 0 })?;
        let result = lab.read(&format!("{TEST_KMOD}/test_result"))?;
        lab.expect(&format!("result of a helper that ends with {end}"), result.trim_ascii(), *status);
    }
    Ok(())
}
