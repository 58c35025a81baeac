//! One behaviour in a guest of its own: what it needs is looked at, its check observes, the guest ends, the whole is
//! judged and becomes a row.

use super::{Plan, Prepared, millis};
use crate::allowed_findings::AllowedFindings;
use crate::behaviour::{About, Behaviour, Need};
use crate::event::{ConsoleFinding, Row};
use crate::lab::{Guest, GuestError, Lab, LabError};
use crate::pair::{Host, PairError, ReadyPair};
use crate::text;
use crate::verdict::{CheckEnd, Verdict, judge};
use agent::proto::{GuestMicros, Reply, Request};
use harness::{BootError, Ending, Vm, VmError};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vm_images::ImageFacts;
use vm_images::modules::ModuleTree;

/// Lines of console that a row keeps.
const CONSOLE_LINES: usize = 40;
/// How long the guest's clock may be waited for.
const CLOCK_LIMIT: Duration = Duration::from_secs(10);

/// What a panic said, as a reason.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("kmodlab itself panicked: {}", said.unwrap_or("no message"))
}

/// Runs one behaviour in a guest of its own, for the `attempt`-th time from 0.
pub(super) fn check(
    plan: &Plan,
    prepared: &Prepared,
    number: usize,
    attempt: u32,
    host: &Host,
    stop: &AtomicBool,
) -> Row {
    let begun = Instant::now();
    let behaviour = plan.behaviours[number];
    let mut row = Row {
        place: (prepared.place.0, prepared.place.1, number),
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
    let keep = plan.keep.as_deref().map(|dir| (dir, attempt));
    match &prepared.ready {
        Err(error) => {
            if plan.boot_failure_fails && matches!(error, PairError::Boot(error) if is_guest_failure(error)) {
                row.verdict = Verdict::Fail;
            }
            row.reason = Some(error.to_string());
        }
        Ok(ready) => {
            row.eras = Some(ready.pair.eras);
            match unmet(behaviour, &ready.pair.commands, ready.modules.as_ref(), &ready.facts) {
                Some(need) => (row.verdict, row.reason) = (Verdict::Skip, Some(format!("needs {need}"))),
                None => match ready.guest(host) {
                    Ok(vm) => observe(vm, behaviour, ready, begun + plan.limit, keep, &plan.allowed, &mut row),
                    Err(error) => {
                        let booted = ready.boots_each_guest();
                        if plan.boot_failure_fails && booted && is_guest_failure(&error) && !stop.load(Ordering::SeqCst)
                        {
                            row.verdict = Verdict::Fail;
                        }
                        row.reason = Some(format!("no guest: {error}"));
                    }
                },
            }
        }
    }
    if row.verdict == Verdict::Error && stop.load(Ordering::SeqCst) {
        row.reason = Some("interrupted".to_owned());
    }
    // What the guest said reaches reports in their one text form.
    row.reason = row.reason.map(|reason| reason.lines().map(printable).collect::<Vec<_>>().join("\n"));
    row.wall_ms = millis(begun.elapsed());
    row
}

fn printable(line: &str) -> String {
    text::escape(line.as_bytes())
}

/// The first need that is not met.
pub(crate) fn unmet(
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

/// Lets the check observe, ends the guest, and judges.
fn observe(
    mut vm: Vm,
    behaviour: &Behaviour,
    ready: &ReadyPair,
    deadline: Instant,
    keep: Option<(&Path, u32)>,
    allowed: &AllowedFindings,
    row: &mut Row,
) {
    let from = clock(&mut vm, deadline);
    let (end, known) = {
        let mut lab = Lab::new(&mut vm, &ready.pair, deadline);
        // A guest that does not even say what time it is would only cost the check its time.
        let end = match &from {
            Ok(_) => carry_out(behaviour, &mut lab),
            Err(silent) => CheckEnd::LabFailed(format!("before the check: {silent}")),
        };
        let (facts, known) = lab.into_facts();
        row.facts = facts;
        (end, known)
    };
    if let (Ok(from), Ok(to)) = (from, clock(&mut vm, deadline)) {
        row.guest_ms = Some(to.millis_since(from));
    }
    let ending = vm.end_as_planned();
    // Read now: a guest may die while it ends.
    let console = vm.console();
    if let Some(Err(error)) = keep.map(|(dir, attempt)| keep_console(dir, attempt, row, &console)) {
        row.console.push(format!("kmodlab: the console could not be kept: {error}"));
    }
    let end = match end {
        CheckEnd::Finished if !ending.planned => unplanned(&ending),
        other => other,
    };
    row.findings = findings(ready, &ending, allowed);
    let counting = row.findings.iter().filter(|finding| finding.allowed.is_none());
    let counting: Vec<String> = counting.map(ToString::to_string).collect();
    (row.verdict, row.reason) = judge(end, &row.facts, known.as_deref(), &counting);
    if matches!(row.verdict, Verdict::Fail | Verdict::Error) {
        row.console.extend(last_lines(&console));
    }
}

/// What was found on the consoles of a row's guest: its template's boot, since a clone's own console begins behind it, and its own.
fn findings(ready: &ReadyPair, ending: &Ending, allowed: &AllowedFindings) -> Vec<ConsoleFinding> {
    let boot = ready.boot_findings().iter().map(|text| {
        let (kind, title) = text.split_once(": ").unwrap_or(("", text));
        (kind.to_owned(), title.to_owned(), Vec::new())
    });
    let own = ending.findings.iter().map(|found| (found.kind.to_string(), found.title.clone(), found.lines.clone()));
    boot.chain(own)
        .map(|(kind, title, trace)| {
            let allowed = allowed.reason(&ready.pair.release, &kind, &title).map(str::to_owned);
            ConsoleFinding { kind, title, trace, allowed }
        })
        .collect()
}

/// Lets a check observe, and says how it ended.
pub(crate) fn carry_out(behaviour: &Behaviour, lab: &mut Lab<'_>) -> CheckEnd {
    match catch_unwind(AssertUnwindSafe(|| (behaviour.check)(lab))) {
        Ok(Ok(())) => CheckEnd::Finished,
        Ok(Err(LabError::Need(need))) => CheckEnd::NeedUnmet(format!("needs {need}")),
        Ok(Err(LabError::Guest(GuestError::Crashed(reason)))) => CheckEnd::GuestCrashed(reason),
        Ok(Err(error)) => CheckEnd::LabFailed(error.to_string()),
        Err(panic) => CheckEnd::LabFailed(panicked(&*panic)),
    }
}

fn keep_console(dir: &Path, attempt: u32, row: &Row, console: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let again = if attempt == 0 { String::new() } else { format!("-{}", attempt + 1) };
    let name = format!("{}-{}-{}{again}.console", row.id, row.kernel.name, row.subject);
    std::fs::write(dir.join(name.replace('/', "_")), console)
}

fn last_lines(console: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].iter().map(|line| printable(line)).collect()
}

fn unplanned(ending: &Ending) -> CheckEnd {
    CheckEnd::LabFailed(format!("the guest did not end as planned: {ending}"))
}

/// What time it is in the guest, if it says so before the behaviour's time is up.
fn clock(vm: &mut Vm, deadline: Instant) -> Result<GuestMicros, VmError> {
    let left = deadline.saturating_duration_since(Instant::now());
    match vm.call(&Request::Clock, CLOCK_LIMIT.min(left))? {
        Reply::Clock(time) => Ok(time),
        other => Err(VmError::Protocol(format!("unexpected reply to the question for the time: {other:?}"))),
    }
}

impl Guest for Vm {
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError> {
        Vm::call(self, request, wall).or_else(|error| match error {
            VmError::Dead(death) if death.evidence => Err(GuestError::Crashed(death.to_string())),
            // The agent lives and says no: what that means is for the lab to judge.
            VmError::Agent(why) => Ok(Reply::Failed(why)),
            other => Err(GuestError::Lost(other.to_string())),
        })
    }
}

/// Whether a boot failed for a reason of the guest's (and not of the host's): the kernel did not come up in
/// time, or ended the machine itself. A QEMU that refused its arguments or was killed says nothing about the kernel.
fn is_guest_failure(error: &BootError) -> bool {
    match error {
        BootError::Timeout { .. } => true,
        BootError::Dead(death) => death.ending.reason.as_deref().is_some_and(|reason| reason.starts_with("guest-")),
        BootError::Harness(_) | BootError::Version { .. } | BootError::Protocol(_) => false,
    }
}
