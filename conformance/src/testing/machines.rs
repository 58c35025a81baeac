//! Kernels, subjects and boots that do what a test says.

use super::guest::ScriptedGuest;
use crate::catalogue::entry::{About, Check, Checked, Cost, Entry, Group, Need};
use crate::catalogue::probes;
use crate::check::lab::{Lab, Pair};
use crate::check::traits::TRAITS;
use crate::run::engine;
use crate::run::event::{Event, KernelName, Row, RunEnd, SkippedKernel};
use crate::run::judge::Judging;
use crate::run::machines::{KernelInfo, KernelMachines, Machine, MachineError, MachineInfo, Machines, PairMachines};
use crate::run::request::{Request, Selection};
use crate::run::verdict::Outcome;
use harness::{Accel, Finding, Profile};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use vm_images::{Catalogue, ImageFacts};

/// A result or the reason why there is none.
type Scripted<T> = Result<T, MachineError>;

/// Returns what checks see of a kernel and a subject.
type PairOf = dyn Fn(&str, &str) -> Pair + Send + Sync;

/// Kernels, subjects and boots that do what a test says.
pub struct ScriptedMachines {
    /// The names of the kernels; one that begins with `!` is left out.
    kernels: Vec<&'static str>,
    subjects: Vec<&'static str>,
    script: Arc<Script>,
}

struct Script {
    prepare: Box<dyn Fn(usize) -> Scripted<()> + Send + Sync>,
    boot: Box<dyn Fn(u32) -> Scripted<Vec<Finding>> + Send + Sync>,
    guest: Box<dyn Fn(usize) -> Scripted<Box<dyn Machine>> + Send + Sync>,
    pair: Box<PairOf>,
    started: AtomicUsize,
}

impl ScriptedMachines {
    /// Returns machines whose guests are made by `guest`, which gets the number of guests before it.
    pub fn new<G: Machine + 'static>(guest: impl Fn(usize) -> G + Send + Sync + 'static) -> ScriptedMachines {
        ScriptedMachines {
            kernels: vec!["6.1"],
            subjects: vec!["ours"],
            script: Arc::new(Script {
                prepare: Box::new(|_| Ok(())),
                boot: Box::new(|_| Ok(Vec::new())),
                guest: Box::new(move |number| Ok(Box::new(guest(number)))),
                pair: Box::new(pair),
                started: AtomicUsize::new(0),
            }),
        }
    }

    /// Returns machines whose guests all pass a check that reads `/right`.
    pub fn right() -> ScriptedMachines {
        Self::new(|_| ScriptedGuest::with_files("/right"))
    }

    /// Sets the kernels.
    pub fn kernels(self, kernels: &[&'static str]) -> ScriptedMachines {
        ScriptedMachines { kernels: kernels.to_vec(), ..self }
    }

    /// Sets the subjects.
    pub fn subjects(self, subjects: &[&'static str]) -> ScriptedMachines {
        ScriptedMachines { subjects: subjects.to_vec(), ..self }
    }

    fn script(self, change: impl FnOnce(&mut Script)) -> ScriptedMachines {
        let mut machines = self;
        change(Arc::get_mut(&mut machines.script).expect("a script is changed before it is run"));
        machines
    }

    /// Sets what happens when a kernel is prepared.
    pub fn preparing(self, prepare: impl Fn(usize) -> Scripted<()> + Send + Sync + 'static) -> ScriptedMachines {
        self.script(|script| script.prepare = Box::new(prepare))
    }

    /// Sets the findings of the boots of a pair.
    pub fn booting(self, boot: impl Fn(u32) -> Scripted<Vec<Finding>> + Send + Sync + 'static) -> ScriptedMachines {
        self.script(|script| script.boot = Box::new(boot))
    }

    /// Sets why no guest starts.
    pub fn without_guests(self, error: MachineError) -> ScriptedMachines {
        self.script(|script| script.guest = Box::new(move |_| Err(error.clone())))
    }

    /// Sets what checks see of a kernel and a subject.
    pub fn pairs(self, pair: impl Fn(&str, &str) -> Pair + Send + Sync + 'static) -> ScriptedMachines {
        self.script(|script| script.pair = Box::new(pair))
    }

    /// Returns the number of guests started so far.
    pub fn started(&self) -> usize {
        self.script.started.load(Ordering::SeqCst)
    }

    /// Runs a request.
    pub fn run(&self, request: &Request) -> Run {
        self.run_until(request, &AtomicBool::new(false))
    }

    /// Runs a request until `stop` is set.
    pub fn run_until(&self, request: &Request, stop: &AtomicBool) -> Run {
        let events = Mutex::new(Vec::new());
        let outcome = engine::run(request, self, stop, &|event| events.lock().unwrap().push(event));
        Run { events: events.into_inner().unwrap(), outcome }
    }
}

/// The events and the outcome of a run.
pub struct Run {
    pub events: Vec<Event>,
    pub outcome: Outcome,
}

impl Run {
    /// Returns the rows in the order in which they were judged.
    pub fn rows(&self) -> Vec<&Row> {
        let rows = self.events.iter().filter_map(|event| match event {
            Event::Judged(row) => Some(&**row),
            _ => None,
        });
        rows.collect()
    }

    /// Returns the only row.
    pub fn row(&self) -> &Row {
        let [row] = self.rows()[..] else { panic!("{:#?}", self.events) };
        row
    }

    /// Returns the notes.
    pub fn notes(&self) -> Vec<&str> {
        let notes = self.events.iter().filter_map(|event| match event {
            Event::Note(note) => Some(&**note),
            _ => None,
        });
        notes.collect()
    }

    /// Returns how the run ended.
    pub fn end(&self) -> &RunEnd {
        match self.events.last() {
            Some(Event::Ended(end)) => end,
            other => panic!("{other:#?}"),
        }
    }
}

/// Returns an entry of the kernel with this check.
pub const fn entry(id: &'static str, check: fn(&mut Lab<'_>) -> Check) -> Entry {
    Entry {
        id,
        catalogue: "TEST",
        group: Group::Tool,
        statement: "a statement",
        source: "a test",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[],
        probes: &[],
        check: Checked::By(check),
    }
}

/// Returns a request for these behaviours with one guest at a time.
pub fn request(behaviours: &[&'static Entry]) -> Request {
    let selection = Selection { behaviours: behaviours.to_vec(), shard: None };
    let judging = Judging::builtin(&Catalogue::builtin().unwrap()).unwrap();
    Request { selection, ..Request::new(Vec::new(), Vec::new(), judging, 1) }
}

/// Returns what checks see of a kernel and a subject with all commands and traits.
pub fn pair(kernel: &str, subject: &str) -> Pair {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let release = format!("{kernel}.0");
    Pair {
        probes: probes::resolve(&release, &ImageFacts::of_config(""), &[]),
        release,
        modules: None,
        subject: subject.to_owned(),
        commands: words(&["depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod"]),
        traits: words(&TRAITS.iter().map(|known| known.name).collect::<Vec<_>>()),
    }
}

impl Machines for ScriptedMachines {
    fn info(&self) -> MachineInfo {
        let (accelerator, profile) = (Accel::Tcg, Profile::Faithful);
        MachineInfo { qemu: "7.2".to_owned(), accelerator, profile, virtual_time: true }
    }

    fn kernels(&self) -> Vec<Result<KernelInfo, SkippedKernel>> {
        let kernel = |&name: &&'static str| match name.strip_prefix('!') {
            Some(name) => Err(SkippedKernel { name: name.to_owned(), reason: "it is not in the cache".to_owned() }),
            None => Ok(KernelInfo {
                name: KernelName { name: name.to_owned(), release: format!("{name}.0") },
                notes: Vec::new(),
            }),
        };
        self.kernels.iter().map(kernel).collect()
    }

    fn subjects(&self) -> Vec<String> {
        self.subjects.iter().map(|&name| name.to_owned()).collect()
    }

    fn prepare(&self, kernel: usize) -> Scripted<Box<dyn KernelMachines>> {
        (self.script.prepare)(kernel)?;
        Ok(Box::new(ScriptedKernel {
            name: self.kernels[kernel],
            subjects: self.subjects.clone(),
            script: Arc::clone(&self.script),
        }))
    }
}

struct ScriptedKernel {
    name: &'static str,
    subjects: Vec<&'static str>,
    script: Arc<Script>,
}

impl KernelMachines for ScriptedKernel {
    fn pair(&self, subject: usize) -> Scripted<Arc<dyn PairMachines>> {
        let pair = (self.script.pair)(self.name, self.subjects[subject]);
        ScriptedPair::boot(pair, 0, Arc::clone(&self.script))
    }
}

struct ScriptedPair {
    pair: Pair,
    boot: u32,
    findings: Vec<Finding>,
    script: Arc<Script>,
}

impl ScriptedPair {
    fn boot(pair: Pair, boot: u32, script: Arc<Script>) -> Scripted<Arc<dyn PairMachines>> {
        let findings = (script.boot)(boot)?;
        Ok(Arc::new(ScriptedPair { pair, boot, findings, script }))
    }
}

impl PairMachines for ScriptedPair {
    fn pair(&self) -> &Pair {
        &self.pair
    }

    fn notes(&self) -> &[String] {
        &[]
    }

    fn meets(&self, need: &Need) -> bool {
        match need {
            Need::Command(name) => self.pair.commands.iter().any(|command| command == name),
            Need::Trait(name) => self.pair.has_trait(name),
            Need::Module(_) | Need::Config(_) => true,
        }
    }

    fn boot_findings(&self) -> &[Finding] {
        &self.findings
    }

    fn guest(&self) -> Scripted<Box<dyn Machine>> {
        (self.script.guest)(self.script.started.fetch_add(1, Ordering::SeqCst))
    }

    fn boot_again(&self) -> Scripted<Arc<dyn PairMachines>> {
        Self::boot(self.pair.clone(), self.boot + 1, Arc::clone(&self.script))
    }
}
