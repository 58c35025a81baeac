//! The engine: prepares pairs, runs each behaviour in its own guest, judges it, and emits events.

mod attempts;
pub(crate) mod check;
mod order;
mod rows;

pub use attempts::{merge_repetitions, merge_retries};
pub use rows::{RowPosition, rows};

use crate::catalogue::entry::{Behaviour, Group};
use crate::run::engine::attempts::is_unsuccessful;
use crate::run::engine::check::{panic_message, run_behaviour};
use crate::run::event::{Event, KernelName, Row, RunEnd, RunInfo, SkippedKernel};
use crate::run::pair::{Host, PairError, PreparedKernel, ReadyPair};
use crate::run::shard::Shard;
use crate::text::error_chain;
use harness::{Accel, Profile};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vm_images::{Kernel, Subject};

/// A run: what to run, and how.
pub struct RunSpec {
    /// The kernels, or the reason for which a kernel is left out.
    pub kernels: Vec<Result<Kernel, SkippedKernel>>,
    /// The subjects.
    pub subjects: Vec<Subject>,
    /// The behaviours.
    pub behaviours: Vec<&'static Behaviour>,
    /// The part of the rows to run.
    pub shard: Option<Shard>,
    /// Retries, repetitions and order.
    pub policy: RunPolicy,
    /// The maximum number of guests at a time.
    pub jobs: usize,
    /// The wall-clock limit of one behaviour.
    pub limit: Duration,
    /// The directory in which to save the console of each guest.
    pub keep: Option<PathBuf>,
    /// Whether a kernel that does not reach the agent is a failure instead of an error (to bisect a boot).
    pub boot_failure_fails: bool,
}

/// How often and in which order the rows of a run are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunPolicy {
    /// The maximum number of retries of a failed or inconclusive row, each in a new guest.
    pub retries: u32,
    /// The number of runs of each row; 0 means 1. Repeated rows are not retried.
    pub repeat: u32,
    /// Whether to start no more work after the first failed or inconclusive row.
    pub fail_fast: bool,
    /// The seed that shuffles the order of the rows. Without one, groups with long behaviours are first.
    pub seed: Option<u64>,
}

impl RunSpec {
    /// Returns the rows to run.
    fn rows(&self) -> Vec<RowPosition> {
        rows(self.kernels.len(), self.subjects.len(), &self.behaviours, self.shard.as_ref())
    }

    /// Returns the numbers of the behaviours to run on this kernel with this subject.
    fn behaviours_of(&self, kernel: usize, subject: usize) -> Vec<usize> {
        let in_pair = |row: &RowPosition| (row.0, row.1) == (kernel, subject);
        self.rows().into_iter().filter(in_pair).map(|row| row.2).collect()
    }
}

/// A unit of work.
enum Task {
    Prepare { kernel: usize },
    Check { kernel: Arc<Prepared>, behaviour: usize, repetition: u32 },
}

struct Prepared {
    /// The numbers of the kernel and of the subject in the run.
    position: (usize, usize),
    name: KernelName,
    subject: String,
    ready: Result<Boots, PairError>,
}

/// The boots of a pair. A retry of a row that failed because of its boot uses a new one.
struct Boots {
    newest: Mutex<Boot>,
}

/// One boot of a pair.
#[derive(Clone)]
struct Boot {
    /// The number of earlier boots that retries replaced.
    number: u32,
    ready: Arc<ReadyPair>,
}

impl Boots {
    fn new(ready: ReadyPair) -> Boots {
        Boots { newest: Mutex::new(Boot { number: 0, ready: Arc::new(ready) }) }
    }

    fn newest(&self) -> Boot {
        lock(&self.newest).clone()
    }

    /// Returns a boot that is newer than `old`. Boots again if there is none yet, but at most `limit` times in all.
    fn newer(&self, old: &Boot, limit: u32, host: &Host, note: impl Fn(String)) -> Option<Boot> {
        // Other retries wait here and then use the same boot.
        let mut newest = lock(&self.newest);
        if newest.number == old.number {
            if newest.number >= limit {
                return None;
            }
            match newest.ready.boot_again(host) {
                Ok(ready) => {
                    note("booted again for a retry".to_owned());
                    ready.notes.iter().cloned().for_each(note);
                    *newest = Boot { number: old.number + 1, ready: Arc::new(ready) };
                }
                Err(error) => {
                    note(format!("cannot boot again for a retry: {}", error_chain(&error)));
                    return None;
                }
            }
        }
        Some(newest.clone())
    }
}

impl Prepared {
    /// Returns a note with the names of kernel and subject.
    fn note(&self, note: &str) -> String {
        format!("kernel {} with {}: {note}", self.name.name, self.subject)
    }
}

struct Queue {
    tasks: VecDeque<Task>,
    /// The number of kernels being prepared, each of which may add tasks.
    preparing: usize,
}

/// The state that the workers share.
struct Shared<'a> {
    spec: &'a RunSpec,
    host: &'a Host,
    /// Set by the caller to end the run as soon as possible.
    stop: &'a AtomicBool,
    /// Set when no more work may be started because of [`RunPolicy::fail_fast`].
    halt: AtomicBool,
    emit: &'a (dyn Fn(Event) + Sync),
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Repetitions of the rows that are not complete.
    repetitions: Mutex<BTreeMap<RowPosition, Vec<Row>>>,
    judged: AtomicUsize,
}

/// Runs all rows of `spec`. Events are passed to `emit` from several threads. `stop` ends the run early.
pub fn run(spec: &RunSpec, host: &Host, stop: &AtomicBool, emit: &(dyn Fn(Event) + Sync)) {
    let started = Instant::now();
    let boot = &host.boot;
    emit(Event::Started(RunInfo {
        kmodlab: env!("CARGO_PKG_VERSION").to_owned(),
        qemu: host.qemu.version.to_string(),
        accelerator: accelerator_name(boot.accel).to_owned(),
        profile: profile_name(boot.profile).to_owned(),
        virtual_time: boot.virtual_time && boot.accel == Accel::Tcg,
        shard: spec.shard.clone(),
        seed: spec.policy.seed,
    }));
    let rows = spec.rows();
    if let Some(shard) = &spec.shard {
        let all = crate::run::engine::rows(spec.kernels.len(), spec.subjects.len(), &spec.behaviours, None).len();
        emit(Event::Note(format!("{shard}: {} of {all} rows", rows.len())));
    }
    let mut queue = Queue { tasks: VecDeque::new(), preparing: 0 };
    for (number, kernel) in spec.kernels.iter().enumerate() {
        match kernel {
            // A kernel without a row in this shard is not booted.
            Ok(_) if rows.iter().all(|row| row.0 != number) => {}
            Ok(_) => queue.tasks.push_back(Task::Prepare { kernel: number }),
            Err(skipped) => emit(Event::KernelSkipped(skipped.clone())),
        }
    }
    if let Some(seed) = spec.policy.seed {
        emit(Event::Note(format!("order of the rows: seed {seed}")));
        order::shuffle(seed, queue.tasks.make_contiguous());
    }
    let shared = Shared {
        spec,
        host,
        stop,
        halt: AtomicBool::new(false),
        emit,
        queue: Mutex::new(queue),
        changed: Condvar::new(),
        repetitions: Mutex::new(BTreeMap::new()),
        judged: AtomicUsize::new(0),
    };
    std::thread::scope(|scope| {
        // There is no work for more workers than guests.
        let guests = rows.len() * spec.policy.repeat.max(1) as usize;
        for _ in 0..spec.jobs.min(guests).max(1) {
            scope.spawn(|| shared.work());
        }
    });
    // A run that ended early reports rows with fewer repetitions than requested.
    let incomplete_rows = std::mem::take(&mut *lock(&shared.repetitions));
    incomplete_rows.into_values().filter_map(merge_repetitions).for_each(|row| shared.report(row));
    let expected = rows.iter().filter(|row| spec.kernels[row.0].is_ok()).count();
    let (interrupted, stopped) = (stop.load(Ordering::SeqCst), shared.halt.load(Ordering::SeqCst));
    let not_run = expected - shared.judged.load(Ordering::SeqCst).min(expected);
    emit(Event::Ended(RunEnd {
        interrupted,
        stopped: stopped && not_run > 0,
        not_run,
        wall_ms: millis(started.elapsed()),
    }));
}

/// Locks a mutex and ignores poison: no critical section of the engine can panic in the middle of a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared<'_> {
    /// Runs a worker, which takes tasks until there are none.
    fn work(&self) {
        while let Some(task) = self.next() {
            match task {
                Task::Prepare { kernel: number } => {
                    let checks = match &self.spec.kernels[number] {
                        // The other workers wait for this one, so it must return even if preparation panics.
                        Ok(kernel) => {
                            catch_unwind(AssertUnwindSafe(|| prepare(self.spec, number, kernel, self.host, self.emit)))
                                .unwrap_or_else(|panic| unprepared(self.spec, number, kernel, &panic_message(&*panic)))
                        }
                        Err(_) => Vec::new(),
                    };
                    let mut queue = lock(&self.queue);
                    queue.tasks.extend(checks);
                    queue.preparing -= 1;
                    self.changed.notify_all();
                }
                Task::Check { kernel, behaviour, repetition } => self.check(&kernel, behaviour, repetition),
            }
        }
    }

    /// Returns the next task. Waits while a kernel is being prepared.
    fn next(&self) -> Option<Task> {
        let mut queue = lock(&self.queue);
        loop {
            if self.stop.load(Ordering::SeqCst) || self.halt.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(task) = queue.tasks.pop_front() {
                if matches!(task, Task::Prepare { .. }) {
                    queue.preparing += 1;
                }
                return Some(task);
            }
            if queue.preparing == 0 {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs a behaviour with its retries or one of its repetitions, and reports the row when it is complete.
    fn check(&self, kernel: &Prepared, behaviour: usize, repetition: u32) {
        let mut boot = kernel.ready.as_ref().map(Boots::newest);
        let attempt = |number, boot: &Result<Boot, &PairError>| {
            let ready = boot.as_ref().map(|boot| &*boot.ready).map_err(|error| *error);
            run_behaviour(self.spec, kernel, ready, behaviour, number, self.host, self.stop)
        };
        let repeat = self.spec.policy.repeat;
        if repeat > 1 {
            let row = attempt(repetition, &boot);
            let unsuccessful = is_unsuccessful(row.verdict);
            let complete = {
                let mut repetitions = lock(&self.repetitions);
                let position = row.position;
                let rows = repetitions.entry(position).or_default();
                rows.push(row);
                if rows.len() == repeat as usize { repetitions.remove(&position) } else { None }
            };
            complete.and_then(merge_repetitions).into_iter().for_each(|row| self.report(row));
            self.halt_if(unsuccessful);
            return;
        }
        let mut attempts = vec![attempt(0, &boot)];
        while let (Some(row), Ok(boots)) = (attempts.last(), &kernel.ready) {
            let enough = attempts.len() > self.spec.policy.retries as usize;
            if !is_unsuccessful(row.verdict) || enough || self.stop.load(Ordering::SeqCst) {
                break;
            }
            if row.findings.iter().any(|finding| finding.boot && finding.allowed.is_none()) {
                // In a clone of the same boot the row could only fail again.
                let note = |note: String| (self.emit)(Event::Note(kernel.note(&note)));
                let newer =
                    boot.as_ref().ok().and_then(|old| boots.newer(old, self.spec.policy.retries, self.host, note));
                let Some(newer) = newer else { break };
                boot = Ok(newer);
            }
            attempts.push(attempt(u32::try_from(attempts.len()).unwrap_or(u32::MAX), &boot));
        }
        if let Some(row) = merge_retries(attempts) {
            let unsuccessful = is_unsuccessful(row.verdict);
            self.report(row);
            self.halt_if(unsuccessful);
        }
    }

    fn report(&self, row: Row) {
        self.judged.fetch_add(1, Ordering::SeqCst);
        (self.emit)(Event::Judged(Box::new(row)));
    }

    fn halt_if(&self, unsuccessful: bool) {
        if unsuccessful && self.spec.policy.fail_fast && !self.halt.swap(true, Ordering::SeqCst) {
            // The lock makes sure that no waiting worker misses the notification between its test of `halt` and its wait.
            drop(lock(&self.queue));
            self.changed.notify_all();
        }
    }
}

/// Prepares a kernel with every subject and returns the checks to run.
fn prepare(
    spec: &RunSpec,
    kernel_number: usize,
    kernel: &Kernel,
    host: &Host,
    emit: &(dyn Fn(Event) + Sync),
) -> Vec<Task> {
    let name = KernelName { name: kernel.name.clone(), release: kernel.release.to_string() };
    emit(Event::Preparing(format!("kernel {} ({})", name.name, name.release)));
    kernel.notes.iter().for_each(|note| emit(Event::Note(format!("kernel {}: {note}", name.name))));
    let prepared_kernel = PreparedKernel::new(kernel.clone(), host);
    let mut tasks = Vec::new();
    for (number, subject) in spec.subjects.iter().enumerate() {
        let behaviours = spec.behaviours_of(kernel_number, number);
        if behaviours.is_empty() {
            continue;
        }
        let ready = match &prepared_kernel {
            Ok(kernel) => kernel.pair(subject, host),
            Err(error) => Err(PairError::Unusable(error_chain(error))),
        };
        let notes: Vec<String> = ready.iter().flat_map(|ready| ready.notes.iter().cloned()).collect();
        let position = (kernel_number, number);
        let (subject, ready) = (subject.name().to_owned(), ready.map(Boots::new));
        let prepared = Arc::new(Prepared { position, name: name.clone(), subject, ready });
        notes.iter().for_each(|note| emit(Event::Note(prepared.note(note))));
        let subject = prepared.subject.clone();
        emit(Event::PairReady { kernel: name.clone(), subject, rows: behaviours.len() });
        tasks.extend(checks(spec, &prepared, behaviours));
    }
    if let Some(seed) = spec.policy.seed {
        order::shuffle(seed.wrapping_add(kernel_number as u64), &mut tasks);
        return tasks;
    }
    // Long behaviours first, so that no core is idle while another finishes the last one.
    tasks.sort_by_key(|task| match task {
        Task::Check { behaviour, .. } => rank(spec.behaviours[*behaviour].group),
        Task::Prepare { .. } => 0,
    });
    tasks
}

/// Returns the checks of these behaviours, one per repetition.
fn checks(spec: &RunSpec, kernel: &Arc<Prepared>, behaviours: Vec<usize>) -> Vec<Task> {
    let check = |behaviour| {
        let repetitions = 0..spec.policy.repeat.max(1);
        repetitions.map(move |repetition| Task::Check { kernel: Arc::clone(kernel), behaviour, repetition })
    };
    behaviours.into_iter().flat_map(check).collect()
}

/// Returns the rank of a group; the group with the longest behaviours has rank 0.
fn rank(group: Group) -> u8 {
    match group {
        Group::Loop => 0,
        Group::Dep => 1,
        Group::Load | Group::Unload | Group::Config => 2,
        Group::Tool => 3,
        Group::Path => 4,
    }
}

/// Returns the checks of a kernel whose preparation panicked. Each reports `reason`.
fn unprepared(spec: &RunSpec, number: usize, kernel: &Kernel, reason: &str) -> Vec<Task> {
    let name = KernelName { name: kernel.name.clone(), release: kernel.release.to_string() };
    let mut tasks = Vec::new();
    for (subject_number, subject) in spec.subjects.iter().enumerate() {
        let (name, subject) = (name.clone(), subject.name().to_owned());
        let ready = Err(PairError::Unusable(reason.to_owned()));
        let position = (number, subject_number);
        let prepared = Arc::new(Prepared { position, name, subject, ready });
        tasks.extend(checks(spec, &prepared, spec.behaviours_of(number, subject_number)));
    }
    tasks
}

/// The accelerator's name in reports.
fn accelerator_name(accelerator: Accel) -> &'static str {
    match accelerator {
        Accel::Tcg => "tcg",
        Accel::Kvm => "kvm",
    }
}

/// The boot profile's name in reports.
fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Faithful => "faithful",
        Profile::Fast => "fast",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
