//! Runs one behaviour in its own guest: tests its needs, runs its check, ends the guest, judges, and returns a row.

use super::{Prepared, RunSpec, millis};
use crate::catalogue::entry::{About, Behaviour, Need};
use crate::check::lab::{Guest, GuestError, Lab, LabError};
use crate::run::event::{ConsoleFinding, Row};
use crate::run::pair::{Host, PairError, ReadyPair};
use crate::run::verdict::{CheckEnd, Verdict, judge};
use crate::text::{self, error_chain};
use agent::proto::{GuestMicros, Reply, Request};
use harness::{BootError, Finding, Vm, VmError};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vm_images::ImageFacts;
use vm_images::modules::ModuleTree;

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
    spec: &RunSpec,
    prepared: &Prepared,
    ready: Result<&ReadyPair, &PairError>,
    number: usize,
    attempt: u32,
    host: &Host,
    stop: &AtomicBool,
) -> Row {
    let started = Instant::now();
    let behaviour = spec.behaviours[number];
    let mut row = Row {
        position: (prepared.position.0, prepared.position.1, number),
        id: behaviour.id.to_owned(),
        catalogue: behaviour.catalogue.to_owned(),
        group: behaviour.group.to_string(),
        statement: behaviour.statement.to_owned(),
        source: behaviour.source.to_owned(),
        about: match behaviour.about {
            About::Kernel => "kernel",
            About::Both => "both",
        }
        .to_owned(),
        kernel: prepared.name.clone(),
        eras: None,
        subject: prepared.subject.clone(),
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
    let keep = spec.keep.as_deref().map(|dir| (dir, attempt));
    match ready {
        Err(error) => {
            if spec.boot_failure_fails && matches!(error, PairError::Boot(error) if is_guest_failure(error)) {
                row.verdict = Verdict::Fail;
            }
            row.reason = Some(error_chain(error));
        }
        Ok(ready) => {
            row.eras = Some(ready.pair.eras);
            match first_unmet_need(behaviour, &ready.pair.commands, ready.modules.as_ref(), &ready.facts) {
                Some(need) => (row.verdict, row.reason) = (Verdict::Skip, Some(format!("needs {need}"))),
                None => match ready.guest(host) {
                    Ok(vm) => observe(vm, behaviour, ready, started + spec.limit, keep, host, &mut row),
                    Err(error) => {
                        let booted = ready.boots_each_guest();
                        let stopped = stop.load(Ordering::SeqCst);
                        if spec.boot_failure_fails && booted && is_guest_failure(&error) && !stopped {
                            row.verdict = Verdict::Fail;
                        }
                        row.reason = Some(format!("cannot start a guest: {}", error_chain(&error)));
                    }
                },
            }
        }
    }
    if row.verdict == Verdict::Error && stop.load(Ordering::SeqCst) {
        row.reason = Some("interrupted".to_owned());
    }
    // Text from the guest is escaped before it reaches a report.
    row.reason = row.reason.map(|reason| reason.lines().map(printable).collect::<Vec<_>>().join("\n"));
    row.wall_ms = millis(started.elapsed());
    row
}

fn printable(line: &str) -> String {
    text::escape(line.as_bytes())
}

/// Returns the first need that is not met.
pub(crate) fn first_unmet_need(
    behaviour: &Behaviour,
    commands: &[String],
    modules: Option<&ModuleTree>,
    facts: &ImageFacts,
) -> Option<Need> {
    let met = |need: &Need| match need {
        Need::Command(name) => commands.iter().any(|command| command == name),
        Need::Module(name) => modules.is_some_and(|tree| tree.modules.iter().any(|module| module == name)),
        Need::Config(option) => option
            .strip_prefix("CONFIG_")
            .and_then(|option| option.split_once('='))
            .is_some_and(|(option, value)| facts.config(option) == Some(value)),
    };
    behaviour.needs.iter().find(|need| !met(need)).copied()
}

/// Runs the check in a guest, ends the guest, and judges.
fn observe(
    mut vm: Vm,
    behaviour: &Behaviour,
    ready: &ReadyPair,
    deadline: Instant,
    keep: Option<(&Path, u32)>,
    host: &Host,
    row: &mut Row,
) {
    // A guest that is booted has the findings of its boot on its own console; the console of a clone begins later.
    let during_boot = vm.findings().len();
    let from = guest_time(&mut vm, deadline);
    let (end, known) = {
        let mut lab = Lab::new(&mut vm, &ready.pair, deadline);
        // If the guest does not answer this request, the check would only run into its time limit.
        let end = match &from {
            Ok(_) => run_check(behaviour, &mut lab),
            Err(error) => CheckEnd::LabFailed(format!("before the check: {}", error_chain(error))),
        };
        let (facts, known) = lab.into_facts();
        row.facts = facts;
        (end, known)
    };
    if let (Ok(from), Ok(to)) = (from, guest_time(&mut vm, deadline)) {
        row.guest_ms = Some(to.millis_since(from));
    }
    let ending = vm.end_as_planned();
    // Read the console only now: a guest can crash while it shuts down.
    let console = vm.console();
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
        kind: finding.kind.to_string(),
        title: finding.title.clone(),
        trace: finding.lines.clone(),
        boot,
        allowed: host.boot.allowed.reason_for(&ready.pair.release, finding).map(str::to_owned),
    };
    row.findings = booting
        .map(|finding| reported(finding, true))
        .chain(own.iter().map(|finding| reported(finding, false)))
        .collect();
    let counting = row.findings.iter().filter(|finding| finding.allowed.is_none());
    let counting: Vec<String> = counting.map(ToString::to_string).collect();
    (row.verdict, row.reason) = judge(end, &row.facts, known.as_deref(), &counting);
    if matches!(row.verdict, Verdict::Fail | Verdict::Error) {
        row.console.extend(last_lines(&console));
    }
}

/// Runs a check and returns how it ended.
pub(crate) fn run_check(behaviour: &Behaviour, lab: &mut Lab<'_>) -> CheckEnd {
    match catch_unwind(AssertUnwindSafe(|| (behaviour.check)(lab))) {
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
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].iter().map(|line| printable(line)).collect()
}

fn unplanned(ending: &harness::Ending) -> CheckEnd {
    CheckEnd::LabFailed(format!("the guest did not shut down as planned: {ending}"))
}

/// Returns the guest's clock, if the guest answers within the time limit of the behaviour.
fn guest_time(vm: &mut Vm, deadline: Instant) -> Result<GuestMicros, VmError> {
    let left = deadline.saturating_duration_since(Instant::now());
    match vm.call(&Request::Clock, CLOCK_LIMIT.min(left))? {
        Reply::Clock(time) => Ok(time),
        _ => Err(VmError::Protocol("unexpected reply to a clock request".to_owned())),
    }
}

impl Guest for Vm {
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError> {
        Vm::call(self, request, wall).or_else(|error| match error {
            VmError::Dead(death) if death.evidence => Err(GuestError::Crashed(death.to_string())),
            // The agent answered with a failure, which the lab judges.
            VmError::Agent(why) => Ok(Reply::Failed(why)),
            other => Err(GuestError::Lost(error_chain(&other))),
        })
    }
}

/// Returns whether the guest, and not the host, caused a boot to fail: the kernel did not come up in time, or it reset the
/// machine or powered it off. A QEMU that rejected its arguments or was killed says nothing about the kernel.
fn is_guest_failure(error: &BootError) -> bool {
    match error {
        BootError::Timeout { .. } => true,
        BootError::Dead(death) => death.ending.reason.as_deref().is_some_and(|reason| reason.starts_with("guest-")),
        BootError::Harness(_) | BootError::Version { .. } | BootError::Protocol(_) => false,
    }
}
