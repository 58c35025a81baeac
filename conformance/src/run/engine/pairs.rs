//! The pairs of a run: their preparation, their checks, and the boots that retries replace.

use super::{Plan, lock, order};
use crate::run::event::{Event, KernelName};
use crate::run::machines::{KernelInfo, MachineError, PairMachines};
use crate::run::request::Request;
use std::cmp::Reverse;
use std::sync::{Arc, Mutex};

/// One run of one behaviour on a pair.
pub(super) struct Check {
    pub pairing: Arc<Pairing>,
    /// The number of the behaviour.
    pub behaviour: usize,
    pub repetition: u32,
}

/// A kernel with a subject.
pub(super) struct Pairing {
    /// The numbers of the kernel and of the subject in the run.
    pub position: (usize, usize),
    pub kernel: KernelName,
    pub subject: String,
    pub ready: Result<Boots, MachineError>,
}

impl Pairing {
    /// Returns a note with the names of kernel and subject.
    pub fn note(&self, note: &str) -> String {
        format!("kernel {} with {}: {note}", self.kernel.name, self.subject)
    }
}

/// The boots of a pair. A retry of a row that failed because of its boot uses a new one.
pub(super) struct Boots {
    newest: Mutex<Boot>,
}

/// One boot of a pair.
#[derive(Clone)]
pub(super) struct Boot {
    /// The number of earlier boots that retries replaced.
    number: u32,
    pub ready: Arc<dyn PairMachines>,
}

impl Boots {
    fn new(ready: Arc<dyn PairMachines>) -> Boots {
        Boots { newest: Mutex::new(Boot { number: 0, ready }) }
    }

    pub fn newest(&self) -> Boot {
        lock(&self.newest).clone()
    }

    /// Returns a boot that is newer than `old`. Boots again if there is none yet, but at most `limit` times in all.
    pub fn newer(&self, old: &Boot, limit: u32, note: impl Fn(&str)) -> Option<Boot> {
        // Other retries wait here and then use the same boot.
        let mut newest = lock(&self.newest);
        if newest.number == old.number {
            if newest.number >= limit {
                return None;
            }
            match newest.ready.boot_again() {
                Ok(ready) => {
                    note("booted again for a retry");
                    ready.notes().iter().for_each(|text| note(text));
                    *newest = Boot { number: old.number + 1, ready };
                }
                Err(error) => {
                    note(&format!("cannot boot again for a retry: {}", error.reason));
                    return None;
                }
            }
        }
        Some(newest.clone())
    }
}

/// Prepares a kernel with every subject and returns the checks to run.
pub(super) fn prepare(
    plan: &Plan<'_>,
    number: usize,
    kernel: &KernelInfo,
    emit: &(dyn Fn(Event) + Sync),
) -> Vec<Check> {
    let (request, name) = (plan.request, &kernel.name);
    emit(Event::Preparing(format!("kernel {} ({})", name.name, name.release)));
    kernel.notes.iter().for_each(|note| emit(Event::Note(format!("kernel {}: {note}", name.name))));
    let prepared = plan.machines.prepare(number);
    let mut checks = Vec::new();
    for (subject_number, subject) in plan.subjects.iter().enumerate() {
        let behaviours = plan.behaviours_of(number, subject_number);
        if behaviours.is_empty() {
            continue;
        }
        let ready = match &prepared {
            Ok(kernel) => kernel.pair(subject_number),
            Err(error) => Err(error.clone()),
        };
        let notes = ready.as_ref().map_or_else(|_| Vec::new(), |ready| ready.notes().to_vec());
        let (position, ready) = ((number, subject_number), ready.map(Boots::new));
        let pairing = Arc::new(Pairing { position, kernel: name.clone(), subject: subject.clone(), ready });
        notes.iter().for_each(|note| emit(Event::Note(pairing.note(note))));
        emit(Event::PairReady { kernel: name.clone(), subject: subject.clone(), rows: behaviours.len() });
        checks.extend(checks_of(request, &pairing, &behaviours));
    }
    if let Some(seed) = request.flow.seed {
        order::shuffle(seed.wrapping_add(number as u64), &mut checks);
    } else {
        // Expensive behaviours first, so that no core is idle while another finishes the last one.
        checks.sort_by_key(|check| Reverse(request.selection.behaviours[check.behaviour].cost));
    }
    checks
}

/// Returns the checks of a kernel whose preparation panicked. Each reports `reason`.
pub(super) fn unprepared(plan: &Plan<'_>, number: usize, kernel: &KernelInfo, reason: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    for (subject_number, subject) in plan.subjects.iter().enumerate() {
        let ready = Err(MachineError { reason: reason.to_owned(), boot_failed: false });
        let position = (number, subject_number);
        let pairing = Arc::new(Pairing { position, kernel: kernel.name.clone(), subject: subject.clone(), ready });
        checks.extend(checks_of(plan.request, &pairing, &plan.behaviours_of(number, subject_number)));
    }
    checks
}

/// Returns the checks of these behaviours, one per repetition.
fn checks_of(request: &Request, pairing: &Arc<Pairing>, behaviours: &[usize]) -> Vec<Check> {
    let repetitions = request.flow.repeat.max(1);
    let check = |behaviour| {
        (0..repetitions).map(move |repetition| Check { pairing: Arc::clone(pairing), behaviour, repetition })
    };
    behaviours.iter().copied().flat_map(check).collect()
}
