//! The engine: makes pairs ready, gives each behaviour a guest of its own, judges, and tells what happens.

mod check;
mod rows;

pub use rows::{Place, rows};

use crate::behaviour::{Behaviour, Group};
use crate::engine::check::{check, panicked};
use crate::event::{Event, KernelName, RunEnd, RunInfo, SkippedKernel};
use crate::pair::{Host, KernelSide, PairError, Ready};
use crate::shard::Shard;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vm_images::{Kernel, Subject};

/// What to run.
pub struct Plan {
    /// The kernels: ready to look at, or left out with a reason.
    pub kernels: Vec<Result<Kernel, SkippedKernel>>,
    /// The subjects.
    pub subjects: Vec<Subject>,
    /// The behaviours.
    pub behaviours: Vec<&'static Behaviour>,
    /// The part of the rows that is run.
    pub shard: Option<Shard>,
    /// Guests at a time.
    pub jobs: usize,
    /// Wall-clock limit of one behaviour.
    pub limit: Duration,
    /// Where each guest's console is kept.
    pub keep: Option<PathBuf>,
    /// A kernel that does not reach the agent is a failure instead of an error (to bisect a boot).
    pub boot_failure_fails: bool,
}

impl Plan {
    /// The rows that are run.
    fn rows(&self) -> Vec<Place> {
        rows(self.kernels.len(), self.subjects.len(), &self.behaviours, self.shard.as_ref())
    }

    /// Of this kernel and subject, the numbers of the behaviours that are run.
    fn behaviours_of(&self, kernel: usize, subject: usize) -> Vec<usize> {
        let here = |place: &Place| (place.0, place.1) == (kernel, subject);
        self.rows().into_iter().filter(here).map(|place| place.2).collect()
    }
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
        shard: plan.shard.clone(),
    }));
    let rows = plan.rows();
    if let Some(shard) = &plan.shard {
        let all = crate::engine::rows(plan.kernels.len(), plan.subjects.len(), &plan.behaviours, None).len();
        tell(Event::Note(format!("{shard}: {} of {all} rows", rows.len())));
    }
    let mut queue = Queue { work: VecDeque::new(), preparing: 0 };
    for (number, kernel) in plan.kernels.iter().enumerate() {
        match kernel {
            // A kernel of which this shard has no row is not booted.
            Ok(_) if rows.iter().all(|place| place.0 != number) => {}
            Ok(_) => queue.work.push_back(Work::Prepare { kernel: number }),
            Err(skipped) => tell(Event::KernelSkipped(skipped.clone())),
        }
    }
    let queue = Mutex::new(queue);
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        // More workers than rows would have nothing to do.
        for _ in 0..plan.jobs.min(rows.len()).max(1) {
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
        let behaviours = plan.behaviours_of(kernel_number, number);
        if behaviours.is_empty() {
            continue;
        }
        let ready = match &side {
            Ok(side) => side.with(subject, host),
            Err(error) => Err(PairError::Unusable(error.to_string())),
        };
        let place = (kernel_number, number);
        let prepared = Arc::new(Prepared { place, name: name.clone(), subject: subject.name().to_owned(), ready });
        let check = |behaviour| Work::Check { kernel: Arc::clone(&prepared), behaviour };
        let checks: Vec<Work> = behaviours.into_iter().map(check).collect();
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
    let mut work = Vec::new();
    for (at, subject) in plan.subjects.iter().enumerate() {
        let (name, subject) = (name.clone(), subject.name().to_owned());
        let ready = Err(PairError::Unusable(reason.to_owned()));
        let prepared = Arc::new(Prepared { place: (number, at), name, subject, ready });
        let check = |behaviour| Work::Check { kernel: Arc::clone(&prepared), behaviour };
        work.extend(plan.behaviours_of(number, at).into_iter().map(check));
    }
    work
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
