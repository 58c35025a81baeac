//! The engine: prepares pairs, runs each behaviour in its own guest, judges it, and emits events. It knows machines only
//! through [`Machines`].

mod attempts;
mod order;
mod pairs;
pub(crate) mod row;

pub use attempts::{merge_repetitions, merge_retries};

use crate::run::event::{Event, Row, RunEnd, RunInfo, SkippedKernel};
use crate::run::gate::Skips;
use crate::run::machines::{KernelInfo, MachineError, MachineInfo, Machines};
use crate::run::request::Request;
use crate::run::rows::{RowPosition, rows};
use crate::run::verdict::{Counts, Outcome};
use attempts::is_unsuccessful;
use pairs::{Boot, Boots, Check, prepare, unprepared};
use row::{panic_message, run_behaviour};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A unit of work.
enum Task {
    Prepare { kernel: usize },
    Check(Check),
}

struct Queue {
    tasks: VecDeque<Task>,
    /// The number of kernels being prepared, each of which may add tasks.
    preparing: usize,
}

/// A run, with the kernels, the subjects and the rows that belong to it.
struct Plan<'a> {
    request: &'a Request,
    machines: &'a dyn Machines,
    kernels: Vec<Result<KernelInfo, SkippedKernel>>,
    subjects: Vec<String>,
    rows: Vec<RowPosition>,
}

impl<'a> Plan<'a> {
    fn new(request: &'a Request, machines: &'a dyn Machines) -> Plan<'a> {
        let (kernels, subjects) = (machines.kernels(), machines.subjects());
        let rows = rows(kernels.len(), subjects.len(), &request.selection.behaviours, request.selection.shard.as_ref());
        Plan { request, machines, kernels, subjects, rows }
    }

    /// Returns the numbers of the behaviours to run on this kernel with this subject.
    fn behaviours_of(&self, kernel: usize, subject: usize) -> Vec<usize> {
        let in_pair = |row: &&RowPosition| (row.0, row.1) == (kernel, subject);
        self.rows.iter().filter(in_pair).map(|row| row.2).collect()
    }

    /// Returns the first tasks: the kernels to prepare. A kernel without a row in this shard is not booted.
    fn first_tasks(&self) -> Vec<Task> {
        let kernels = self.kernels.iter().enumerate();
        let has_rows = |number: &usize| self.rows.iter().any(|row| row.0 == *number);
        let numbers = kernels.filter(|(_, kernel)| kernel.is_ok()).map(|(number, _)| number).filter(has_rows);
        let mut tasks: Vec<Task> = numbers.map(|kernel| Task::Prepare { kernel }).collect();
        if let Some(seed) = self.request.flow.seed {
            order::shuffle(seed, &mut tasks);
        }
        tasks
    }

    /// Returns the number of rows on kernels that are not left out.
    fn expected(&self) -> usize {
        self.rows.iter().filter(|row| self.kernels[row.0].is_ok()).count()
    }
}

/// The state that the workers share.
struct Shared<'a> {
    plan: Plan<'a>,
    /// Set by the caller to end the run as soon as possible.
    stop: &'a AtomicBool,
    /// Set when no more work may be started because of [`Flow::fail_fast`](crate::run::request::Flow::fail_fast).
    halt: AtomicBool,
    emit: &'a (dyn Fn(Event) + Sync),
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Repetitions of the rows that are not complete.
    repetitions: Mutex<BTreeMap<RowPosition, Vec<Row>>>,
    counts: Mutex<Counts>,
    skips: Mutex<Skips>,
}

/// Runs the rows of `request` on `machines`. Events are passed to `emit` from several threads. `stop` ends the run early.
pub fn run(request: &Request, machines: &dyn Machines, stop: &AtomicBool, emit: &(dyn Fn(Event) + Sync)) -> Outcome {
    let started = Instant::now();
    emit(Event::Started(run_info(request, machines.info())));
    let plan = Plan::new(request, machines);
    let Request { selection, flow, .. } = request;
    if let Some(shard) = &selection.shard {
        let all = rows(plan.kernels.len(), plan.subjects.len(), &selection.behaviours, None).len();
        emit(Event::Note(format!("{shard}: {} of {all} rows", plan.rows.len())));
    }
    let skipped = plan.kernels.iter().filter_map(|kernel| kernel.as_ref().err());
    skipped.for_each(|kernel| emit(Event::KernelSkipped(kernel.clone())));
    if let Some(seed) = flow.seed {
        emit(Event::Note(format!("order of the rows: seed {seed}")));
    }
    // There is no work for more workers than guests.
    let workers = flow.jobs.min(plan.rows.len() * flow.repeat.max(1) as usize).max(1);
    let shared = Shared {
        queue: Mutex::new(Queue { tasks: plan.first_tasks().into(), preparing: 0 }),
        plan,
        stop,
        halt: AtomicBool::new(false),
        emit,
        changed: Condvar::new(),
        repetitions: Mutex::new(BTreeMap::new()),
        counts: Mutex::new(Counts::default()),
        skips: Mutex::new(Skips::default()),
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| shared.work());
        }
    });
    // A run that ended early reports rows with fewer repetitions than requested.
    let incomplete_rows = std::mem::take(&mut *lock(&shared.repetitions));
    incomplete_rows.into_values().filter_map(merge_repetitions).for_each(|row| shared.report(row));
    let (interrupted, stopped) = (stop.load(Ordering::SeqCst), shared.halt.load(Ordering::SeqCst));
    let counts = *lock(&shared.counts);
    let not_run = shared.plan.expected().saturating_sub(counts.rows());
    let left_out = shared.plan.kernels.iter().filter_map(|kernel| kernel.as_ref().err());
    let unmet = request.gate.unmet(std::mem::take(&mut *lock(&shared.skips)), left_out);
    let stopped = stopped && not_run > 0;
    let end = RunEnd { interrupted, stopped, not_run, unmet, wall_ms: millis(started.elapsed()) };
    let exit_code = counts.exit_code(end.is_incomplete());
    emit(Event::Ended(end));
    Outcome { counts, exit_code }
}

fn run_info(request: &Request, machines: MachineInfo) -> RunInfo {
    let MachineInfo { qemu, accelerator, profile, virtual_time } = machines;
    RunInfo {
        kmodlab: env!("CARGO_PKG_VERSION").to_owned(),
        qemu,
        accelerator,
        profile,
        virtual_time,
        shard: request.selection.shard.clone(),
        seed: request.flow.seed,
    }
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
                Task::Prepare { kernel } => {
                    let checks = self.prepare(kernel);
                    let mut queue = lock(&self.queue);
                    queue.tasks.extend(checks.into_iter().map(Task::Check));
                    queue.preparing -= 1;
                    self.changed.notify_all();
                }
                Task::Check(check) => self.check(&check),
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

    /// Prepares a kernel and returns its checks. The other workers wait for this one, so it returns even if the
    /// preparation panics.
    fn prepare(&self, number: usize) -> Vec<Check> {
        let Ok(kernel) = &self.plan.kernels[number] else { return Vec::new() };
        catch_unwind(AssertUnwindSafe(|| prepare(&self.plan, number, kernel, self.emit)))
            .unwrap_or_else(|panic| unprepared(&self.plan, number, kernel, &panic_message(&*panic)))
    }

    /// Runs a behaviour with its retries or one of its repetitions, and reports the row when it is complete.
    fn check(&self, check: &Check) {
        if self.plan.request.flow.repeat > 1 {
            let boot = check.pairing.ready.as_ref().map(Boots::newest);
            let row = self.attempt(check, &boot, check.repetition);
            let unsuccessful = is_unsuccessful(row.verdict);
            self.complete(row).into_iter().for_each(|row| self.report(row));
            self.halt_if(unsuccessful);
        } else if let Some(row) = self.with_retries(check) {
            let unsuccessful = is_unsuccessful(row.verdict);
            self.report(row);
            self.halt_if(unsuccessful);
        }
    }

    fn attempt(&self, check: &Check, boot: &Result<Boot, &MachineError>, number: u32) -> Row {
        let ready = boot.as_ref().map(|boot| &*boot.ready).map_err(|error| *error);
        run_behaviour(self.plan.request, &check.pairing, ready, check.behaviour, number, self.stop)
    }

    /// Adds a repetition. Returns the row if this was its last one.
    fn complete(&self, row: Row) -> Option<Row> {
        let mut repetitions = lock(&self.repetitions);
        let position = row.position;
        let rows = repetitions.entry(position).or_default();
        rows.push(row);
        if rows.len() < self.plan.request.flow.repeat as usize {
            return None;
        }
        repetitions.remove(&position).and_then(merge_repetitions)
    }

    /// Runs a behaviour until it succeeds or its retries are used up.
    fn with_retries(&self, check: &Check) -> Option<Row> {
        let retries = self.plan.request.flow.retries;
        let mut boot = check.pairing.ready.as_ref().map(Boots::newest);
        let mut attempts = vec![self.attempt(check, &boot, 0)];
        while let (Some(row), Ok(boots)) = (attempts.last(), &check.pairing.ready) {
            let enough = attempts.len() > retries as usize;
            if !is_unsuccessful(row.verdict) || enough || self.stop.load(Ordering::SeqCst) {
                break;
            }
            if row.findings.iter().any(|finding| finding.boot && finding.allowed.is_none()) {
                // In a clone of the same boot the row could only fail again.
                let note = |note: &str| (self.emit)(Event::Note(check.pairing.note(note)));
                let newer = boot.as_ref().ok().and_then(|old| boots.newer(old, retries, note));
                let Some(newer) = newer else { break };
                boot = Ok(newer);
            }
            attempts.push(self.attempt(check, &boot, u32::try_from(attempts.len()).unwrap_or(u32::MAX)));
        }
        merge_retries(attempts)
    }

    fn report(&self, row: Row) {
        self.plan.request.gate.count(&row, &mut lock(&self.skips));
        {
            let mut counts = lock(&self.counts);
            counts.add(row.verdict);
            counts.flaky += usize::from(row.flaky);
        }
        (self.emit)(Event::Judged(Box::new(row)));
    }

    fn halt_if(&self, unsuccessful: bool) {
        if unsuccessful && self.plan.request.flow.fail_fast && !self.halt.swap(true, Ordering::SeqCst) {
            // The lock makes sure that no waiting worker misses the notification between its test of `halt` and its wait.
            drop(lock(&self.queue));
            self.changed.notify_all();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
