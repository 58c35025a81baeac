//! The lab with a scripted guest.

use super::*;
use crate::testing::{ScriptedGuest, pair};
use agent::proto::KmsgRecord;
use std::time::Duration;

/// Carries out a step of a check on a guest that answers like this.
fn step<T>(
    answer: impl FnMut(&Request) -> Result<Reply, GuestError> + 'static,
    step: impl FnOnce(&mut Lab<'_>) -> Result<T, LabError>,
) -> Result<T, String> {
    let (mut guest, pair) = (ScriptedGuest::answering(answer), pair("6.1", "ours"));
    let mut lab = Lab::new(&mut guest, &pair, Instant::now() + Duration::from_secs(60));
    step(&mut lab).map_err(|error| error.to_string())
}

/// Answers as a guest in which every action ends like this.
fn job_ending(end: JobEnd) -> impl FnMut(&Request) -> Result<Reply, GuestError> {
    move |request| match request {
        Request::Start { .. } => Ok(Reply::Started(vec![JobId(0)])),
        _ => Ok(Reply::Finished(end.clone())),
    }
}

fn result(result: Result<Value, Errno>, began: u64, ended: u64) -> JobEnd {
    let (began, ended) = (agent::proto::GuestMicros(began), agent::proto::GuestMicros(ended));
    JobEnd { results: vec![ActionResult { result, began, ended }], ..JobEnd::default() }
}

#[test]
fn no_request_is_sent_after_the_time_limit_of_the_behaviour() {
    let mut guest = ScriptedGuest::answering(|_| panic!("a request was sent"));
    let pair = pair("6.1", "ours");
    let mut lab = Lab::new(&mut guest, &pair, Instant::now());
    assert!(matches!(lab.ask(&Request::Clock), Err(LabError::TimeUp(_))));
}

#[test]
fn a_guest_that_is_lost_or_crashes_ends_the_check() {
    let lost = |_: &Request| Err(GuestError::Lost("the agent did not answer".to_owned()));
    assert_eq!(step(lost, |lab| lab.path().map(drop)), Err("the agent did not answer".to_owned()));
    let crashed = |_: &Request| Err(GuestError::Crashed("on the console: panic".to_owned()));
    assert_eq!(step(crashed, |lab| lab.path().map(drop)), Err("the guest crashed: on the console: panic".to_owned()));
}

#[test]
fn a_refused_step_of_the_set_up_is_an_error_that_names_it() {
    let refused = job_ending(result(Err(Errno(libc::EPERM)), 0, 0));
    let error = step(refused, |lab| lab.arrange(Action::Umount(b"/mnt".to_vec(), 0)));
    assert_eq!(error, Err("set-up failed: cannot unmount /mnt: EPERM".to_owned()));
}

#[test]
fn a_refused_observation_is_a_value_with_its_duration() {
    let refused = job_ending(result(Err(Errno(libc::ENODEV)), 1_000, 6_500));
    let observed = step(refused, |lab| lab.observe(Action::Umount(b"/mnt".to_vec(), 0)));
    assert_eq!(observed, Ok(Observed { result: Err(Errno(libc::ENODEV)), millis: 5 }));
}

#[test]
fn a_job_without_a_result_is_an_error_that_says_how_it_ended() {
    let killed = JobEnd { killed_by: Some(9), ..JobEnd::default() };
    let error = step(job_ending(killed), |lab| lab.observe(Action::Sleep(1)));
    assert_eq!(error, Err("set-up failed: killed by signal 9 without a result: sleep for 1 ms".to_owned()));
}

#[test]
fn an_action_or_a_job_that_does_not_end_is_a_wrong_fact() {
    let still_running = |request: &Request| match request {
        Request::Start { .. } => Ok(Reply::Started(vec![JobId(0)])),
        _ => Ok(Reply::StillRunning),
    };
    let (mut guest, pair) = (ScriptedGuest::answering(still_running), pair("6.1", "ours"));
    let mut lab = Lab::new(&mut guest, &pair, Instant::now() + Duration::from_secs(60));
    assert!(matches!(lab.observe(Action::Sleep(1)), Err(LabError::Hung)));
    assert!(matches!(lab.wait_for(JobId(0)), Err(LabError::Hung)));
    let facts: Vec<String> = lab.into_facts().iter().map(|fact| fact.mismatch()).collect();
    let hung = "expected a result, got no result after 60000 ms";
    assert_eq!(facts, [format!("sleep for 1 ms: {hung}"), format!("a job: {hung}")]);
}

#[test]
fn a_failure_of_the_agent_and_an_unexpected_reply_are_errors() {
    let failed = |_: &Request| Ok(Reply::Failed("fork: EAGAIN".to_owned()));
    let error = step(failed, |lab| lab.observe(Action::Sleep(1)));
    assert_eq!(error, Err("the agent cannot start a job: fork: EAGAIN".to_owned()));
    let unexpected = |_: &Request| Ok(Reply::Done);
    let error = step(unexpected, |lab| lab.observe(Action::Sleep(1)));
    assert_eq!(error, Err("the agent cannot start a job: unexpected reply".to_owned()));
}

#[test]
fn a_kernel_without_the_trace_event_does_not_meet_a_need() {
    let missing = |_: &Request| Ok(Reply::Missing("tracefs".to_owned()));
    let error = step(missing, |lab| lab.trace_requests().map(|()| true));
    let reason = "needs the trace event module/module_request (the kernel does not have tracefs)";
    assert_eq!(error, Err(reason.to_owned()));
    let failed = |_: &Request| Ok(Reply::Failed("EBUSY".to_owned()));
    assert_eq!(
        step(failed, |lab| lab.trace_requests().map(|()| true)),
        Err("the agent cannot trace requests: EBUSY".to_owned())
    );
}

#[test]
fn a_kernel_log_with_lost_records_is_an_error() {
    let lost = |_: &Request| Ok(Reply::Kmsg { records: Vec::new(), next: 9, lost: true });
    assert!(step(lost, |lab| lab.kmsg().map(|lines| lines.len())).is_err_and(|error| error.contains("overwritten")));
}

#[test]
fn a_mark_can_follow_lost_records() {
    let lost = |_: &Request| Ok(Reply::Kmsg { records: Vec::new(), next: 9, lost: true });
    assert_eq!(step(lost, |lab| lab.mark_kmsg().map(|()| true)), Ok(true));
}

#[test]
fn only_the_lines_of_the_kernel_after_the_mark_are_returned() {
    let record = |seq, facility, text: &str| KmsgRecord {
        seq,
        level: 4,
        facility,
        time: agent::proto::GuestMicros(seq),
        text: text.as_bytes().to_vec(),
    };
    let log = [record(0, 0, "before"), record(1, 1, "of a program"), record(2, 0, "after")];
    let mut next = 1;
    let answer = move |request: &Request| match request {
        Request::Kmsg { since, .. } => {
            let records = log.iter().filter(|record| record.seq >= *since).cloned().collect();
            let reply = Reply::Kmsg { records, next, lost: false };
            next = 3;
            Ok(reply)
        }
        _ => Ok(Reply::Done),
    };
    let lines = step(answer, |lab| {
        lab.mark_kmsg()?;
        Ok(lab.kmsg()?.iter().map(shown_line).collect::<Vec<_>>())
    });
    assert_eq!(lines, Ok(vec!["<4> after".to_owned()]));
}
