//! Runs one behaviour in its own guest: tests its needs, runs its check, ends the guest, judges, and returns a row.

use super::millis;
use super::pairs::Pairing;
use crate::catalogue::entry::{Checked, Entry, Need};
use crate::check::lab::{GuestError, Lab, LabError};
use crate::check::probes::Probes;
use crate::run::event::{ConsoleFinding, Row};
use crate::run::judge::{CheckEnd, Evidence, Judging, judge};
use crate::run::machines::{Machine, MachineError, PairMachines};
use crate::run::needs::first_unmet_need;
use crate::run::request::Request;
use crate::run::verdict::Verdict;
use crate::text::{self, error_chain};
use agent::proto::{self, GuestMicros, Reply};
use harness::{Ending, Finding};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The number of console lines in a row.
const CONSOLE_LINES: usize = 40;
/// The limit for reading the guest's clock.
const CLOCK_LIMIT: Duration = Duration::from_secs(10);

/// Returns the message of a panic as a reason.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("kmodlab panicked: {}", message.unwrap_or("no message"))
}

/// Runs one behaviour in its own guest, on this boot of the pair. `attempt` counts from 0.
pub(super) fn run_behaviour(
    request: &Request,
    pairing: &Pairing,
    ready: Result<&dyn PairMachines, &MachineError>,
    number: usize,
    attempt: u32,
    stop: &AtomicBool,
) -> Row {
    let started = Instant::now();
    let behaviour = request.selection.behaviours[number];
    let mut row = Row {
        position: (pairing.position.0, pairing.position.1, number),
        id: behaviour.id.to_owned(),
        catalogue: behaviour.catalogue.to_owned(),
        group: behaviour.group.to_string(),
        statement: behaviour.statement.to_owned(),
        source: behaviour.source.to_owned(),
        about: behaviour.about,
        kernel: pairing.kernel.clone(),
        probes: Probes::default(),
        subject: pairing.subject.clone(),
        verdict: Verdict::Error,
        reason: None,
        facts: Vec::new(),
        guest_ms: None,
        wall_ms: 0,
        console: Vec::new(),
        findings: Vec::new(),
        flaky: false,
        attempts: Vec::new(),
    };
    let keep = request.keep.as_deref().map(|dir| (dir, attempt));
    match ready {
        Err(error) => {
            if request.judging.boot_failure_fails && error.boot_failed {
                row.verdict = Verdict::Fail;
            }
            row.reason = Some(error.reason.clone());
        }
        Ok(ready) => {
            row.probes = ready.pair().probes.only(behaviour.probes);
            match first_unmet_need(behaviour, |need| ready.meets(need)) {
                Some(need) => (row.verdict, row.reason) = (Verdict::Skip, Some(format!("needs {need}"))),
                None => match ready.guest() {
                    Ok(mut guest) => {
                        let deadline = started + request.flow.limit;
                        let plan = Plan { behaviour, deadline, keep, judging: &request.judging };
                        observe(&mut *guest, &plan, ready, &mut row);
                    }
                    Err(error) => {
                        if request.judging.boot_failure_fails && error.boot_failed && !stop.load(Ordering::SeqCst) {
                            row.verdict = Verdict::Fail;
                        }
                        row.reason = Some(format!("cannot start a guest: {}", error.reason));
                    }
                },
            }
        }
    }
    if row.verdict == Verdict::Error && stop.load(Ordering::SeqCst) {
        row.reason = Some("interrupted".to_owned());
    }
    // Text from the guest is escaped before it reaches a report; the values of facts are escaped already.
    row.reason = row.reason.map(|reason| reason.lines().map(text::printable).collect::<Vec<_>>().join("\n"));
    row.wall_ms = millis(started.elapsed());
    row
}

/// How a behaviour is run and judged.
struct Plan<'a> {
    behaviour: &'a Entry,
    /// The end of the behaviour's time.
    deadline: Instant,
    /// The directory in which to save the console, and the number of the attempt.
    keep: Option<(&'a Path, u32)>,
    judging: &'a Judging,
}

/// Runs the check in a guest, ends the guest, and judges.
fn observe(guest: &mut dyn Machine, plan: &Plan<'_>, ready: &dyn PairMachines, row: &mut Row) {
    let &Plan { behaviour, deadline, keep, judging } = plan;
    // A guest that is booted has the findings of its boot on its own console; the console of a clone begins later.
    let during_boot = guest.findings().len();
    let from = guest_time(guest, deadline);
    let end = {
        let mut lab = Lab::new(guest.as_guest(), ready.pair(), deadline);
        // If the guest does not answer this request, the check would only run into its time limit.
        let end = match &from {
            Ok(_) => run_check(behaviour, &mut lab),
            Err(error) => CheckEnd::LabFailed(format!("before the check: {error}")),
        };
        row.facts = lab.into_facts();
        end
    };
    if let (Ok(from), Ok(to)) = (from, guest_time(guest, deadline)) {
        row.guest_ms = Some(to.millis_since(from));
    }
    let ending = guest.end_as_planned();
    // Read the console only now: a guest can crash while it shuts down.
    let console = guest.console();
    if let Some(Err(error)) = keep.map(|(dir, attempt)| save_console(dir, attempt, row, &console)) {
        row.console.push(format!("kmodlab: cannot save the console: {}", error_chain(&error)));
    }
    let end = match end {
        CheckEnd::Finished if !ending.planned => unplanned(&ending),
        other => other,
    };
    let (booting, own) = ending.findings.split_at(during_boot.min(ending.findings.len()));
    let booting = ready.boot_findings().iter().chain(booting);
    let reported = |finding: &Finding, boot| ConsoleFinding {
        kind: finding.kind,
        title: finding.title.clone(),
        trace: finding.lines.clone(),
        boot,
        allowed: judging.allowed.reason_for(&ready.pair().release, finding).map(str::to_owned),
    };
    row.findings = booting
        .map(|finding| reported(finding, true))
        .chain(own.iter().map(|finding| reported(finding, false)))
        .collect();
    let counting = row.findings.iter().filter(|finding| finding.allowed.is_none());
    let counting: Vec<String> = counting.map(ToString::to_string).collect();
    let evidence = Evidence { end, facts: &mut row.facts, findings: &counting };
    (row.verdict, row.reason) = judge(evidence, &judging.deviations_of(behaviour.id, ready.pair()));
    if matches!(row.verdict, Verdict::Fail | Verdict::Error) {
        row.console.extend(last_lines(&console));
    }
}

/// Runs a check and returns how it ended.
pub(crate) fn run_check(behaviour: &Entry, lab: &mut Lab<'_>) -> CheckEnd {
    let check = match behaviour.check {
        Checked::By(check) => check,
        Checked::Missing(reason) => return CheckEnd::NeedUnmet(format!("no check: {reason}")),
    };
    lab.declare_probes(behaviour.probes);
    let needs = behaviour.needs.iter();
    let mut traits = needs.filter_map(|need| if let Need::Trait(name) = need { Some(*name) } else { None });
    let run = || traits.try_for_each(|name| lab.needs_trait(name)).and_then(|()| check(lab));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => CheckEnd::Finished,
        Ok(Err(LabError::Need(need))) => CheckEnd::NeedUnmet(format!("needs {need}")),
        Ok(Err(LabError::Guest(GuestError::Crashed(reason)))) => CheckEnd::GuestCrashed(reason),
        Ok(Err(error)) => CheckEnd::LabFailed(error_chain(&error)),
        Err(panic) => CheckEnd::LabFailed(panic_message(&*panic)),
    }
}

fn save_console(dir: &Path, attempt: u32, row: &Row, console: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let suffix = if attempt == 0 { String::new() } else { format!("-{}", attempt + 1) };
    let name = format!("{}-{}-{}{suffix}.console", row.id, row.kernel.name, row.subject);
    std::fs::write(dir.join(name.replace('/', "_")), console)
}

fn last_lines(console: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].iter().map(|line| text::escape(line.as_bytes())).collect()
}

fn unplanned(ending: &Ending) -> CheckEnd {
    CheckEnd::LabFailed(format!("the guest did not shut down as planned: {ending}"))
}

/// Returns the guest's clock, if the guest answers within the time limit of the behaviour; else the reason.
fn guest_time(guest: &mut dyn Machine, deadline: Instant) -> Result<GuestMicros, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    match guest.call(&proto::Request::Clock, CLOCK_LIMIT.min(left)) {
        Ok(Reply::Clock(time)) => Ok(time),
        Ok(Reply::Failed(why)) => Err(format!("agent: {why}")),
        Ok(_) => Err("protocol error: unexpected reply to a clock request".to_owned()),
        Err(GuestError::Crashed(reason)) => Err(format!("the guest ended: {reason}")),
        Err(error) => Err(error_chain(&error)),
    }
}
