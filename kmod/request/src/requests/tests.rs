use super::*;
use arbtest::arbtest;
use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;

type Tested = Requests<VecDeque<u32>, 4>;

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn text(message: Message<'_>) -> String {
    let mut text = Vec::new();
    message.write_to(|part| text.extend(part));
    String::from_utf8(text).unwrap()
}

/// A kernel in which a test begins requests for `x`.
struct Kernel {
    requests: Tested,
    path: HelperPath,
    now: Millis,
    log: Vec<String>,
    callers: u32,
}

impl Kernel {
    fn new(policy: Policy) -> Self {
        let requests = Requests::new(policy);
        Self { requests, path: HelperPath::default(), now: 0, log: Vec::new(), callers: 0 }
    }

    fn with(over: OverLimit) -> Self {
        Self::new(Policy::new(over))
    }

    fn begin(&mut self) -> Begin {
        self.callers += 1;
        let log = &mut |message: Message<'_>| self.log.push(text(message));
        self.requests.begin(self.now, &self.path, &name("x"), self.callers, log)
    }

    fn start(&mut self) -> Request {
        match self.begin() {
            Begin::Start(request) => request,
            other => panic!("no free place: {other:?}"),
        }
    }

    fn fill(&mut self) -> Vec<Request> {
        (0..50).map(|_| self.start()).collect()
    }

    fn launch(&mut self, request: Request, name: &Name, waits: bool) -> Launch {
        let log = &mut |message: Message<'_>| self.log.push(text(message));
        self.requests.launch(self.now, request, name, waits, log)
    }

    fn give_up(&mut self, waiter: u32, why: Why) -> GaveUp {
        let log = &mut |message: Message<'_>| self.log.push(text(message));
        self.requests.give_up(self.now, &name("x"), waiter, why, log)
    }

    fn end(&mut self, request: Request, result: i32) -> End<u32> {
        self.requests.end(self.now, request, &name("x"), result)
    }
}

#[test]
fn an_empty_path_disables_requests() {
    for over in [OverLimit::Allow, OverLimit::Stop, OverLimit::Wait] {
        let mut kernel = Kernel::with(over);
        kernel.path.write(b"\n", &mut 0);
        assert_eq!(kernel.begin(), Begin::Refuse(Refusal::Disabled));
        assert_eq!((kernel.requests.running(), kernel.log.len()), (0, 0));
    }
}

#[test]
fn without_a_limit_every_request_starts() {
    let mut kernel = Kernel::with(OverLimit::Allow);
    for _ in 0..200 {
        let request = kernel.start();
        assert_eq!(kernel.launch(request, &name("x"), true), Launch::Run);
    }
}

#[test]
fn a_request_over_the_limit_fails_before_4_13_and_five_are_logged() {
    for (over, line) in [
        (OverLimit::Stop, "kmod: runaway modprobe loop assumed and stopped"),
        (OverLimit::Refuse, "request_module: runaway loop modprobe x"),
    ] {
        let mut kernel = Kernel::with(over);
        let running = kernel.fill();
        for _ in 0..9 {
            assert_eq!(kernel.begin(), Begin::Refuse(Refusal::Runaway));
        }
        assert_eq!(kernel.log, [line; 5]);
        assert_eq!(kernel.end(running[7], 0), End { next: Next::NoRequest, announced: None });
        kernel.start();
    }
}

#[test]
fn half_of_the_threads_limits_the_requests_before_4_13() {
    let mut kernel = Kernel::new(Policy::new(OverLimit::Refuse).with_max_threads(5));
    kernel.start();
    kernel.start();
    assert_eq!(kernel.begin(), Begin::Refuse(Refusal::Runaway));
}

#[test]
fn a_request_over_the_limit_waits_and_fails_at_the_timeout() {
    let throttling =
        "request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: 50), for module x, throttling...";
    let busy = "request_module: modprobe x cannot be processed, kmod busy with 50 threads for more than 5 seconds now";
    for (over, log) in [(OverLimit::WaitKillable, &[throttling, busy][..]), (OverLimit::Wait, &[busy])] {
        let mut kernel = Kernel::with(over);
        kernel.fill();
        assert_eq!(kernel.begin(), Begin::Wait);
        kernel.now = 5000;
        assert_eq!(kernel.give_up(51, Why::Timeout), GaveUp::Refuse(Refusal::Busy));
        assert_eq!(kernel.give_up(51, Why::Timeout), GaveUp::NotWaiting);
        assert_eq!(kernel.log, log);
    }
}

#[test]
fn killing_a_waiting_caller_ends_its_request_only_before_6_4() {
    let mut kernel = Kernel::with(OverLimit::WaitKillable);
    kernel.fill();
    kernel.begin();
    kernel.log.clear();
    assert_eq!(kernel.give_up(51, Why::Killed), GaveUp::Refuse(Refusal::Killed));
    assert_eq!(kernel.log, ["request_module: sigkill sent for modprobe x, giving up"]);
    let mut kernel = Kernel::with(OverLimit::Wait);
    kernel.fill();
    kernel.begin();
    assert_eq!(kernel.give_up(51, Why::Killed), GaveUp::KeepsWaiting);
    assert_eq!(kernel.give_up(51, Why::Timeout), GaveUp::Refuse(Refusal::Busy));
}

#[test]
fn a_free_place_goes_to_the_first_waiter_since_6_4() {
    let mut kernel = Kernel::with(OverLimit::Wait);
    let running = kernel.fill();
    kernel.begin();
    kernel.begin();
    let End { next: Next::Grant(51, granted), announced: None } = kernel.end(running[7], 0) else {
        panic!("the first waiter gets no place")
    };
    assert_eq!(kernel.launch(granted, &name("x"), true), Launch::Run);
    assert_eq!(kernel.give_up(51, Why::Timeout), GaveUp::NotWaiting);
    // A new request does not overtake the second waiter.
    assert_eq!(kernel.begin(), Begin::Wait);
    assert!(matches!(kernel.end(granted, 0).next, Next::Grant(52, _)));
    assert_eq!(kernel.requests.running(), 50);
}

#[test]
fn a_free_place_wakes_all_waiters_before_6_4() {
    let mut kernel = Kernel::with(OverLimit::WaitKillable);
    let running = kernel.fill();
    kernel.begin();
    kernel.begin();
    assert_eq!(kernel.requests.retry(51), None);
    assert_eq!(kernel.end(running[7], 0).next, Next::WakeAll);
    assert!(kernel.requests.retry(52).is_some());
    assert_eq!(kernel.requests.retry(51), None);
    assert_eq!(kernel.requests.retry(52), None);
}

#[test]
fn refusals_have_the_errnos_of_the_kernel() {
    // ENOENT, ENOMEM, ETIME, ERESTARTSYS.
    for (refusal, errno) in
        [(Refusal::Disabled, 2), (Refusal::Runaway, 12), (Refusal::Busy, 62), (Refusal::Killed, 512)]
    {
        assert_eq!(refusal.errno(), errno);
    }
}

#[test]
fn the_constants_are_those_of_the_kernel() {
    assert_eq!((CONCURRENT, crate::WAIT, crate::REMEMBERED), (50, 5000, 60_000));
    assert_eq!((crate::INTERVAL, crate::BURST), (5000, 10));
    assert_eq!((crate::NAME_SIZE, crate::PATH_SIZE), (56, 256));
    assert_eq!(HelperPath::default().as_bytes(), b"/sbin/modprobe");
    assert_eq!(crate::ARGUMENTS, ["-q", "--"]);
    assert_eq!(crate::ENVIRONMENT, ["HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin"]);
}

#[test]
fn a_request_ends_once() {
    let mut kernel = Kernel::with(OverLimit::Wait);
    let request = kernel.start();
    kernel.end(request, 0);
    let same_place = kernel.start();
    assert_eq!(kernel.end(request, 0), End { next: Next::NoRequest, announced: None });
    assert_eq!(kernel.launch(request, &name("x"), true), Launch::Stale);
    assert_eq!(kernel.requests.running(), 1);
    assert_eq!(kernel.launch(same_place, &name("x"), true), Launch::Run);
}

fn merging() -> Kernel {
    Kernel::new(Policy::new(OverLimit::Wait).with_merging())
}

#[test]
fn a_duplicate_ends_with_the_result_of_the_first_request() {
    let mut kernel = merging();
    let (first, second) = (kernel.start(), kernel.start());
    assert_eq!(kernel.launch(first, &name("x"), true), Launch::Run);
    let Launch::Follow(followed) = kernel.launch(second, &name("x"), true) else { panic!("not merged") };
    assert_eq!(kernel.log, ["module: module-autoload: duplicate request for module x"]);
    assert_eq!(kernel.requests.announced(followed), None);
    assert_eq!(kernel.end(first, 256).announced, Some(followed));
    assert_eq!(kernel.requests.announced(followed), Some(256));
    assert_eq!(kernel.end(second, 256).announced, None);
    let third = kernel.start();
    assert_eq!(kernel.launch(third, &name("x"), true), Launch::Ended(256));
    let other = kernel.start();
    assert_eq!(kernel.launch(other, &name("y"), true), Launch::Run);
}

#[test]
fn a_result_is_forgotten_after_a_minute() {
    let mut kernel = merging();
    let first = kernel.start();
    kernel.launch(first, &name("x"), true);
    kernel.end(first, 0);
    kernel.now = 59_999;
    let second = kernel.start();
    assert_eq!(kernel.launch(second, &name("x"), true), Launch::Ended(0));
    kernel.now = 60_000;
    let third = kernel.start();
    assert_eq!(kernel.launch(third, &name("x"), true), Launch::Run);
}

#[test]
fn an_asynchronous_request_is_not_remembered_but_can_be_a_duplicate() {
    let mut kernel = merging();
    let [nowait, first, duplicate] = [(); 3].map(|()| kernel.start());
    assert_eq!(kernel.launch(nowait, &name("x"), false), Launch::Run);
    assert_eq!(kernel.launch(first, &name("x"), true), Launch::Run);
    assert_eq!(kernel.launch(duplicate, &name("x"), false), Launch::Ended(0));
    // The end of the duplicate announces nothing, that of the unremembered request does.
    assert_eq!(kernel.end(duplicate, 0).announced, None);
    assert!(kernel.end(nowait, 0).announced.is_some());
    assert_eq!(kernel.end(first, 256).announced, None);
}

#[test]
fn requests_beyond_the_memory_are_not_merged() {
    let mut kernel = merging();
    let names = ["a", "b", "c", "d", "e"].map(name);
    for name in &names {
        let request = kernel.start();
        assert_eq!(kernel.launch(request, name, true), Launch::Run);
    }
    let [fourth, fifth] = [(); 2].map(|()| kernel.start());
    assert!(matches!(kernel.launch(fourth, &names[3], true), Launch::Follow(_)));
    assert_eq!(kernel.launch(fifth, &names[4], true), Launch::Run);
}

/// What a caller observes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waits,
    Runs(Request),
    Ended,
}

/// A step of a sequence. Numbers select among the requests that are running or waiting.
#[derive(Debug, Clone, Copy, arbitrary::Arbitrary)]
enum Step {
    Begin,
    End(u8),
    Timeout(u8),
    Kill(u8),
    Retry(u8),
}

/// Performs the steps with a limit of two, and checks after each that no place is lost, none is given twice, and no
/// request is forgotten.
fn check(over: OverLimit, steps: impl IntoIterator<Item = Step>) {
    let mut kernel = Kernel::new(Policy { limit: 2, ..Policy::new(over) });
    let mut fates: Vec<Fate> = Vec::new();
    for step in steps {
        let pick = |wanted: fn(&Fate) -> bool, which: u8| {
            let all: Vec<usize> = (0..fates.len()).filter(|&at| wanted(&fates[at])).collect();
            (!all.is_empty()).then(|| all[usize::from(which) % all.len()])
        };
        let (waits, runs) = (|fate: &Fate| *fate == Fate::Waits, |fate: &Fate| matches!(fate, Fate::Runs(_)));
        match step {
            Step::Begin => fates.push(match kernel.begin() {
                Begin::Start(request) => Fate::Runs(request),
                Begin::Wait => Fate::Waits,
                Begin::Refuse(_) => Fate::Ended,
            }),
            Step::End(which) => {
                let Some(at) = pick(runs, which) else { continue };
                let Fate::Runs(request) = fates[at] else { unreachable!() };
                fates[at] = Fate::Ended;
                let first = fates.iter().position(waits);
                match kernel.end(request, 0).next {
                    Next::NoRequest => assert!(first.is_none()),
                    Next::WakeAll => assert!(over == OverLimit::WaitKillable && first.is_some()),
                    Next::Grant(waiter, request) => {
                        assert_eq!(Some(waiter as usize - 1), first);
                        fates[waiter as usize - 1] = Fate::Runs(request);
                    }
                }
                assert_eq!(kernel.end(request, 0).next, Next::NoRequest);
            }
            Step::Timeout(which) | Step::Kill(which) => {
                let Some(at) = pick(waits, which) else { continue };
                let why = if matches!(step, Step::Kill(_)) { Why::Killed } else { Why::Timeout };
                match kernel.give_up(at as u32 + 1, why) {
                    GaveUp::Refuse(_) => fates[at] = Fate::Ended,
                    GaveUp::KeepsWaiting => assert!(over == OverLimit::Wait && why == Why::Killed),
                    GaveUp::NotWaiting => panic!("the kernel has forgotten a waiter"),
                }
            }
            Step::Retry(which) => {
                let Some(at) = pick(waits, which) else { continue };
                if let Some(request) = kernel.requests.retry(at as u32 + 1) {
                    fates[at] = Fate::Runs(request);
                }
            }
        }
        let running: Vec<Fate> = fates.iter().copied().filter(runs).collect();
        assert!((1..running.len()).all(|at| !running[..at].contains(&running[at])), "a place is given twice");
        assert_eq!(running.len(), kernel.requests.running());
        assert!(running.len() <= 2);
        if over == OverLimit::Wait && running.len() < 2 {
            assert!(!fates.iter().any(waits), "a request waits beside a free place");
        }
    }
}

const LIMITED: [OverLimit; 4] = [OverLimit::Stop, OverLimit::Refuse, OverLimit::WaitKillable, OverLimit::Wait];

#[test]
fn every_short_sequence_keeps_the_books() {
    let steps = [
        Step::Begin,
        Step::End(0),
        Step::End(1),
        Step::Timeout(0),
        Step::Timeout(1),
        Step::Kill(0),
        Step::Kill(1),
        Step::Retry(0),
    ];
    const LENGTH: u32 = 5;
    for over in LIMITED {
        // All sequences that begin with three requests, one of which is over the limit.
        for number in 0..steps.len().pow(LENGTH) {
            let rest = (0..LENGTH).map(|at| steps[number / steps.len().pow(at) % steps.len()]);
            check(over, [Step::Begin; 3].into_iter().chain(rest));
        }
    }
}

#[test]
fn random_sequences_keep_the_books() {
    arbtest(|input| {
        let over = LIMITED[usize::from(input.arbitrary::<u8>()? % 4)];
        let steps: Vec<Step> = input.arbitrary()?;
        check(over, steps);
        Ok(())
    });
}

/// A step of a sequence of merged requests.
#[derive(Debug, Clone, Copy)]
enum Merged {
    Begin { name: usize, waits: bool },
    End(usize),
    Minute,
}

/// A request that has a place.
struct Placed {
    request: Request,
    name: usize,
    result: i32,
    follows: Option<crate::MergeId>,
}

/// A kernel that merges requests, and what is known about its requests for two names.
struct Merging {
    kernel: Kernel,
    placed: Vec<Placed>,
    /// Whether the name is remembered, and the announced result with its time.
    remembered: [Option<Option<(i32, Millis)>>; 2],
    begun: i32,
}

impl Merging {
    fn begin(&mut self, at: usize, waits: bool) {
        let (Begin::Start(request), name) = (self.kernel.begin(), name(["a", "b"][at])) else { return };
        self.begun += 1;
        let placed = Placed { request, name: at, result: self.begun, follows: None };
        let launch = self.kernel.launch(request, &name, waits);
        match (launch, self.remembered[at]) {
            (Launch::Run, None) => {
                self.remembered[at] = waits.then_some(None);
                self.placed.push(placed);
            }
            (Launch::Follow(first), Some(None)) if waits => {
                self.placed.push(Placed { follows: Some(first), ..placed });
            }
            (Launch::Ended(result), Some(earlier)) => {
                assert_eq!(Some(result), if waits { earlier.map(|(result, _)| result) } else { Some(0) });
                assert_eq!(self.kernel.requests.end(self.kernel.now, request, &name, result).announced, None);
            }
            (launch, remembered) => panic!("{launch:?} with {remembered:?}"),
        }
    }

    fn end(&mut self, which: usize) {
        if self.placed.is_empty() {
            return;
        }
        let Placed { request, name: at, result, follows } = self.placed.remove(which % self.placed.len());
        let announced = self.kernel.requests.end(self.kernel.now, request, &name(["a", "b"][at]), result).announced;
        match (&mut self.remembered[at], follows) {
            (Some(open @ None), None) => {
                *open = Some((result, self.kernel.now));
                assert_eq!(announced.and_then(|first| self.kernel.requests.announced(first)), Some(result));
            }
            // The caller of a merged request was killed, or the result is known.
            _ => assert_eq!(announced, None),
        }
        let woken = self.placed.iter().filter(|other| other.follows.is_some() && other.follows == announced);
        assert!(woken.into_iter().all(|other| other.name == at));
        self.placed.retain(|other| {
            let woken = other.follows.is_some() && other.follows == announced;
            if woken {
                let name = name(["a", "b"][other.name]);
                assert_eq!(self.kernel.requests.end(self.kernel.now, other.request, &name, result).announced, None);
            }
            !woken
        });
    }
}

#[test]
fn every_short_sequence_merges_what_it_must() {
    let steps = [
        Merged::Begin { name: 0, waits: true },
        Merged::Begin { name: 0, waits: false },
        Merged::Begin { name: 1, waits: true },
        Merged::End(0),
        Merged::End(1),
        Merged::Minute,
    ];
    const LENGTH: u32 = 6;
    for number in 0..steps.len().pow(LENGTH) {
        let mut merging = Merging { kernel: merging(), placed: Vec::new(), remembered: [None; 2], begun: 0 };
        for at in 0..LENGTH {
            match steps[number / steps.len().pow(at) % steps.len()] {
                Merged::Begin { name, waits } => merging.begin(name, waits),
                Merged::End(which) => merging.end(which),
                Merged::Minute => {
                    merging.kernel.now += 60_000;
                    for remembered in &mut merging.remembered {
                        *remembered = remembered.filter(Option::is_none);
                    }
                }
            }
            assert_eq!(merging.kernel.requests.running(), merging.placed.len());
        }
    }
}
