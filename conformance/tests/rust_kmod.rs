//! `request_module()` in Rust as a live patch of the kernel 7.3: its policies, the messages about failed helpers, and that
//! removing it restores the C code. `ci/rust-kmod` builds the module and runs these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use agent::proto::{Action, Group, GuestMillis};
use conformance::catalogue::entry::Entry;
use conformance::check::errno;
use conformance::check::fact::List;
use conformance::check::helper::{Helper, act_then_exit, exit_with, requested_names};
use conformance::check::lab::{Lab, LabError, set_path_action, shown_line};
use conformance::check::trigger::{mount, unknown_socket};
use conformance::run::verdict::Verdict;
use std::time::Duration;
use support::lab::{Setup, entry, run};

const KERNEL: &str = "7.3";
const STOPPED: &str = "<3> kmod: runaway modprobe loop assumed and stopped";

fn lines_with(lab: &mut Lab<'_>, text: &str) -> Result<Vec<String>, LabError> {
    Ok(lab.kmsg()?.iter().map(shown_line).filter(|line| line.contains(text)).collect())
}

const RECURSION: Entry = entry("tool.recursion", "a recursion of one name ends after three helpers", |lab| {
    let helper = lab.helper_as_path("again", &act_then_exit(vec![unknown_socket()], 1))?;
    lab.mark_kmsg()?;
    let socket = lab.observe(unknown_socket())?;
    lab.expect("socket(2) with an unknown family", socket.result, errno::EAFNOSUPPORT);
    lab.expect_within("socket(2) duration", socket.millis, 0..=50, "ms");
    let started = lab.records(&helper)?.len();
    lab.expect("helpers started", started, 3);
    let lines = lines_with(lab, "runaway")?;
    lab.expect("messages", List(lines), List(vec![STOPPED]));
    Ok(())
});

const TWO_NAMES: Entry = entry("tool.two-names", "a recursion of two names in turn ends after six helpers", |lab| {
    let even = Helper::named("even");
    let odd = act_then_exit(vec![set_path_action(even.path().as_bytes()), mount("zz")], 1);
    let odd = lab.helper("odd", &odd)?;
    let even = act_then_exit(vec![set_path_action(odd.path().as_bytes()), unknown_socket()], 1);
    let even = lab.helper("even", &even)?;
    lab.set_path(odd.path().as_bytes())?;
    lab.mark_kmsg()?;
    let socket = lab.observe(unknown_socket())?;
    lab.expect_within("socket(2) duration", socket.millis, 0..=50, "ms");
    let started = lab.records(&odd)?.len() + lab.records(&even)?.len();
    lab.expect("helpers started", started, 6);
    let lines = lines_with(lab, "runaway")?;
    lab.expect("messages", List(lines), List(vec![STOPPED]));
    Ok(())
});

const NESTED: Entry = entry("tool.nested", "a nested request for another name is not refused", |lab| {
    let inner = lab.helper("inner", &exit_with(1))?;
    let outer = act_then_exit(vec![set_path_action(inner.path().as_bytes()), mount("zz")], 1);
    let outer = lab.helper_as_path("outer", &outer)?;
    lab.mark_kmsg()?;
    lab.observe(unknown_socket())?;
    for (helper, name) in [(outer, "net-pf-3"), (inner, "fs-zz")] {
        let names = requested_names(&lab.records(&helper)?);
        lab.expect(&format!("requests to {}", helper.path()), List(names), List(vec![name]));
    }
    let lines = lines_with(lab, "runaway")?;
    lab.expect("messages", List(lines), List::<&str>(vec![]));
    Ok(())
});

const STORM: Entry = entry("tool.storm", "none of 200 parallel requests for one name is refused", |lab| {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    lab.mark_kmsg()?;
    let group = Group { actions: vec![unknown_socket()], count: 200, after: GuestMillis(500), ..Group::default() };
    lab.run_all(vec![group])?;
    let started = lab.records(&helper)?.len();
    lab.expect("helpers started", started, 200);
    let lines = lines_with(lab, "runaway")?;
    lab.expect("messages", List(lines), List::<&str>(vec![]));
    Ok(())
});

const FAILURES: Entry =
    entry("tool.failures", "the failure of a helper is logged with its name and call site", |lab| {
        let quick = lab.helper("quick", &exit_with(7))?;
        lab.mark_kmsg()?;
        lab.set_path(quick.path().as_bytes())?;
        lab.observe(unknown_socket())?;
        lab.set_path(b"/nonexistent")?;
        lab.observe(mount("zz"))?;
        let lines = lines_with(lab, "the helper for")?;
        // An offset and a size follow the name of the function.
        let shown = lines.iter().map(|line| line.split('+').next().unwrap_or_default().to_owned()).collect();
        let expected = vec![
            "<4> request_module: the helper for net-pf-3 exited with status 7, requested by __sock_create",
            "<4> request_module: the helper for fs-zz cannot be executed, errno 2, requested by get_fs_type",
        ];
        lab.expect("messages", List(shown), List(expected));
        Ok(())
    });

const REMOVAL: Entry = entry("tool.removal", "removing the module restores the C code", |lab| {
    const PATCH: &str = "/sys/kernel/livepatch/rust_kmod";
    let exists = |lab: &mut Lab<'_>| lab.observe(Action::Stat(PATCH.into())).map(|stat| stat.result.is_ok());
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    lab.observe(unknown_socket())?;
    let patched = exists(lab)?;
    lab.expect("the patch is active", patched, true);
    lab.write(&format!("{PATCH}/enabled"), b"0")?;
    for _ in 0..600 {
        if !exists(lab)? {
            break;
        }
        lab.arrange(Action::Sleep(100))?;
    }
    let patched = exists(lab)?;
    lab.expect("the patch is active after it was disabled", patched, false);
    // The patch lets its module go a moment after it has disappeared.
    for _ in 0..50 {
        if lab.observe(Action::DeleteModule { name: b"rust_kmod".to_vec(), flags: 0 })?.result.is_ok() {
            break;
        }
        lab.arrange(Action::Sleep(100))?;
    }
    let states = lab.module_states(&["rust_kmod"])?;
    lab.expect("rust_kmod", List(states), List(vec!["absent"]));
    lab.observe(unknown_socket())?;
    let names = requested_names(&lab.records(&helper)?);
    lab.expect("requested names", List(names), List(vec!["net-pf-3", "net-pf-3"]));
    Ok(())
});

/// Runs the checks with these options of the live patch; each must pass.
fn passes(options: &str, mark: &str, behaviours: Vec<&'static Entry>) {
    if std::env::var_os("KMODLAB_RUST_KMOD").is_none() {
        eprintln!("skipped: ci/rust-kmod builds the live patch and sets KMODLAB_RUST_KMOD");
        return;
    }
    if !support::vm_or_skip() {
        return;
    }
    let limit = Duration::from_secs(600);
    let setup = Setup { kernel: KERNEL, live_patch: Some(options), mark, limit, ..Setup::default() };
    for row in run(behaviours, &setup) {
        let facts: Vec<String> = row.facts.iter().map(|fact| format!("{}: {}", fact.name, fact.got)).collect();
        assert_eq!(row.verdict, Verdict::Pass, "{}: {:?} {facts:#?}", row.id, row.reason);
    }
}

#[test]
fn ancestry_ends_a_recursion_early_and_refuses_no_other_request() {
    passes("ancestry,errors", "kmodlab.ancestry", vec![&RECURSION, &TWO_NAMES, &NESTED, &STORM, &FAILURES]);
}

#[test]
fn removing_the_module_restores_the_c_code() {
    passes("stock", "kmodlab.removal", vec![&REMOVAL]);
}
