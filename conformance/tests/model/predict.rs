//! What the request core says about a sequence.

use crate::sequence::{Program, SPREAD, Sequence, Step};
use request::{
    Begin, End, GaveUp, HelperPath, Launch, Message, Millis, Name, Next, OverLimit, Policy, Refusal, Request, Requests,
    WAIT, Why,
};
use std::collections::VecDeque;

/// How a caller ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// `request_module()` returned this errno, or a helper ran (ENOENT).
    Errno(i32),
    /// It was killed.
    Killed,
}

/// The end of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub fate: Fate,
    /// When, in milliseconds after the beginning.
    pub at: Millis,
}

/// What happened: the ends of the callers (the background first), the number of helpers, and the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The ends, in the order of the callers.
    pub ends: Vec<Ended>,
    /// How many helpers were started.
    pub helpers: usize,
    /// The messages, sorted.
    pub messages: Vec<String>,
}

/// The times of two ends are the same if they differ by less than this, in milliseconds: helpers take time to start.
const TOLERANCE: Millis = 700;

impl Outcome {
    /// The ends of each group of callers by time: which of them is the first to act is not known.
    fn by_group(&self, sequence: &Sequence) -> Vec<Ended> {
        let mut ends = self.ends.clone();
        let mut from = 0;
        for count in groups(sequence) {
            let to = (from + count).min(ends.len());
            ends[from..to].sort_by_key(|end| end.at);
            from = to;
        }
        ends
    }

    /// Returns one line for each difference from what the kernel did.
    pub fn differences(&self, kernel: &Outcome, sequence: &Sequence) -> Vec<String> {
        let mut lines = Vec::new();
        let (own, others) = (self.by_group(sequence), kernel.by_group(sequence));
        for (number, (core, kernel)) in own.iter().zip(&others).enumerate() {
            if core.fate != kernel.fate || core.at.abs_diff(kernel.at) >= TOLERANCE {
                lines.push(format!("caller {number}: core {core:?}, kernel {kernel:?}"));
            }
        }
        if self.ends.len() != kernel.ends.len() || self.helpers != kernel.helpers {
            let (callers, helpers) = (self.ends.len(), self.helpers);
            let (of_kernel, started) = (kernel.ends.len(), kernel.helpers);
            lines.push(format!("callers and helpers: core {callers}, {helpers}, kernel {of_kernel}, {started}"));
        }
        if self.messages != kernel.messages {
            lines.push(format!("messages: core {:?}, kernel {:?}", self.messages, kernel.messages));
        }
        lines
    }
}

/// How late a wait of five seconds can end: the timer wheel has steps of 64 jiffies for it (kernel/time/timer.c).
const LATE: Millis = 300;

/// How late a process can act: the processes of a sequence are started one after another, and each counts from its start.
const LATE_START: Millis = 400;

const ENOENT: i32 = 2;

/// An event of the simulation.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begin(usize),
    Path(Program),
    Kill(usize),
    Timeout(usize),
    HelperEnds(usize, Request),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Before,
    Waits,
    Runs(Request),
    Ended(Ended),
}

/// A simulated kernel and its callers.
struct Simulation<'a> {
    core: Requests<VecDeque<usize>>,
    program: Program,
    events: Vec<(Millis, Event)>,
    callers: Vec<State>,
    names: &'a [Name],
    helpers: usize,
    messages: Vec<String>,
    /// The callers that die when they no longer wait for a place.
    dying: Vec<usize>,
    /// How uncertain the time of the current event is, and that of the start of each caller's helper.
    spread: Millis,
    spreads: Vec<Millis>,
    /// The earliest and latest time of each event that changed something.
    times: Vec<(Millis, Millis)>,
}

/// The numbers of callers that act at the same time: those of the background that are killed, its others, then each step.
fn groups(sequence: &Sequence) -> impl Iterator<Item = usize> {
    let killed = sequence.killed.0.min(sequence.background);
    let steps = sequence.steps.iter().filter_map(|step| match step {
        Step::Request { callers, .. } => Some(*callers),
        Step::Path { .. } => None,
    });
    [killed, sequence.background - killed].into_iter().chain(steps).map(|count| count as usize)
}

/// The names that the background and the other callers request.
pub fn names(sequence: &Sequence) -> Vec<Name> {
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    vec![name("iptable_zz"); groups(sequence).sum()]
}

fn simulate(sequence: &Sequence, over: OverLimit) -> Simulation<'static> {
    let names: &'static [Name] = Box::leak(names(sequence).into_boxed_slice());
    let background = sequence.background as usize;
    let mut events: Vec<(Millis, Event)> = (0..background).map(|caller| (0, Event::Begin(caller))).collect();
    let (killed, after) = sequence.killed;
    events.extend((0..killed.min(sequence.background) as usize).map(|caller| (after, Event::Kill(caller))));
    let mut caller = background;
    for step in &sequence.steps {
        match *step {
            Step::Request { at, callers, killed_after } => {
                let first = caller;
                caller += callers as usize;
                events.extend((first..caller).map(|caller| (at, Event::Begin(caller))));
                let killed =
                    killed_after.into_iter().flat_map(|after| (first..caller).map(move |caller| (at + after, caller)));
                events.extend(killed.map(|(at, caller)| (at, Event::Kill(caller))));
            }
            Step::Path { at, program } => events.push((at, Event::Path(program))),
        }
    }
    let mut simulation = Simulation {
        core: Requests::new(Policy::new(over)),
        program: Program::Sleeps(sequence.sleep),
        events,
        callers: vec![State::Before; caller],
        names,
        helpers: 0,
        messages: Vec::new(),
        dying: Vec::new(),
        spread: 0,
        spreads: vec![0; caller],
        times: Vec::new(),
    };
    simulation.run(background);
    simulation
}

impl Simulation<'_> {
    fn run(&mut self, background: usize) {
        while let Some(next) = (0..self.events.len()).min_by_key(|&at| self.events[at].0) {
            let (now, event) = self.events.remove(next);
            self.spread = match event {
                Event::Begin(caller) if caller < background => SPREAD,
                Event::HelperEnds(caller, _) => self.spreads[caller],
                Event::Timeout(_) => LATE_START + LATE,
                Event::Begin(_) | Event::Kill(_) | Event::Path(_) => LATE_START,
            };
            if self.step(now, event) {
                self.times.push((now, now + self.spread));
            }
        }
    }

    /// Performs an event. Returns whether it changed anything.
    fn step(&mut self, now: Millis, event: Event) -> bool {
        match event {
            Event::Path(program) => self.program = program,
            Event::Begin(caller) => {
                let mut path = HelperPath::default();
                if self.program == Program::Disabled {
                    path.write(b"\n", &mut 0);
                }
                let messages = &mut self.messages;
                let mut log = |message: Message<'_>| messages.push(text(message));
                match self.core.begin(now, &path, &self.names[caller], caller, &mut log) {
                    Begin::Start(request) => self.launch(now, caller, request),
                    Begin::Wait => {
                        self.callers[caller] = State::Waits;
                        self.events.push((now + WAIT, Event::Timeout(caller)));
                    }
                    Begin::Refuse(refusal) => self.end(now, caller, Fate::Errno(refusal.errno())),
                }
            }
            Event::HelperEnds(caller, request) => {
                if self.callers[caller] != State::Runs(request) {
                    return false;
                }
                self.end(now, caller, Fate::Errno(ENOENT));
                self.free(now, caller, request, 256);
            }
            Event::Timeout(caller) | Event::Kill(caller) => {
                let why = if matches!(event, Event::Kill(_)) { Why::Killed } else { Why::Timeout };
                if let (State::Runs(request), Why::Killed) = (self.callers[caller], why) {
                    self.end(now, caller, Fate::Killed);
                    self.free(now, caller, request, -512);
                    return true;
                }
                if self.callers[caller] != State::Waits {
                    return false;
                }
                let messages = &mut self.messages;
                let mut log = |message: Message<'_>| messages.push(text(message));
                match self.core.give_up(now, &self.names[caller], caller, why, &mut log) {
                    GaveUp::Refuse(Refusal::Killed) => self.end(now, caller, Fate::Killed),
                    GaveUp::Refuse(_) if self.dying.contains(&caller) => self.end(now, caller, Fate::Killed),
                    GaveUp::Refuse(refusal) => self.end(now, caller, Fate::Errno(refusal.errno())),
                    // The signal takes effect when this wait ends.
                    GaveUp::KeepsWaiting => self.dying.push(caller),
                    GaveUp::NotWaiting => panic!("the core has forgotten caller {caller}"),
                }
            }
        }
        true
    }

    fn launch(&mut self, now: Millis, caller: usize, request: Request) {
        assert_eq!(self.core.launch(now, request, &self.names[caller], true, &mut |_| ()), Launch::Run);
        self.callers[caller] = State::Runs(request);
        self.spreads[caller] = self.spread;
        if self.dying.contains(&caller) {
            // The helper starts, but nothing waits for it.
            self.helpers += usize::from(matches!(self.program, Program::Sleeps(_)));
            self.end(now, caller, Fate::Killed);
            return self.free(now, caller, request, -512);
        }
        match self.program {
            Program::Sleeps(millis) => {
                self.helpers += 1;
                self.events.push((now + millis, Event::HelperEnds(caller, request)));
            }
            // The name of an empty path is not found either.
            Program::Missing | Program::Disabled => self.events.push((now, Event::HelperEnds(caller, request))),
        }
    }

    fn end(&mut self, at: Millis, caller: usize, fate: Fate) {
        self.callers[caller] = State::Ended(Ended { fate, at });
    }

    fn free(&mut self, now: Millis, caller: usize, request: Request, result: i32) {
        let End { next, .. } = self.core.end(now, request, &self.names[caller], result);
        match next {
            Next::NoRequest => {}
            Next::Grant(waiter, request) => self.launch(now, waiter, request),
            // All waiters are woken; the one that has waited longest is the first to run.
            Next::WakeAll => {
                for waiter in 0..self.callers.len() {
                    if self.callers[waiter] == State::Waits {
                        if let Some(request) = self.core.retry(waiter) {
                            self.launch(now, waiter, request);
                        }
                    }
                }
            }
        }
    }
}

/// Returns what the core predicts.
pub fn predict(sequence: &Sequence, over: OverLimit) -> Outcome {
    let simulation = simulate(sequence, over);
    let ends = simulation.callers.iter().map(|state| match state {
        State::Ended(ended) => *ended,
        other => panic!("a caller has not ended: {other:?}"),
    });
    let ends = ends.collect();
    // The kernel also reports what it suppressed in earlier sequences.
    let mut messages = simulation.messages;
    messages.retain(|message| !message.ends_with("callbacks suppressed"));
    messages.sort();
    Outcome { ends, helpers: simulation.helpers, messages }
}

/// Returns whether the events of a sequence are so far apart that it has one outcome, with every policy that waits.
pub fn is_certain(sequence: &Sequence, apart: Millis) -> bool {
    [OverLimit::WaitKillable, OverLimit::Wait].into_iter().all(|over| {
        let mut times = simulate(sequence, over).times;
        times.sort_unstable();
        // The callers of the background act at the same time.
        times.dedup();
        times.windows(2).all(|pair| pair[1].0 >= pair[0].1 + apart)
    })
}

fn text(message: Message<'_>) -> String {
    let mut text = format!("<{}> ", message.level() as u8).into_bytes();
    message.write_to(|part| text.extend(part));
    String::from_utf8_lossy(&text).into_owned()
}
