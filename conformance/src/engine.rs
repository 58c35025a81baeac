//! The engine: makes pairs ready, gives each behaviour a guest of its own, judges, and tells what happens.

mod attempts;
pub(crate) mod check;
mod order;
mod rows;

pub use attempts::{repeated, retried};
pub use rows::{Place, rows};

use crate::allowed_findings::AllowedFindings;
use crate::behaviour::{Behaviour, Group};
use crate::engine::attempts::is_bad;
use crate::engine::check::{check, panicked};
use crate::event::{Event, KernelName, Row, RunEnd, RunInfo, SkippedKernel};
use crate::pair::{Host, PairError, PreparedKernel, ReadyPair};
use crate::shard::Shard;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
    /// How the rows are gone through.
    pub flow: Flow,
    /// Guests at a time.
    pub jobs: usize,
    /// Wall-clock limit of one behaviour.
    pub limit: Duration,
    /// Where each guest's console is kept.
    pub keep: Option<PathBuf>,
    /// A kernel that does not reach the agent is a failure instead of an error (to bisect a boot).
    pub boot_failure_fails: bool,
    /// Findings on consoles that fail nothing.
    pub allowed: AllowedFindings,
}

/// How the rows of a plan are gone through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    /// A row that fails or cannot be judged is tried so many times again, each in a guest of its own.
    pub retries: u32,
    /// Each row is run so many times; 0 is once too. Those are not retried.
    pub repeat: u32,
    /// No work is begun after the first row that fails or cannot be judged.
    pub fail_fast: bool,
    /// Shuffles the order in which rows are begun; else the long ones come first.
    pub seed: Option<u64>,
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
    Check { kernel: Arc<Prepared>, behaviour: usize, repetition: u32 },
}

struct Prepared {
    /// Which kernel and which subject of the plan.
    place: (usize, usize),
    name: KernelName,
    subject: String,
    ready: Result<ReadyPair, PairError>,
}

struct Queue {
    work: VecDeque<Work>,
    preparing: usize,
}

/// What the workers share.
struct Run<'a> {
    plan: &'a Plan,
    host: &'a Host,
    /// Set from outside: end as soon as possible.
    stop: &'a AtomicBool,
    /// A bad row came and `--fail-fast` is on: begin nothing more.
    halt: AtomicBool,
    tell: &'a (dyn Fn(Event) + Sync),
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Repetitions of rows that are not complete.
    repetitions: Mutex<BTreeMap<Place, Vec<Row>>>,
    judged: AtomicUsize,
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
        seed: plan.flow.seed,
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
    if let Some(seed) = plan.flow.seed {
        tell(Event::Note(format!("the order of work follows --seed {seed}")));
        order::shuffle(seed, queue.work.make_contiguous());
    }
    let run = Run {
        plan,
        host,
        stop,
        halt: AtomicBool::new(false),
        tell,
        queue: Mutex::new(queue),
        changed: Condvar::new(),
        repetitions: Mutex::new(BTreeMap::new()),
        judged: AtomicUsize::new(0),
    };
    std::thread::scope(|scope| {
        // More workers than guests would have nothing to do.
        let guests = rows.len() * plan.flow.repeat.max(1) as usize;
        for _ in 0..plan.jobs.min(guests).max(1) {
            scope.spawn(|| run.work());
        }
    });
    // What was repeated less often than it should have been is told as it is.
    let begun_rows = std::mem::take(&mut *lock(&run.repetitions));
    begun_rows.into_values().filter_map(repeated).for_each(|row| run.judge(row));
    let there = rows.iter().filter(|place| plan.kernels[place.0].is_ok()).count();
    let (interrupted, stopped) = (stop.load(Ordering::SeqCst), run.halt.load(Ordering::SeqCst));
    let not_run = there - run.judged.load(Ordering::SeqCst).min(there);
    tell(Event::Ended(RunEnd {
        interrupted,
        stopped: stopped && not_run > 0,
        not_run,
        wall_ms: millis(begun.elapsed()),
    }));
}

/// A mutex whose poison means nothing: no critical section here can panic half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run<'_> {
    /// A worker: takes work until there is none.
    fn work(&self) {
        while let Some(work) = self.next() {
            match work {
                Work::Prepare { kernel: number } => {
                    let checks = match &self.plan.kernels[number] {
                        // The other workers wait for this one: it must get to the end whatever happens in it.
                        Ok(kernel) => {
                            catch_unwind(AssertUnwindSafe(|| prepare(self.plan, number, kernel, self.host, self.tell)))
                                .unwrap_or_else(|panic| unprepared(self.plan, number, kernel, &panicked(&*panic)))
                        }
                        Err(_) => Vec::new(),
                    };
                    let mut queue = lock(&self.queue);
                    queue.work.extend(checks);
                    queue.preparing -= 1;
                    self.changed.notify_all();
                }
                Work::Check { kernel, behaviour, repetition } => self.check(&kernel, behaviour, repetition),
            }
        }
    }

    fn next(&self) -> Option<Work> {
        let mut queue = lock(&self.queue);
        loop {
            if self.stop.load(Ordering::SeqCst) || self.halt.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(work) = queue.work.pop_front() {
                if matches!(work, Work::Prepare { .. }) {
                    queue.preparing += 1;
                }
                return Some(work);
            }
            if queue.preparing == 0 {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs a behaviour, again if it may be, and tells the row when it is complete.
    fn check(&self, kernel: &Prepared, behaviour: usize, repetition: u32) {
        let attempt = |number| check(self.plan, kernel, behaviour, number, self.host, self.stop);
        let repeat = self.plan.flow.repeat;
        if repeat > 1 {
            let row = attempt(repetition);
            let bad = is_bad(row.verdict);
            let complete = {
                let mut repetitions = lock(&self.repetitions);
                let rows = repetitions.entry(row.place).or_default();
                let place = row.place;
                rows.push(row);
                if rows.len() == repeat as usize { repetitions.remove(&place) } else { None }
            };
            complete.and_then(repeated).into_iter().for_each(|row| self.judge(row));
            self.halt_if(bad);
            return;
        }
        let mut attempts = vec![attempt(0)];
        while attempts.last().is_some_and(|row| is_bad(row.verdict))
            && attempts.len() <= self.plan.flow.retries as usize
            && !self.stop.load(Ordering::SeqCst)
            && kernel.ready.is_ok()
        {
            attempts.push(attempt(u32::try_from(attempts.len()).unwrap_or(u32::MAX)));
        }
        if let Some(row) = retried(attempts) {
            let bad = is_bad(row.verdict);
            self.judge(row);
            self.halt_if(bad);
        }
    }

    fn judge(&self, row: Row) {
        self.judged.fetch_add(1, Ordering::SeqCst);
        (self.tell)(Event::Judged(Box::new(row)));
    }

    fn halt_if(&self, bad: bool) {
        if bad && self.plan.flow.fail_fast && !self.halt.swap(true, Ordering::SeqCst) {
            // Whoever waits for work waits for this too; the lock keeps the word from coming between look and wait.
            drop(lock(&self.queue));
            self.changed.notify_all();
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
    let side = PreparedKernel::new(kernel.clone(), host);
    let mut work = Vec::new();
    for (number, subject) in plan.subjects.iter().enumerate() {
        let behaviours = plan.behaviours_of(kernel_number, number);
        if behaviours.is_empty() {
            continue;
        }
        let ready = match &side {
            Ok(side) => side.pair(subject, host),
            Err(error) => Err(PairError::Unusable(error.to_string())),
        };
        for note in ready.iter().flat_map(|ready| &ready.notes) {
            tell(Event::Note(format!("kernel {} with {}: {note}", name.name, subject.name())));
        }
        let place = (kernel_number, number);
        let prepared = Arc::new(Prepared { place, name: name.clone(), subject: subject.name().to_owned(), ready });
        tell(Event::PairReady { kernel: name.clone(), subject: subject.name().to_owned(), rows: behaviours.len() });
        work.extend(checks(plan, &prepared, behaviours));
    }
    if let Some(seed) = plan.flow.seed {
        order::shuffle(seed.wrapping_add(kernel_number as u64), &mut work);
        return work;
    }
    // The long ones first, so that no core is idle while another finishes the last.
    work.sort_by_key(|work| match work {
        Work::Check { behaviour, .. } => rank(plan.behaviours[*behaviour].group),
        Work::Prepare { .. } => 0,
    });
    work
}

/// The work on these behaviours: each as often as the plan says.
fn checks(plan: &Plan, kernel: &Arc<Prepared>, behaviours: Vec<usize>) -> Vec<Work> {
    let check = |behaviour| {
        let times = 0..plan.flow.repeat.max(1);
        times.map(move |repetition| Work::Check { kernel: Arc::clone(kernel), behaviour, repetition })
    };
    behaviours.into_iter().flat_map(check).collect()
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
        work.extend(checks(plan, &prepared, plan.behaviours_of(number, at)));
    }
    work
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
