//! What the request core says about a sequence.

use crate::sequence::{Callers, Program, SPREAD, Sequence, Step};
use request::{
    Begin, End, GaveUp, HelperPath, Launch, MergeId, Message, Millis, Name, Next, Policy, Refusal, Request, Requests,
    WAIT, Why,
};
use std::collections::{HashMap, HashSet, VecDeque};

/// How a caller ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// `request_module()` returned this errno, or a number that is not negative (ENOENT: there is no such table).
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
    /// The messages, sorted, with the group of a caller instead of its number: see [`message_of_group`].
    pub messages: Vec<String>,
}

/// Removes the number of the caller from the name in a message: which caller of a group is the first to act is not known.
pub fn message_of_group(message: &str) -> String {
    match message.split_once("iptable_r") {
        Some((before, name)) => {
            let (run, caller) = name.split_once('-').unwrap_or((name, ""));
            let group = caller.trim_start_matches(|digit: char| digit.is_ascii_digit());
            format!("{before}iptable_r{run}-{group}")
        }
        None => message.to_owned(),
    }
}

/// The times of two ends are the same if they differ by less than this, in milliseconds: helpers take time to start.
const TOLERANCE: Millis = 700;

impl Outcome {
    /// The ends of each group of callers by time: which of them is the first to act is not known.
    fn by_group(&self, sequence: &Sequence) -> Vec<Ended> {
        let mut ends = self.ends.clone();
        let mut from = 0;
        for callers in sequence.groups() {
            let to = (from + callers.count as usize).min(ends.len());
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

/// How late a merged request can be forgotten: the timer wheel has steps of 512 jiffies for a minute.
const LATE_FORGOTTEN: Millis = 2200;

/// How late a process can act: the processes of a sequence are started one after another, and each counts from its start.
const LATE_START: Millis = 400;

const ENOENT: i32 = 2;

/// What `request_module()` returns if the caller is killed while its helper runs (`-ERESTARTSYS`).
const KILLED: i32 = -512;

/// An event of the simulation.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begin(usize),
    Path(Program),
    Kill(usize),
    Timeout(usize),
    HelperEnds(usize, Request, i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Before,
    Waits,
    Runs(Request),
    Follows(Request, MergeId),
    Ended(Ended),
}

/// The first of several callers whose requests are merged.
#[derive(Clone, Copy)]
struct First {
    caller: usize,
    at: (Millis, Millis),
}

/// A simulated kernel and its callers.
struct Simulation {
    core: Requests<VecDeque<usize>, 256>,
    program: Program,
    events: Vec<(Millis, Event)>,
    callers: Vec<State>,
    names: Vec<Name>,
    /// The group of each caller, and whether it is killed.
    groups: Vec<(usize, bool)>,
    helpers: usize,
    messages: Vec<String>,
    /// The callers that have received a fatal signal.
    dying: Vec<usize>,
    /// How uncertain the time of the current event is, and that of the start of each caller's helper.
    spread: Millis,
    spreads: Vec<Millis>,
    /// The earliest and latest time of each event that changed something.
    times: Vec<(Millis, Millis)>,
    /// When each caller changed its state the last time, and how uncertain that time is.
    since: Vec<(Millis, Millis)>,
    /// When a helper that ends at once was started.
    instant: Option<Millis>,
    firsts: HashMap<usize, First>,
    /// The names that are forgotten at some time between two.
    forgotten: Vec<(usize, (Millis, Millis))>,
    /// Whether the outcome depends on more than the order of the events.
    uncertain: bool,
}

fn simulate(sequence: &Sequence, policy: Policy, run: u64) -> Simulation {
    let names: Vec<Name> =
        sequence.names(run).iter().map(|name| Name::new(format!("iptable_{name}").as_bytes()).unwrap()).collect();
    let mut events: Vec<(Millis, Event)> = Vec::new();
    let mut groups = Vec::new();
    for (group, Callers { at, count, killed_at, .. }) in sequence.groups().enumerate() {
        for _ in 0..count {
            let caller = groups.len();
            events.push((at, Event::Begin(caller)));
            events.extend(killed_at.map(|at| (at, Event::Kill(caller))));
            groups.push((group, killed_at.is_some()));
        }
    }
    for step in &sequence.steps {
        if let Step::Path { at, program } = *step {
            events.push((at, Event::Path(program)));
        }
    }
    let callers = groups.len();
    let mut simulation = Simulation {
        core: Requests::new(policy),
        program: Program::Sleeps(sequence.sleep),
        events,
        callers: vec![State::Before; callers],
        names,
        groups,
        helpers: 0,
        messages: Vec::new(),
        dying: Vec::new(),
        spread: 0,
        spreads: vec![0; callers],
        times: Vec::new(),
        since: vec![(0, 0); callers],
        instant: None,
        firsts: HashMap::new(),
        forgotten: Vec::new(),
        uncertain: false,
    };
    simulation.run(sequence.background as usize);
    simulation
}

impl Simulation {
    fn run(&mut self, background: usize) {
        while let Some(next) = (0..self.events.len()).min_by_key(|&at| self.events[at].0) {
            let (now, event) = self.events.remove(next);
            self.spread = match event {
                Event::Begin(caller) if caller < background => SPREAD,
                Event::HelperEnds(caller, ..) => self.spreads[caller],
                Event::Timeout(_) => LATE_START + LATE,
                Event::Begin(_) | Event::Kill(_) | Event::Path(_) => LATE_START,
            };
            if self.step(now, event) {
                self.times.push((now, now + self.spread));
            } else if let Event::Kill(caller) | Event::Timeout(caller) | Event::HelperEnds(caller, ..) = event {
                // It would have changed something a little earlier.
                let (since, spread) = self.since[caller];
                self.uncertain |= now <= since + spread + TOLERANCE;
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
                        // Whether the helper of another one of the group has ended is not known.
                        self.uncertain |= self.instant == Some(now);
                        self.callers[caller] = State::Waits;
                        self.events.push((now + WAIT, Event::Timeout(caller)));
                    }
                    Begin::Refuse(refusal) => self.end(now, caller, Fate::Errno(refusal.errno())),
                }
            }
            Event::HelperEnds(caller, request, result) => {
                if self.callers[caller] != State::Runs(request) {
                    return false;
                }
                self.returns(now, caller, request, result);
            }
            Event::Timeout(caller) => match self.callers[caller] {
                State::Waits => self.give_up(now, caller, Why::Timeout),
                _ => return false,
            },
            Event::Kill(caller) => {
                self.dying.push(caller);
                match self.callers[caller] {
                    State::Waits => self.give_up(now, caller, Why::Killed),
                    State::Runs(request) | State::Follows(request, _) => self.returns(now, caller, request, KILLED),
                    State::Before | State::Ended(_) => return false,
                }
            }
        }
        true
    }

    fn give_up(&mut self, now: Millis, caller: usize, why: Why) {
        let messages = &mut self.messages;
        let mut log = |message: Message<'_>| messages.push(text(message));
        match self.core.give_up(now, &self.names[caller], caller, why, &mut log) {
            GaveUp::Refuse(Refusal::Killed) => self.end(now, caller, Fate::Killed),
            GaveUp::Refuse(refusal) => self.end(now, caller, Fate::Errno(refusal.errno())),
            // The signal takes effect when this wait ends.
            GaveUp::KeepsWaiting => {}
            GaveUp::NotWaiting => panic!("the core has forgotten caller {caller}"),
        }
    }

    fn launch(&mut self, now: Millis, caller: usize, request: Request) {
        let messages = &mut self.messages;
        let mut log = |message: Message<'_>| messages.push(text(message));
        let launch = self.core.launch(now, request, &self.names[caller], true, &mut log);
        self.spreads[caller] = self.spread;
        self.note_order(now, caller, launch);
        match launch {
            Launch::Run => self.run_helper(now, caller, request),
            Launch::Follow(first) => {
                self.callers[caller] = State::Follows(request, first);
                self.since[caller] = (now, self.spread);
                if self.dying.contains(&caller) {
                    self.returns(now, caller, request, KILLED);
                }
            }
            Launch::Ended(result) => self.returns(now, caller, request, result),
            Launch::Stale => panic!("the core has forgotten the request of caller {caller}"),
        }
    }

    /// Notes what is not certain about the order of merged requests.
    fn note_order(&mut self, now: Millis, caller: usize, launch: Launch) {
        let name = self.number(caller);
        let time = (now, now + self.spread);
        let overlaps = |other: (Millis, Millis)| time.0 <= other.1 && other.0 <= time.1;
        self.uncertain |= self.forgotten.iter().any(|&(other, at)| other == name && overlaps(at));
        match (launch, self.firsts.get(&name)) {
            (Launch::Run, _) => {
                self.firsts.insert(name, First { caller, at: time });
            }
            // Of two groups whose requests start at the same time, either may be the first.
            (_, Some(first)) if overlaps(first.at) && self.groups[caller].0 != self.groups[first.caller].0 => {
                self.uncertain |= self.groups[caller].1 || self.groups[first.caller].1;
            }
            _ => {}
        }
    }

    /// The first caller with the name of this one.
    fn number(&self, caller: usize) -> usize {
        self.names.iter().position(|name| *name == self.names[caller]).unwrap_or(caller)
    }

    fn run_helper(&mut self, now: Millis, caller: usize, request: Request) {
        self.callers[caller] = State::Runs(request);
        self.since[caller] = (now, self.spread);
        let (lasts, result) = match self.program {
            Program::Sleeps(millis) => (millis, 256),
            Program::Missing => (0, -2),
            Program::Directory => (0, -13),
            // The path was not empty when the request began. Nothing is run, and that is a success.
            Program::Disabled => (0, 0),
        };
        self.helpers += usize::from(matches!(self.program, Program::Sleeps(_)));
        if self.dying.contains(&caller) && self.program != Program::Disabled {
            // The helper starts, but nothing waits for it.
            return self.returns(now, caller, request, KILLED);
        }
        if lasts < LATE_START {
            self.instant = Some(now);
        }
        self.events.push((now + lasts, Event::HelperEnds(caller, request, result)));
    }

    /// `request_module()` returns.
    fn returns(&mut self, now: Millis, caller: usize, request: Request, result: i32) {
        self.end(now, caller, Fate::Errno(if result < 0 { -result } else { ENOENT }));
        self.free(now, caller, request, result);
    }

    fn end(&mut self, at: Millis, caller: usize, fate: Fate) {
        let fate = if self.dying.contains(&caller) { Fate::Killed } else { fate };
        self.callers[caller] = State::Ended(Ended { fate, at });
        self.since[caller] = (at, self.spread);
    }

    fn free(&mut self, now: Millis, caller: usize, request: Request, result: i32) {
        let End { next, announced } = self.core.end(now, request, &self.names[caller], result);
        if announced.is_some() {
            let name = self.number(caller);
            let from = now + 60_000;
            self.forgotten.push((name, (from, from + self.spread + LATE_FORGOTTEN)));
        }
        match next {
            Next::NoRequest => {}
            Next::Grant(waiter, request) => self.launch(now, waiter, request),
            // All waiters are woken, and the scheduler decides which is the first to run.
            Next::WakeAll => {
                let waiting = |callers: &[State]| -> Vec<usize> {
                    (0..callers.len()).filter(|&caller| callers[caller] == State::Waits).collect()
                };
                let woken = waiting(&self.callers);
                for waiter in 0..self.callers.len() {
                    if self.callers[waiter] == State::Waits {
                        if let Some(request) = self.core.retry(waiter) {
                            self.launch(now, waiter, request);
                        }
                    }
                }
                let groups: HashSet<usize> = woken.iter().map(|&caller| self.groups[caller].0).collect();
                self.uncertain |= groups.len() > 1 && !waiting(&self.callers).is_empty();
            }
        }
        for follower in 0..self.callers.len() {
            match self.callers[follower] {
                State::Follows(request, first) if Some(first) == announced => {
                    self.returns(now, follower, request, result);
                }
                _ => {}
            }
        }
    }
}

/// Returns what the core predicts.
pub fn predict(sequence: &Sequence, policy: Policy, run: u64) -> Outcome {
    let simulation = simulate(sequence, policy, run);
    let ends = simulation.callers.iter().map(|state| match state {
        State::Ended(ended) => *ended,
        other => panic!("a caller has not ended: {other:?}"),
    });
    let ends = ends.collect();
    // The kernel also reports what it suppressed in earlier sequences.
    let messages = simulation.messages.iter().filter(|message| !message.ends_with("callbacks suppressed"));
    let mut messages: Vec<String> = messages.map(|message| message_of_group(message)).collect();
    messages.sort();
    Outcome { ends, helpers: simulation.helpers, messages }
}

/// Returns whether the events of a sequence are so far apart that it has one outcome.
pub fn is_certain(sequence: &Sequence, policy: Policy, apart: Millis) -> bool {
    let Simulation { mut times, uncertain, .. } = simulate(sequence, policy, 0);
    times.sort_unstable();
    // The callers of the background act at the same time.
    times.dedup();
    !uncertain && times.windows(2).all(|pair| pair[1].0 >= pair[0].1 + apart)
}

fn text(message: Message<'_>) -> String {
    let mut text = format!("<{}> ", message.level() as u8).into_bytes();
    message.write_to(|part| text.extend(part));
    String::from_utf8_lossy(&text).into_owned()
}
