//! The body of the fuzz target `request`.

use arbitrary::{Arbitrary, Unstructured};
use request::{
    Begin, End, GaveUp, HelperPath, Launch, MergeId, Message, Millis, Name, Next, OverLimit, Policy, Refusal, Request,
    Requests, Why,
};
use std::collections::VecDeque;

/// An event at the kernel's side. Numbers select among the requests in that state.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    Begin { name: u8, waits: bool },
    Many { count: u8 },
    End { which: u8, result: u8 },
    Timeout { which: u8 },
    Kill { which: u8 },
    Retry { which: u8 },
    Disable,
    Enable,
    Pass { milliseconds: u16 },
}

/// A request, as the naive kernel knows it.
#[derive(Debug, Clone)]
struct Known {
    caller: u32,
    name: Name,
    waits: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    Runs(Request),
    Follows(Request, MergeId),
    Ended,
}

/// The kernel as lists: what a request does follows from looking at all requests that there have been.
struct Naive {
    policy: Policy,
    merging: bool,
    now: Millis,
    requests: Vec<Known>,
    refused: u32,
    /// When the messages of each kind that could have been logged were due.
    due: [Vec<Millis>; 3],
    /// The results announced for a name, with their times; `None` while the first request runs.
    remembered: Vec<(Name, Option<(i32, Millis)>)>,
}

const KINDS: [&str; 3] = ["throttling...", "seconds now", "giving up"];

impl Naive {
    fn occupied(&self) -> usize {
        self.requests.iter().filter(|known| matches!(known.state, State::Runs(_) | State::Follows(..))).count()
    }

    fn waiters(&self) -> Vec<u32> {
        let waiting = self.requests.iter().filter(|known| known.state == State::Waits);
        waiting.map(|known| known.caller).collect()
    }

    fn full(&self) -> bool {
        self.policy.over_limit() != OverLimit::Allow && self.occupied() >= usize::from(self.policy.limit())
    }

    /// The lines that a message of this kind adds to the log: the windows are computed again from the first message on.
    fn limited(&mut self, kind: usize, text: String) -> Vec<String> {
        self.due[kind].push(self.now);
        let (mut begin, mut count, mut lines) = (None, 0_u32, Vec::new());
        for &at in &self.due[kind] {
            lines.clear();
            if begin.is_none_or(|begin| at - begin > 5000) {
                if count > 10 {
                    lines.push(format!("__request_module: {} callbacks suppressed", count - 10));
                }
                (begin, count) = (Some(at), 0);
            }
            count += 1;
            if count <= 10 {
                lines.push(text.clone());
            }
        }
        lines
    }
}

/// A kernel and its naive counterpart.
struct Pair {
    naive: Naive,
    core: Requests<VecDeque<u32>>,
    path: HelperPath,
    log: Vec<String>,
}

impl Pair {
    fn new(policy: Policy, merging: bool) -> Self {
        let naive = Naive {
            policy,
            merging,
            now: 0,
            requests: Vec::new(),
            refused: 0,
            due: [const { Vec::new() }; 3],
            remembered: Vec::new(),
        };
        let core = Requests::new(if merging { policy.with_merging() } else { policy });
        Self { naive, core, path: HelperPath::default(), log: Vec::new() }
    }

    fn logged(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    fn begin(&mut self, name: u8, waits: bool) {
        let caller = self.naive.requests.len() as u32;
        let letter = char::from(b'a' + name % 4);
        let Ok(name) = Name::new(letter.to_string().as_bytes()) else { return };
        let over = self.naive.policy.over_limit();
        let log = &mut |message: Message<'_>| self.log.push(text(message));
        let begin = self.core.begin(self.naive.now, &self.path, &name, caller, log);
        let expected = if self.path.as_bytes().is_empty() {
            Some(Begin::Refuse(Refusal::Disabled))
        } else if !self.naive.full() {
            None
        } else {
            Some(match over {
                OverLimit::Allow | OverLimit::Stop | OverLimit::Refuse => Begin::Refuse(Refusal::Runaway),
                OverLimit::WaitKillable | OverLimit::Wait => Begin::Wait,
            })
        };
        let mut lines = Vec::new();
        if expected == Some(Begin::Refuse(Refusal::Runaway)) {
            self.naive.refused += 1;
            let line = match over {
                OverLimit::Stop => "kmod: runaway modprobe loop assumed and stopped".to_owned(),
                _ => format!("request_module: runaway loop modprobe {letter}"),
            };
            lines.extend((self.naive.refused <= 5).then_some(line));
        }
        if expected == Some(Begin::Wait) && over == OverLimit::WaitKillable {
            let line = format!(
                "request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: 50), for module {letter}, throttling..."
            );
            lines = self.naive.limited(0, line);
        }
        assert_eq!(self.logged(), lines);
        let state = match (begin, expected) {
            (Begin::Start(request), None) => State::Runs(request),
            (Begin::Wait, Some(Begin::Wait)) => State::Waits,
            (Begin::Refuse(refusal), Some(Begin::Refuse(expected))) if refusal == expected => State::Ended,
            (other, expected) => panic!("{other:?} instead of {expected:?}"),
        };
        self.naive.requests.push(Known { caller, name, waits, state });
        if let State::Runs(request) = state {
            self.launch(caller, request);
        }
    }

    /// Launches a request that has just got a place.
    fn launch(&mut self, caller: u32, request: Request) {
        let Known { name, waits, .. } = self.naive.requests[caller as usize].clone();
        let now = self.naive.now;
        self.naive.remembered.retain(|(_, result)| result.is_none_or(|(_, at)| now - at < 60_000));
        let earlier = self.naive.remembered.iter().find(|(other, _)| *other == name).map(|(_, result)| *result);
        let log = &mut |message: Message<'_>| self.log.push(text(message));
        let launch = self.core.launch(now, request, &name, waits, log);
        let duplicate =
            format!("module: module-autoload: duplicate request for module {}", name.as_bytes().escape_ascii());
        let merged = self.naive.merging && earlier.is_some();
        assert_eq!(self.logged(), Vec::from_iter(merged.then_some(duplicate)));
        let state = match (launch, earlier.filter(|_| merged)) {
            (Launch::Run, None) => {
                if self.naive.merging && waits {
                    self.naive.remembered.push((name, None));
                }
                State::Runs(request)
            }
            (Launch::Follow(first), Some(None)) if waits => State::Follows(request, first),
            (Launch::Ended(result), Some(earlier)) => {
                assert_eq!(Some(result), if waits { earlier.map(|(result, _)| result) } else { Some(0) });
                self.naive.requests[caller as usize].state = State::Ended;
                let end = self.core.end(now, request, &name, result);
                assert_eq!(end.announced, None);
                return self.ended(end);
            }
            (other, earlier) => panic!("{other:?} after {earlier:?}"),
        };
        self.naive.requests[caller as usize].state = state;
    }

    /// The request `caller` ends with this result.
    fn end(&mut self, caller: u32, result: i32) {
        let Known { name, state, .. } = self.naive.requests[caller as usize].clone();
        let request = match state {
            State::Runs(request) | State::Follows(request, _) => request,
            State::Waits | State::Ended => return,
        };
        self.naive.requests[caller as usize].state = State::Ended;
        let now = self.naive.now;
        let end = self.core.end(now, request, &name, result);
        let open = self.naive.remembered.iter_mut().find(|(other, result)| *other == name && result.is_none());
        let announces = matches!(state, State::Runs(_)) && open.is_some();
        assert_eq!(end.announced.is_some(), announces);
        if let (Some(first), Some((_, open))) = (end.announced, open) {
            *open = Some((result, now));
            assert_eq!(self.core.announced(first), Some(result));
            let followers = self.naive.requests.iter();
            let followers: Vec<u32> = followers
                .filter(|known| matches!(known.state, State::Follows(_, followed) if followed == first))
                .map(|known| known.caller)
                .collect();
            self.ended(end);
            return followers.into_iter().for_each(|follower| self.end(follower, result));
        }
        self.ended(end);
    }

    /// A place is free: it goes to the first waiter, or all are woken.
    fn ended(&mut self, end: End<u32>) {
        let waiters = self.naive.waiters();
        let over = self.naive.policy.over_limit();
        match end.next {
            Next::NoRequest => assert!(waiters.is_empty()),
            Next::WakeAll => assert!(over == OverLimit::WaitKillable && !waiters.is_empty()),
            Next::Grant(waiter, request) => {
                assert_eq!((over, Some(&waiter)), (OverLimit::Wait, waiters.first()));
                self.naive.requests[waiter as usize].state = State::Runs(request);
                self.launch(waiter, request);
            }
        }
    }

    fn give_up(&mut self, caller: u32, why: Why) {
        let name = self.naive.requests[caller as usize].name;
        let over = self.naive.policy.over_limit();
        let log = &mut |message: Message<'_>| self.log.push(text(message));
        let gave_up = self.core.give_up(self.naive.now, &name, caller, why, log);
        let shown = name.as_bytes().escape_ascii();
        let (expected, lines) = match why {
            Why::Killed if over == OverLimit::Wait => (GaveUp::KeepsWaiting, Vec::new()),
            Why::Killed => {
                let line = format!("request_module: sigkill sent for modprobe {shown}, giving up");
                (GaveUp::Refuse(Refusal::Killed), self.naive.limited(2, line))
            }
            Why::Timeout => {
                let line = format!(
                    "request_module: modprobe {shown} cannot be processed, kmod busy with 50 threads for more than 5 seconds now"
                );
                (GaveUp::Refuse(Refusal::Busy), self.naive.limited(1, line))
            }
        };
        assert_eq!((gave_up, self.logged()), (expected, lines));
        if gave_up != GaveUp::KeepsWaiting {
            self.naive.requests[caller as usize].state = State::Ended;
        }
    }

    fn step(&mut self, step: Step) {
        let pick = |wanted: fn(&State) -> bool, which: u8| {
            let all: Vec<&Known> = self.naive.requests.iter().filter(|known| wanted(&known.state)).collect();
            Some(all.get(usize::from(which).checked_rem(all.len())?)?.caller)
        };
        let waits = |state: &State| *state == State::Waits;
        match step {
            Step::Begin { name, waits } => self.begin(name, waits),
            Step::Many { count } => (0..count % 64).for_each(|number| self.begin(number, true)),
            Step::End { which, result } => {
                if let Some(caller) = pick(|state| matches!(state, State::Runs(_)), which) {
                    self.end(caller, i32::from(result));
                }
            }
            Step::Timeout { which } => {
                pick(waits, which).into_iter().for_each(|caller| self.give_up(caller, Why::Timeout));
            }
            Step::Kill { which } => pick(waits, which).into_iter().for_each(|caller| self.give_up(caller, Why::Killed)),
            Step::Retry { which } => {
                let Some(caller) = pick(waits, which) else { return };
                let free = !self.naive.full();
                let granted = self.core.retry(caller);
                assert_eq!(granted.is_some(), free);
                if let Some(request) = granted {
                    self.naive.requests[caller as usize].state = State::Runs(request);
                    self.launch(caller, request);
                }
            }
            Step::Disable => self.path.write(b"\n", &mut 0),
            Step::Enable => self.path = HelperPath::default(),
            Step::Pass { milliseconds } => self.naive.now += Millis::from(milliseconds),
        }
        if self.naive.policy.over_limit() != OverLimit::Allow {
            assert_eq!(self.core.running(), self.naive.occupied());
        }
    }
}

fn text(message: Message<'_>) -> String {
    let mut text = Vec::new();
    message.write_to(|part| text.extend(part));
    assert!(KINDS.iter().any(|end| text.ends_with(end.as_bytes())) != message.has_newline());
    String::from_utf8_lossy(&text).into_owned()
}

/// The input is a policy and a sequence of events.
///
/// # Panics
/// Panics if the core decides otherwise than a naive kernel that keeps lists of everything that happened.
pub fn request(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((over, merging)) = input.arbitrary::<(u8, bool)>() else { return };
    let over = [OverLimit::Allow, OverLimit::Stop, OverLimit::Refuse, OverLimit::WaitKillable, OverLimit::Wait]
        [usize::from(over % 5)];
    let mut pair = Pair::new(Policy::new(over), merging && over == OverLimit::Wait);
    for _ in 0..64 {
        match input.arbitrary() {
            Ok(step) if !input.is_empty() => pair.step(step),
            _ => break,
        }
    }
}
