//! The engine: makes pairs ready, gives each behaviour a guest of its own, judges, and tells what happens.

use crate::behaviour::{About, Behaviour, Group, Need};
use crate::event::{Event, KernelName, Row, RunEnd, RunInfo, SkippedKernel};
use crate::lab::{Guest, GuestError, Lab, LabError};
use crate::pair::{Host, KernelSide, PairError, Ready};
use crate::text;
use crate::verdict::{CheckEnd, Verdict, judge};
use agent::proto::{GuestMicros, Reply, Request};
use harness::{BootError, Ending, Vm, VmError};
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vm_images::{Kernel, Subject};

/// Lines of console that a row keeps.
const CONSOLE_LINES: usize = 40;
/// How long the guest's clock may be waited for.
const CLOCK_LIMIT: Duration = Duration::from_secs(10);

/// What to run.
pub struct Plan {
    /// The kernels: ready to look at, or left out with a reason.
    pub kernels: Vec<Result<Kernel, SkippedKernel>>,
    /// The subjects.
    pub subjects: Vec<Subject>,
    /// The behaviours.
    pub behaviours: Vec<&'static Behaviour>,
    /// Guests at a time.
    pub jobs: usize,
    /// Wall-clock limit of one behaviour.
    pub limit: Duration,
    /// Where each guest's console is kept.
    pub keep: Option<PathBuf>,
    /// A kernel that does not reach the agent is a failure instead of an error (to bisect a boot).
    pub boot_failure_fails: bool,
}

/// A piece of work.
enum Work {
    Prepare { kernel: usize },
    Check { kernel: Arc<Prepared>, behaviour: usize },
}

struct Prepared {
    /// Which kernel and which subject of the plan.
    place: (usize, usize),
    name: KernelName,
    subject: String,
    ready: Result<Ready, PairError>,
}

struct Queue {
    work: VecDeque<Work>,
    preparing: usize,
}

/// Runs a plan; events go to `tell` from several threads, one at a time. `stop` ends it early.
pub fn run(plan: &Plan, host: &Host, stop: &AtomicBool, tell: &(dyn Fn(Event) + Sync)) {
    let begun = Instant::now();
    let boot = &host.boot;
    tell(Event::Started(RunInfo {
        kmodlab: env!("CARGO_PKG_VERSION").to_owned(),
        qemu: host.qemu.version.to_string(),
        accelerator: format!("{:?}", boot.accel).to_lowercase(),
        profile: format!("{:?}", boot.profile).to_lowercase(),
        virtual_time: boot.virtual_time && boot.accel == harness::Accel::Tcg,
    }));
    let mut queue = Queue { work: VecDeque::new(), preparing: 0 };
    for (number, kernel) in plan.kernels.iter().enumerate() {
        match kernel {
            Ok(_) => queue.work.push_back(Work::Prepare { kernel: number }),
            Err(skipped) => tell(Event::KernelSkipped(skipped.clone())),
        }
    }
    let queue = Mutex::new(queue);
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        // More workers than rows would have nothing to do.
        let rows = plan.kernels.len() * plan.subjects.len() * plan.behaviours.len();
        for _ in 0..plan.jobs.min(rows).max(1) {
            scope.spawn(|| worker(plan, host, stop, tell, &queue, &changed));
        }
    });
    let wall_ms = millis(begun.elapsed());
    tell(Event::Ended(RunEnd { interrupted: stop.load(Ordering::SeqCst), wall_ms }));
}

fn worker(
    plan: &Plan,
    host: &Host,
    stop: &AtomicBool,
    tell: &(dyn Fn(Event) + Sync),
    queue: &Mutex<Queue>,
    changed: &Condvar,
) {
    // A poisoned queue is whole: nothing in its critical sections can panic half way.
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let work = {
            let mut queue = lock();
            loop {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(work) = queue.work.pop_front() {
                    if matches!(work, Work::Prepare { .. }) {
                        queue.preparing += 1;
                    }
                    break work;
                }
                if queue.preparing == 0 {
                    return;
                }
                queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        };
        match work {
            Work::Prepare { kernel: number } => {
                let checks = match &plan.kernels[number] {
                    // The other workers wait for this one: it must get to the end whatever happens in it.
                    Ok(kernel) => catch_unwind(AssertUnwindSafe(|| prepare(plan, number, kernel, host, tell)))
                        .unwrap_or_else(|panic| unprepared(plan, number, kernel, &panicked(&*panic))),
                    Err(_) => Vec::new(),
                };
                let mut queue = lock();
                queue.work.extend(checks);
                queue.preparing -= 1;
                changed.notify_all();
            }
            Work::Check { kernel, behaviour } => {
                let row = check(plan, &kernel, behaviour, host, stop);
                tell(Event::Judged(Box::new(row)));
            }
        }
    }
}

/// Makes a kernel ready with every subject, and says what there is to check.
fn prepare(
    plan: &Plan,
    kernel_number: usize,
    kernel: &Kernel,
    host: &Host,
    tell: &(dyn Fn(Event) + Sync),
) -> Vec<Work> {
    let name = KernelName { name: kernel.name.clone(), release: kernel.release.to_string() };
    tell(Event::Preparing(format!("kernel {} ({})", name.name, name.release)));
    kernel.notes.iter().for_each(|note| tell(Event::Note(format!("kernel {}: {note}", name.name))));
    let side = KernelSide::look(kernel.clone(), host);
    let mut work = Vec::new();
    for (number, subject) in plan.subjects.iter().enumerate() {
        let ready = match &side {
            Ok(side) => side.with(subject, host),
            Err(error) => Err(PairError::Unusable(error.to_string())),
        };
        let place = (kernel_number, number);
        let prepared = Arc::new(Prepared { place, name: name.clone(), subject: subject.name().to_owned(), ready });
        // What is about the kernel alone is run with the first subject.
        let checks: Vec<Work> = plan
            .behaviours
            .iter()
            .enumerate()
            .filter(|(_, behaviour)| number == 0 || behaviour.about != About::Kernel)
            .map(|(behaviour, _)| Work::Check { kernel: Arc::clone(&prepared), behaviour })
            .collect();
        tell(Event::PairReady { kernel: name.clone(), subject: subject.name().to_owned(), rows: checks.len() });
        work.extend(checks);
    }
    // The long ones first, so that no core is idle while another finishes the last.
    work.sort_by_key(|work| match work {
        Work::Check { behaviour, .. } => rank(plan.behaviours[*behaviour].group),
        Work::Prepare { .. } => 0,
    });
    work
}

/// Groups, the one with the longest behaviours first.
fn rank(group: Group) -> u8 {
    match group {
        Group::Loop => 0,
        Group::Dep => 1,
        Group::Load | Group::Unload | Group::Config => 2,
        Group::Tool => 3,
        Group::Path => 4,
    }
}

/// The checks of a kernel whose preparation ended in a panic of ours: each of them says so.
fn unprepared(plan: &Plan, number: usize, kernel: &Kernel, reason: &str) -> Vec<Work> {
    let name = KernelName { name: kernel.name.clone(), release: kernel.release.to_string() };
    let subject = plan.subjects.first().map(|subject| subject.name().to_owned()).unwrap_or_default();
    let ready = Err(PairError::Unusable(reason.to_owned()));
    let prepared = Arc::new(Prepared { place: (number, 0), name, subject, ready });
    (0..plan.behaviours.len()).map(|behaviour| Work::Check { kernel: Arc::clone(&prepared), behaviour }).collect()
}

/// What a panic said, as a reason.
fn panicked(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("kmodlab itself panicked: {}", said.unwrap_or("no message"))
}

/// Runs one behaviour in a guest of its own.
fn check(plan: &Plan, prepared: &Prepared, number: usize, host: &Host, stop: &AtomicBool) -> Row {
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
    };
    match &prepared.ready {
        Err(error) => {
            if plan.boot_failure_fails && matches!(error, PairError::Boot(error) if is_guest_failure(error)) {
                row.verdict = Verdict::Fail;
            }
            row.reason = Some(error.to_string());
        }
        Ok(ready) => {
            row.eras = Some(ready.pair.eras);
            match unmet(behaviour, ready) {
                Some(need) => (row.verdict, row.reason) = (Verdict::Skip, Some(format!("needs {need}"))),
                None => match ready.guest(host) {
                    Ok(vm) => observe(vm, behaviour, ready, begun + plan.limit, plan.keep.as_deref(), &mut row),
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
fn unmet(behaviour: &Behaviour, ready: &Ready) -> Option<Need> {
    let met = |need: &Need| match need {
        Need::Command(name) => ready.pair.commands.iter().any(|command| command == name),
        Need::Module(name) => {
            ready.modules.as_ref().is_some_and(|tree| tree.modules.iter().any(|module| module == name))
        }
        Need::Config(option) => option
            .strip_prefix("CONFIG_")
            .and_then(|option| option.split_once('='))
            .is_some_and(|(option, value)| ready.facts.config(option) == Some(value)),
    };
    behaviour.needs.iter().find(|need| !met(need)).copied()
}

/// Lets the check observe, ends the guest, and judges.
fn observe(mut vm: Vm, behaviour: &Behaviour, ready: &Ready, deadline: Instant, keep: Option<&Path>, row: &mut Row) {
    let from = clock(&mut vm);
    let (end, known) = {
        let mut lab = Lab::new(&mut vm, &ready.pair, deadline);
        let end = match catch_unwind(AssertUnwindSafe(|| (behaviour.check)(&mut lab))) {
            Ok(Ok(())) => CheckEnd::Finished,
            Ok(Err(LabError::Need(need))) => CheckEnd::NeedUnmet(format!("needs {need}")),
            Ok(Err(LabError::Guest(GuestError::Broke(reason)))) => CheckEnd::GuestBroke(reason),
            Ok(Err(error)) => CheckEnd::LabFailed(error.to_string()),
            Err(panic) => CheckEnd::LabFailed(panicked(&*panic)),
        };
        let (facts, known) = lab.into_facts();
        row.facts = facts;
        (end, known)
    };
    if let (Some(from), Some(to)) = (from, clock(&mut vm)) {
        row.guest_ms = Some(to.millis_since(from));
    }
    let ending = vm.end_as_planned();
    // Read now: a guest may die while it ends.
    let console = vm.console();
    if let Some(Err(error)) = keep.map(|dir| keep_console(dir, row, &console)) {
        row.console.push(format!("kmodlab: the console could not be kept: {error}"));
    }
    let end = match end {
        CheckEnd::Finished if !ending.planned => unplanned(&ending),
        other => other,
    };
    let findings: Vec<String> =
        ending.findings.iter().map(|finding| format!("{}: {}", finding.kind, finding.title)).collect();
    // A clone's own console begins behind the boot.
    let findings = [ready.boot_findings(), &findings].concat();
    (row.verdict, row.reason) = judge(end, &row.facts, known.as_deref(), &findings);
    if matches!(row.verdict, Verdict::Fail | Verdict::Error) {
        row.console.extend(last_lines(&console));
    }
}

fn keep_console(dir: &Path, row: &Row, console: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let name = format!("{}-{}-{}.console", row.id, row.kernel.name, row.subject);
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

fn clock(vm: &mut Vm) -> Option<GuestMicros> {
    match vm.call(&Request::Clock, CLOCK_LIMIT) {
        Ok(Reply::Clock(time)) => Some(time),
        _ => None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Guest for Vm {
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError> {
        Vm::call(self, request, wall).or_else(|error| match error {
            VmError::Dead(death) if death.evidence => Err(GuestError::Broke(death.to_string())),
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
