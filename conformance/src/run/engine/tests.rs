//! The engine with scripted machines.

use crate::catalogue::deviations::{Deviations, Names, Origin};
use crate::catalogue::entry::{About, Cost, Entry, Need};
use crate::run::allowed_findings::AllowedFindings;
use crate::run::event::Event;
use crate::run::gate::Gate;
use crate::run::judge::Judging;
use crate::run::machines::MachineError;
use crate::run::request::{Flow, Request, Selection};
use crate::run::shard::ShardOption;
use crate::run::verdict::{Verdict, exit};
use crate::testing::{ScriptedGuest, ScriptedMachines, entry, finding, request};
use Verdict::{Error, Fail, Known, Pass, Skip};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vm_images::Catalogue;

/// Passes on a guest whose path of modprobe is `/right`.
static READS: Entry = entry("tool.reads", |lab| {
    let path = lab.path()?;
    lab.expect("path", path, "/right");
    Ok(())
});
static SECOND: Entry = Entry { id: "tool.second", ..READS_AGAIN };
static SLOW: Entry = Entry { id: "tool.slow", cost: Cost::Slow, ..READS_AGAIN };
static BOTH: Entry = Entry { id: "tool.both", about: About::Both, ..READS_AGAIN };
static NEEDS: Entry = Entry { id: "tool.needs", needs: &[Need::Command("rmdir")], ..READS_AGAIN };
static PANICS: Entry = entry("tool.panics", |_| panic!("a bug in the check"));
static WITHOUT_FACTS: Entry = entry("tool.without-facts", |_| Ok(()));
const READS_AGAIN: Entry = entry("tool.reads-again", |lab| {
    let path = lab.path()?;
    lab.expect("path", path, "/right");
    Ok(())
});

/// Machines on which the first `count` guests are wrong.
fn wrong_first(count: usize) -> ScriptedMachines {
    let text = move |number| if number < count { "/wrong" } else { "/right" };
    ScriptedMachines::new(move |number| ScriptedGuest::with_files(text(number)))
}

fn with_flow(behaviours: &[&'static Entry], change: impl FnOnce(&mut Flow)) -> Request {
    let mut request = request(behaviours);
    change(&mut request.flow);
    request
}

fn verdicts(machines: &ScriptedMachines, request: &Request) -> Vec<(String, Verdict)> {
    machines.run(request).rows().into_iter().map(|row| (row.id.clone(), row.verdict)).collect()
}

#[test]
fn a_failed_row_is_retried_in_new_guests_and_keeps_its_attempts() {
    let run = wrong_first(2).run(&with_flow(&[&READS], |flow| flow.retries = 4));
    let row = run.row();
    assert_eq!((row.verdict, row.flaky, run.outcome.exit_code), (Pass, true, exit::OK));
    assert_eq!(row.attempts.iter().map(|attempt| attempt.verdict).collect::<Vec<_>>(), [Fail, Fail, Pass]);
    assert_eq!(row.attempts[0].reason.as_deref(), Some("path: expected /right, got /wrong"));

    let machines = wrong_first(5);
    let run = machines.run(&with_flow(&[&READS], |flow| flow.retries = 2));
    assert_eq!((run.row().verdict, run.row().flaky, run.row().attempts.len()), (Fail, false, 3));
    assert_eq!((machines.started(), run.outcome.exit_code), (3, exit::FAILED));
}

#[test]
fn the_reason_shows_a_value_as_its_fact_does() {
    let machines = ScriptedMachines::new(|_| ScriptedGuest::with_files("/wrong\n\x1b"));
    let run = machines.run(&request(&[&READS]));
    let row = run.row();
    assert_eq!(row.facts[0].got, r"/wrong\x0a\x1b");
    assert_eq!(row.reason.as_deref(), Some(r"path: expected /right, got /wrong\x0a\x1b"));
}

#[test]
fn a_repeated_row_passes_only_if_it_passes_each_time() {
    let run = wrong_first(1).run(&with_flow(&[&READS], |flow| flow.repeat = 3));
    let row = run.row();
    assert_eq!((row.verdict, row.flaky, row.attempts.len()), (Fail, true, 3));
    assert_eq!(row.reason.as_deref(), Some("1 of 3 times: path: expected /right, got /wrong"));
    let run = ScriptedMachines::right().run(&with_flow(&[&READS], |flow| (flow.repeat, flow.jobs) = (3, 2)));
    assert_eq!((run.row().verdict, run.row().flaky, run.outcome.counts.pass), (Pass, false, 1));
}

#[test]
fn after_a_failure_fail_fast_starts_nothing_more() {
    let machines = wrong_first(1);
    let run = machines.run(&with_flow(&[&READS, &SECOND, &BOTH], |flow| flow.fail_fast = true));
    let end = run.end();
    assert_eq!((run.rows().len(), machines.started()), (1, 1));
    assert_eq!((end.stopped, end.interrupted, end.not_run, run.outcome.exit_code), (true, false, 2, exit::FAILED));
}

#[test]
fn the_shards_of_a_run_are_its_rows() {
    let all = [&READS, &SECOND, &BOTH];
    let machines = || ScriptedMachines::right().kernels(&["6.1", "6.12"]).subjects(&["ours", "busybox"]);
    let part = |shard: &str| {
        let selection = Selection { behaviours: all.to_vec(), shard: shard.parse::<ShardOption>().unwrap().0 };
        let run = machines().run(&Request { selection, ..request(&all) });
        run.rows().iter().map(|row| row.position).collect::<Vec<_>>()
    };
    let mut together = [part("1/3"), part("2/3"), part("3/3")].concat();
    together.sort_unstable();
    let mut whole = part("all");
    whole.sort_unstable();
    // Two behaviours of the kernel, and one that runs with each subject.
    assert_eq!((together.len(), &together), (2 * (2 + 2), &whole));
}

#[test]
fn a_kernel_without_rows_in_the_shard_is_not_prepared() {
    let machines = ScriptedMachines::right().kernels(&["6.1", "6.12"]).preparing(|kernel| {
        assert_eq!(kernel, 1);
        Ok(())
    });
    let selection = Selection { behaviours: vec![&READS], shard: "2/2".parse::<ShardOption>().unwrap().0 };
    let run = machines.run(&Request { selection, ..request(&[]) });
    assert_eq!((run.row().verdict, run.row().kernel.name.as_str()), (Pass, "6.12"));
}

#[test]
fn a_seed_gives_the_same_order_again_and_the_default_order_begins_with_expensive_rows() {
    let order = |seed| {
        let all = [&READS, &SECOND, &BOTH, &SLOW];
        let machines = ScriptedMachines::right().kernels(&["6.1", "6.12"]);
        verdicts(&machines, &with_flow(&all, |flow| flow.seed = seed))
    };
    assert_eq!(order(Some(1)), order(Some(1)));
    assert!((2..8).any(|seed| order(Some(seed)) != order(Some(1))));
    assert_eq!(order(None)[0].0, "tool.slow");
}

fn deviations(instead: &str) -> Judging {
    let names = Names {
        behaviours: vec!["tool.reads".to_owned()],
        subjects: vec!["ours".to_owned()],
        ..Names::new(&Catalogue::builtin().unwrap())
    };
    let table = format!(
        "[[deviation]]\nbehaviour = \"tool.reads\"\nfact = \"path\"\nsubject = \"ours\"\ninstead = \"{instead}\"\n\
         reason = \"it is known\"\n"
    );
    let deviations = Deviations::parse("known.toml", &table, Origin::User, &names).unwrap();
    Judging { deviations, ..Judging::default() }
}

#[test]
fn a_subject_that_is_like_another_one_is_judged_by_its_deviations() {
    let names = Names { behaviours: vec!["tool.both".to_owned()], ..Names::new(&Catalogue::builtin().unwrap()) };
    let table = "[[deviation]]\nbehaviour = \"tool.both\"\nfact = \"path\"\nsubject = \"kmod-*\"\n\
        instead = \"/wrong\"\nreason = \"it is known\"\nreference = \"a test\"\n";
    let deviations = Deviations::parse("shipped.toml", table, Origin::Shipped, &names).unwrap();
    let verdict = |machines: ScriptedMachines, like: &[(&str, &str)]| {
        let like = like.iter().map(|(subject, like)| ((*subject).to_owned(), (*like).to_owned())).collect();
        let judging = Judging { deviations: deviations.clone(), like, ..Judging::default() };
        machines.subjects(&["./mine"]).run(&Request { judging, ..request(&[&BOTH]) }).row().verdict
    };
    assert_eq!(verdict(wrong_first(1), &[]), Fail);
    assert_eq!(verdict(wrong_first(1), &[("./mine", "kmod-34")]), Known);
    assert_eq!(verdict(wrong_first(1), &[("./mine", "busybox")]), Fail);
    // It is right where the other one deviates, which is not a failure.
    assert_eq!(verdict(ScriptedMachines::right(), &[("./mine", "kmod-34")]), Pass);
}

#[test]
fn a_listed_mismatch_is_known_an_unlisted_one_fails_and_a_stale_entry_fails() {
    let run = |machines: ScriptedMachines, instead| {
        let run = machines.run(&Request { judging: deviations(instead), ..request(&[&READS, &SECOND]) });
        let row = run.rows().into_iter().find(|row| row.id == "tool.reads").unwrap();
        (row.verdict, row.reason.clone().unwrap_or_default(), run.outcome.exit_code)
    };
    assert_eq!(run(wrong_first(1), "/wrong"), (Known, "it is known".to_owned(), exit::OK));
    let (verdict, reason, code) = run(wrong_first(1), "/other");
    assert_eq!((verdict, code), (Fail, exit::FAILED));
    assert!(reason.starts_with("path: expected /right, got /wrong"), "{reason}");
    let (verdict, reason, code) = run(ScriptedMachines::right(), "/wrong");
    assert_eq!((verdict, code), (Fail, exit::FAILED));
    assert!(reason.contains("known.toml:1"), "{reason}");
}

#[test]
fn a_retry_after_a_finding_of_the_boot_uses_a_new_boot() {
    let boot = |number| Ok(if number == 0 { vec![finding("WARNING: a")] } else { Vec::new() });
    let run = ScriptedMachines::right().booting(boot).run(&with_flow(&[&READS], |flow| flow.retries = 1));
    let row = run.row();
    assert_eq!((row.verdict, row.flaky), (Pass, true));
    assert_eq!(row.attempts[0].reason.as_deref(), Some("on the console: while booting: warning: WARNING: a"));
    assert_eq!(run.notes(), ["kernel 6.1 with ours: booted again for a retry"]);
}

#[test]
fn a_row_whose_boot_cannot_be_repeated_is_not_retried() {
    let reason = "the disk is full".to_owned();
    let error = MachineError { reason, boot_failed: false };
    let boot = move |number| if number == 0 { Ok(vec![finding("WARNING: a")]) } else { Err(error.clone()) };
    let machines = ScriptedMachines::right().booting(boot);
    let run = machines.run(&with_flow(&[&READS], |flow| flow.retries = 3));
    assert_eq!((run.row().verdict, machines.started()), (Fail, 1));
    assert_eq!(run.notes(), ["kernel 6.1 with ours: cannot boot again for a retry: the disk is full"]);
}

#[test]
fn a_preparation_that_panics_is_an_error_of_its_rows_only() {
    let machines = ScriptedMachines::right().kernels(&["6.1", "6.12"]).preparing(|kernel| {
        assert!(kernel != 0, "a bug in the preparation");
        Ok(())
    });
    let run = machines.run(&request(&[&READS, &SECOND]));
    let rows: Vec<_> = run.rows().iter().map(|row| (row.kernel.name.clone(), row.verdict)).collect();
    let (first, second) = ("6.1".to_owned(), "6.12".to_owned());
    assert_eq!(rows, [(first.clone(), Error), (first, Error), (second.clone(), Pass), (second, Pass)]);
    assert_eq!(run.rows()[0].reason.as_deref(), Some("kmodlab panicked: a bug in the preparation"));
    assert_eq!(run.outcome.exit_code, exit::INCONCLUSIVE);
}

#[test]
fn an_interrupted_run_reports_the_row_and_the_number_of_missing_ones() {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    let machines = ScriptedMachines::new(move |_| {
        set.store(true, Ordering::SeqCst);
        ScriptedGuest::silent()
    });
    let run = machines.run_until(&with_flow(&[&READS, &SECOND, &BOTH], |flow| flow.retries = 5), &stop);
    assert_eq!((run.row().verdict, run.row().reason.as_deref()), (Error, Some("interrupted")));
    assert_eq!((run.end().interrupted, run.end().not_run, run.outcome.exit_code), (true, 2, exit::INCONCLUSIVE));
}

#[test]
fn a_guest_that_does_not_answer_is_an_error_and_its_check_is_not_run() {
    let run = ScriptedMachines::new(|_| ScriptedGuest::silent()).run(&request(&[&PANICS]));
    let row = run.row();
    assert_eq!((row.verdict, row.guest_ms), (Error, None));
    assert_eq!(row.reason.as_deref(), Some("before the check: the agent did not answer"));
    assert_eq!(row.console, ["a line of the console"]);
}

#[test]
fn a_finding_fails_a_row_whose_facts_are_right_unless_it_is_allowed() {
    let machines = || ScriptedMachines::new(|_| ScriptedGuest::with_files("/right").with_finding("WARNING: late"));
    let run = machines().run(&request(&[&READS]));
    let row = run.row();
    assert_eq!((row.verdict, row.findings[0].boot), (Fail, false));
    assert_eq!(row.reason.as_deref(), Some("on the console: warning: WARNING: late"));

    let list = "[[finding]]\nreleases = \"*\"\nkind = \"warning\"\ntitle = \"WARNING: late\"\nreason = \"why\"\n";
    let judging = Judging { allowed: AllowedFindings::parse("list", list).unwrap(), ..Judging::default() };
    let run = machines().run(&Request { judging, ..request(&[&READS]) });
    assert_eq!((run.row().verdict, run.row().findings[0].allowed.as_deref()), (Pass, Some("why")));
}

#[test]
fn the_findings_of_a_booted_guest_are_those_of_its_boot() {
    let guest = |_| ScriptedGuest::with_files("/right").with_boot_finding("WARNING: a").with_finding("WARNING: b");
    let run = ScriptedMachines::new(guest).run(&request(&[&READS]));
    let findings: Vec<_> = run.row().findings.iter().map(|finding| (finding.title.as_str(), finding.boot)).collect();
    assert_eq!(findings, [("WARNING: a", true), ("WARNING: b", false)]);
}

#[test]
fn a_guest_that_does_not_shut_down_as_planned_is_an_error() {
    let guest = |_| ScriptedGuest::with_files("/right").ending_unplanned();
    let run = ScriptedMachines::new(guest).run(&request(&[&READS]));
    let reason = "the guest did not shut down as planned: unexpected power-off by the guest";
    assert_eq!((run.row().verdict, run.row().reason.as_deref()), (Error, Some(reason)));
}

#[test]
fn a_row_without_evidence_is_an_error() {
    let rows = verdicts(&ScriptedMachines::right(), &request(&[&PANICS, &WITHOUT_FACTS]));
    assert_eq!(rows, [("tool.panics".to_owned(), Error), ("tool.without-facts".to_owned(), Error)]);
}

#[test]
fn a_row_with_an_unmet_need_is_skipped_without_a_guest() {
    let machines = ScriptedMachines::right();
    let run = machines.run(&request(&[&NEEDS]));
    assert_eq!((run.row().verdict, run.row().reason.as_deref()), (Skip, Some("needs a subject with rmdir")));
    assert_eq!((machines.started(), run.outcome.exit_code), (0, exit::INCONCLUSIVE));
}

#[test]
fn a_run_that_skips_what_it_requires_is_not_a_success() {
    let run = |gate| ScriptedMachines::right().run(&Request { gate, ..request(&[&READS, &NEEDS]) });
    let code = |gate| run(gate).outcome.exit_code;
    assert_eq!(code(Gate::default()), exit::OK);
    assert_eq!(code(Gate { required: vec![&READS], max_skips: Some(1) }), exit::OK);
    assert_ne!(code(Gate { required: vec![&NEEDS], max_skips: None }), exit::OK);
    assert_ne!(code(Gate { required: Vec::new(), max_skips: Some(0) }), exit::OK);
}

#[test]
fn a_kernel_that_does_not_boot_is_an_error_or_on_request_a_failure() {
    let error = |boot_failed| MachineError { reason: "the agent did not answer".to_owned(), boot_failed };
    let run = |machines: ScriptedMachines, boot_failure_fails| {
        let judging = Judging { boot_failure_fails, ..Judging::default() };
        machines.run(&Request { judging, ..request(&[&READS]) }).row().verdict
    };
    let without_boot = |boot_failed| ScriptedMachines::right().booting(move |_| Err(error(boot_failed)));
    let without_guests = |boot_failed| ScriptedMachines::right().without_guests(error(boot_failed));
    assert_eq!((run(without_boot(true), false), run(without_boot(true), true)), (Error, Fail));
    assert_eq!((run(without_guests(true), false), run(without_guests(true), true)), (Error, Fail));
    assert_eq!((run(without_boot(false), true), run(without_guests(false), true)), (Error, Error));
}

#[test]
fn a_kernel_that_is_left_out_is_reported_and_has_no_rows() {
    let run = ScriptedMachines::right().kernels(&["!6.12", "6.1"]).run(&request(&[&READS]));
    let skipped = |event: &Event| matches!(event, Event::KernelSkipped(kernel) if kernel.name == "6.12");
    assert!(run.events.iter().any(skipped));
    assert_eq!((run.row().position, run.end().not_run, run.outcome.exit_code), ((1, 0, 0), 0, exit::OK));
}

#[test]
fn the_console_of_each_attempt_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let keep = Some(dir.path().join("consoles"));
    wrong_first(1).run(&Request { keep, ..with_flow(&[&READS], |flow| flow.retries = 1) });
    let mut names: Vec<_> =
        std::fs::read_dir(dir.path().join("consoles")).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["tool.reads-6.1-ours-2.console", "tool.reads-6.1-ours.console"]);
}
