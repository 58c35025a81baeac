//! The requests of a kernel, from beginning to end.

use crate::merge::{Known, Merges};
use crate::{CONCURRENT, HelperPath, MergeId, Message, Millis, Name, OverLimit, Policy, Queue, RateLimit};
use core::fmt;

/// How many refusals are logged in total before 4.13 (`kmod_loop_msg`).
const LOGGED_REFUSALS: u8 = 5;

/// A request that occupies a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    /// The place; none if there is no limit.
    place: Option<u8>,
    /// How many earlier requests have used the place.
    generation: u32,
}

/// Why a request fails without a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The helper's path is empty. Nothing is logged.
    Disabled,
    /// The limit is reached, before 4.13.
    Runaway,
    /// The limit was reached during the whole wait, since 4.13.
    Busy,
    /// The caller was killed while it waited. No process sees this errno.
    Killed,
}

impl Refusal {
    /// Returns the errno that `request_module()` returns, as a positive number.
    #[must_use]
    pub const fn errno(self) -> i32 {
        match self {
            Self::Disabled => 2,
            Self::Runaway => 12,
            Self::Busy => 62,
            Self::Killed => 512,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "module loading is disabled (ENOENT)",
            Self::Runaway => "too many requests are running (ENOMEM)",
            Self::Busy => "too many requests were running for five seconds (ETIME)",
            Self::Killed => "the caller was killed (ERESTARTSYS)",
        })
    }
}

impl core::error::Error for Refusal {}

/// What happens to a new request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// It has a place: launch it.
    Start(Request),
    /// It is in the queue. After [`WAIT`](crate::WAIT) it gives up.
    Wait,
    /// It fails.
    Refuse(Refusal),
}

/// What a request with a place does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launch {
    /// It runs the helper with the current path.
    Run,
    /// It waits, killable, until the result of this earlier request is announced, and ends with that result.
    Follow(MergeId),
    /// It ends at once with this result: that of an earlier request, or 0 for an asynchronous request.
    Ended(i32),
    /// Nothing: it has ended already.
    Stale,
}

/// Who gets a place that has become free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<W> {
    /// No request.
    NoRequest,
    /// This waiter, which has left the queue: launch its request.
    Grant(W, Request),
    /// One of the waiters: wake all, and each calls [`Requests::retry`] (4.13 to 6.3, whose order is that of the
    /// scheduler).
    WakeAll,
}

/// What happens when a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End<W> {
    /// Who gets the place.
    pub next: Next<W>,
    /// The request whose followers are woken.
    pub announced: Option<MergeId>,
}

/// Why a request gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has waited for [`WAIT`](crate::WAIT).
    Timeout,
    /// Its caller received a fatal signal.
    Killed,
}

/// What happens to a request that gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// It fails.
    Refuse(Refusal),
    /// It does not wait: it has a place, or has ended.
    NotWaiting,
    /// Its caller cannot be killed while it waits (since 6.4).
    KeepsWaiting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Granted,
    Running,
    Merged,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    state: State,
    generation: u32,
}

/// The module requests of a kernel. `Q` is the queue of waiting requests; `MERGES` is the number of requests that are
/// remembered to be [merged](Policy::with_merging) with later ones.
#[derive(Debug, Clone)]
pub struct Requests<Q, const MERGES: usize = 64> {
    policy: Policy,
    places: [Place; CONCURRENT as usize],
    queue: Q,
    merges: Merges<MERGES>,
    logged_refusals: u8,
    throttling: RateLimit,
    busy: RateLimit,
    killed: RateLimit,
}

impl<Q: Queue + Default, const MERGES: usize> Requests<Q, MERGES> {
    /// A kernel without requests.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self::with_queue(policy, Q::default())
    }
}

impl<Q: Queue, const MERGES: usize> Requests<Q, MERGES> {
    /// A kernel without requests, and this empty queue.
    #[must_use]
    pub fn with_queue(policy: Policy, queue: Q) -> Self {
        Self {
            policy,
            places: [Place { state: State::Free, generation: 0 }; CONCURRENT as usize],
            queue,
            merges: Merges::new(),
            logged_refusals: 0,
            throttling: RateLimit::default(),
            busy: RateLimit::default(),
            killed: RateLimit::default(),
        }
    }

    /// Returns how requests are treated.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the queue, to wake those in it. What it contains must not be changed.
    pub fn queue_mut(&mut self) -> &mut Q {
        &mut self.queue
    }

    /// Returns how many requests have a place.
    #[must_use]
    pub fn running(&self) -> usize {
        self.places.iter().filter(|place| place.state != State::Free).fold(0, |count, _| count.saturating_add(1))
    }

    /// Begins a request by `caller`.
    pub fn begin(
        &mut self,
        now: Millis,
        path: &HelperPath,
        name: &Name,
        caller: Q::Waiter,
        log: &mut impl FnMut(Message<'_>),
    ) -> Begin {
        if path.as_bytes().is_empty() {
            return Begin::Refuse(Refusal::Disabled);
        }
        if self.policy.over == OverLimit::Allow {
            return Begin::Start(Request { place: None, generation: 0 });
        }
        if let Some(request) = self.take_place() {
            return Begin::Start(request);
        }
        match self.policy.over {
            OverLimit::Allow | OverLimit::Stop | OverLimit::Refuse => {
                if self.logged_refusals < LOGGED_REFUSALS {
                    self.logged_refusals = self.logged_refusals.saturating_add(1);
                    log(match self.policy.over {
                        OverLimit::Stop => Message::Stopped,
                        _ => Message::Runaway(name),
                    });
                }
                return Begin::Refuse(Refusal::Runaway);
            }
            OverLimit::WaitKillable => limited(&mut self.throttling, now, Message::Throttling(name), log),
            OverLimit::Wait => {}
        }
        self.queue.push(caller);
        Begin::Wait
    }

    /// Gives a waiter that was woken by [`Next::WakeAll`] a place, if one is still free. Otherwise it continues to wait.
    pub fn retry(&mut self, waiter: Q::Waiter) -> Option<Request> {
        if self.has_free_place() && self.queue.remove(waiter) { self.take_place() } else { None }
    }

    /// Ends the wait of a request.
    pub fn give_up(
        &mut self,
        now: Millis,
        name: &Name,
        waiter: Q::Waiter,
        why: Why,
        log: &mut impl FnMut(Message<'_>),
    ) -> GaveUp {
        if why == Why::Killed && self.policy.over == OverLimit::Wait {
            return GaveUp::KeepsWaiting;
        }
        if !self.queue.remove(waiter) {
            return GaveUp::NotWaiting;
        }
        match why {
            Why::Timeout => {
                limited(&mut self.busy, now, Message::Busy(name), log);
                GaveUp::Refuse(Refusal::Busy)
            }
            Why::Killed => {
                limited(&mut self.killed, now, Message::Killed(name), log);
                GaveUp::Refuse(Refusal::Killed)
            }
        }
    }

    /// Launches a request that has a place. `waits` is false for `request_module_nowait()`, whose caller does not wait
    /// for the helper.
    pub fn launch(
        &mut self,
        now: Millis,
        request: Request,
        name: &Name,
        waits: bool,
        log: &mut impl FnMut(Message<'_>),
    ) -> Launch {
        if request.place.is_some() && self.place(request).is_none() {
            return Launch::Stale;
        }
        let launch = match self.policy.merge {
            false => Launch::Run,
            true => self.merge(now, name, waits, log),
        };
        if let Some(place) = self.place(request) {
            place.state = if launch == Launch::Run { State::Running } else { State::Merged };
        }
        launch
    }

    fn merge(&mut self, now: Millis, name: &Name, waits: bool, log: &mut impl FnMut(Message<'_>)) -> Launch {
        let launch = match self.merges.lookup(now, name) {
            Known::New => {
                // The result of an asynchronous request is not known, so no other request can share it.
                if waits {
                    self.merges.remember(name);
                }
                return Launch::Run;
            }
            _ if !waits => Launch::Ended(0),
            Known::Running(first) => Launch::Follow(first),
            Known::Ended(result) => Launch::Ended(result),
        };
        log(Message::Duplicate(name));
        launch
    }

    /// Returns the result of a request that others follow, once it is announced.
    #[must_use]
    pub fn announced(&self, first: MergeId) -> Option<i32> {
        self.merges.result(first)
    }

    /// Ends a request and frees its place: its helper has ended, or its caller was killed, or its launch returned
    /// [`Launch::Ended`]. After a kill the helper continues, but does not count. `result` is what `request_module()`
    /// returns.
    pub fn end(&mut self, now: Millis, request: Request, name: &Name, result: i32) -> End<Q::Waiter> {
        let nothing = End { next: Next::NoRequest, announced: None };
        let ran = match (request.place, self.place(request)) {
            (None, _) => true,
            (Some(_), None) => return nothing,
            (Some(_), Some(place)) => {
                let ran = place.state == State::Running;
                place.state = State::Free;
                place.generation = place.generation.wrapping_add(1);
                ran
            }
        };
        let announced = if ran && self.policy.merge { self.merges.announce(now, name, result) } else { None };
        End { next: self.next(), announced }
    }

    fn next(&mut self) -> Next<Q::Waiter> {
        match self.policy.over {
            OverLimit::Allow | OverLimit::Stop | OverLimit::Refuse => Next::NoRequest,
            OverLimit::WaitKillable if self.queue.is_empty() => Next::NoRequest,
            OverLimit::WaitKillable => Next::WakeAll,
            OverLimit::Wait => self.grant().map_or(Next::NoRequest, |(waiter, request)| Next::Grant(waiter, request)),
        }
    }

    /// Gives a free place to the first waiter.
    fn grant(&mut self) -> Option<(Q::Waiter, Request)> {
        if !self.has_free_place() {
            return None;
        }
        let waiter = self.queue.pop()?;
        Some((waiter, self.take_place()?))
    }

    fn has_free_place(&mut self) -> bool {
        self.places_within_limit().any(|(_, place)| place.state == State::Free)
    }

    /// The places with their numbers. (`take()` would contain a subtraction that rustc cannot always prove safe.)
    fn places_within_limit(&mut self) -> impl Iterator<Item = (u8, &mut Place)> {
        (0..self.policy.limit).zip(&mut self.places)
    }

    fn take_place(&mut self) -> Option<Request> {
        let (number, place) = self.places_within_limit().find(|(_, place)| place.state == State::Free)?;
        place.state = State::Granted;
        Some(Request { place: Some(number), generation: place.generation })
    }

    /// The place of a request that has not ended.
    fn place(&mut self, request: Request) -> Option<&mut Place> {
        let place = self.places.get_mut(usize::from(request.place?))?;
        (place.generation == request.generation && place.state != State::Free).then_some(place)
    }
}

/// Logs a message at a limited rate.
pub(crate) fn limited(rate: &mut RateLimit, now: Millis, message: Message<'_>, log: &mut impl FnMut(Message<'_>)) {
    let decision = rate.message(now);
    if let Some(count) = decision.suppressed {
        log(Message::Suppressed(count));
    }
    if decision.logged {
        log(message);
    }
}

#[cfg(test)]
mod tests;
