//! Recognises a runaway loop by its chain of requests, long before the limit is reached.
//!
//! A request that a process makes below a running helper has a parent: the request of that helper. A helper is not a child of
//! the process whose request it serves, so a walk through the parents of processes ends at the youngest helper, and the
//! chain from helper to helper has to be remembered.

use crate::requests::limited;
use crate::{Message, Millis, Name, RateLimit, Refusal};

/// A process: its number, and when it started, because numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// The number of the process (its tgid).
    pub id: i32,
    /// The time of its start, in any unit.
    pub start: u64,
}

/// Identifies a remembered helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HelperId {
    index: u16,
    generation: u32,
}

#[derive(Debug, Clone, Copy)]
struct Helper {
    name: Name,
    generation: u32,
    /// The helper below which the request was made.
    parent: Option<HelperId>,
    /// None until the helper's process exists.
    process: Option<Process>,
}

/// The helpers that run, at most `N`. A further one is not remembered: what is below it has no ancestors.
#[derive(Debug, Clone)]
pub struct Ancestry<const N: usize = 64> {
    helpers: [Option<Helper>; N],
    generation: u32,
    earlier: u8,
    stopped: RateLimit,
}

impl<const N: usize> Ancestry<N> {
    /// No helper runs. A request is refused if its chain contains `earlier` requests for the same name; 0 refuses none.
    #[must_use]
    pub const fn new(earlier: u8) -> Self {
        Self { helpers: [None; N], generation: 0, earlier, stopped: RateLimit::new() }
    }

    /// Changes how many earlier requests for the same name a chain may contain.
    pub fn set_earlier(&mut self, earlier: u8) {
        self.earlier = earlier;
    }

    /// Returns whether requests are refused at all, so that helpers have to be remembered.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.earlier > 0
    }

    /// Returns the helper that a process belongs to: the first of `ancestors` (the process itself, its parent, and so on)
    /// that is one.
    #[must_use]
    pub fn helper_of(&self, ancestors: impl IntoIterator<Item = Process>) -> Option<HelperId> {
        ancestors.into_iter().find_map(|process| {
            let mut helpers = (0..u16::MAX).zip(&self.helpers);
            helpers.find_map(|(index, helper)| {
                let Helper { generation, .. } = helper.filter(|helper| helper.process == Some(process))?;
                Some(HelperId { index, generation })
            })
        })
    }

    /// Decides about a request that is made below the helper `parent`.
    ///
    /// # Errors
    /// [`Refusal::Runaway`], with the message of the kernels before 2.6 ([`Message::Stopped`]) at a limited rate.
    pub fn check(
        &mut self,
        now: Millis,
        parent: Option<HelperId>,
        name: &Name,
        log: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Refusal> {
        if self.earlier == 0 || self.requests_in_chain(parent, name) < usize::from(self.earlier) {
            return Ok(());
        }
        limited(&mut self.stopped, now, Message::Stopped, log);
        Err(Refusal::Runaway)
    }

    /// Remembers a helper that is about to start. None if there is no room.
    pub fn add(&mut self, parent: Option<HelperId>, name: &Name) -> Option<HelperId> {
        let (index, free) = (0..u16::MAX).zip(&mut self.helpers).find(|(_, helper)| helper.is_none())?;
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        *free = Some(Helper { name: *name, generation, parent, process: None });
        Some(HelperId { index, generation })
    }

    /// Records the process of a helper.
    pub fn started(&mut self, id: HelperId, process: Process) {
        if let Some(helper) = self.helpers.get_mut(usize::from(id.index)).and_then(Option::as_mut) {
            if helper.generation == id.generation {
                helper.process = Some(process);
            }
        }
    }

    /// Forgets a helper, which has ended.
    pub fn remove(&mut self, id: HelperId) {
        if let Some(entry) = self.helpers.get_mut(usize::from(id.index)) {
            if entry.is_some_and(|helper| helper.generation == id.generation) {
                *entry = None;
            }
        }
    }

    fn get(&self, id: HelperId) -> Option<&Helper> {
        self.helpers.get(usize::from(id.index))?.as_ref().filter(|helper| helper.generation == id.generation)
    }

    fn requests_in_chain(&self, parent: Option<HelperId>, name: &Name) -> usize {
        // A parent is always older than its child, so the chain has no cycle; the bound shows it to the reader.
        let chain = core::iter::successors(parent.and_then(|id| self.get(id)), |helper| self.get(helper.parent?));
        chain.take(N).filter(|helper| helper.name == *name).fold(0, |count, _| count.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    fn process(id: i32) -> Process {
        Process { id, start: 0 }
    }

    /// Requests the names one below the other; returns how many helpers start before one is refused.
    fn nested(ancestry: &mut Ancestry, names: &[&str]) -> usize {
        let mut parent = None;
        for (count, text) in names.iter().enumerate() {
            let name = name(text);
            if ancestry.check(0, parent, &name, &mut |_| ()).is_err() {
                return count;
            }
            let id = ancestry.add(parent, &name).unwrap();
            let process = process(i32::try_from(count).unwrap() + 100);
            ancestry.started(id, process);
            parent = ancestry.helper_of([process]);
            assert_eq!(parent, Some(id));
        }
        names.len()
    }

    #[test]
    fn a_recursion_ends_when_the_chain_contains_the_name_often_enough() {
        assert_eq!(nested(&mut Ancestry::new(1), &["a"; 9]), 1);
        assert_eq!(nested(&mut Ancestry::new(3), &["a"; 9]), 3);
        assert_eq!(nested(&mut Ancestry::new(1), &["a", "b", "a", "b"]), 2);
        assert_eq!(nested(&mut Ancestry::new(3), &["a", "b"].repeat(9)), 6);
    }

    #[test]
    fn a_chain_of_different_names_and_a_disabled_policy_refuse_nothing() {
        assert_eq!(nested(&mut Ancestry::new(1), &["a", "b", "c", "d"]), 4);
        assert_eq!(nested(&mut Ancestry::new(0), &["a"; 40]), 40);
    }

    #[test]
    fn parallel_requests_are_not_a_chain() {
        let mut ancestry: Ancestry = Ancestry::new(1);
        for _ in 0..10 {
            assert_eq!(ancestry.check(0, None, &name("a"), &mut |_| ()), Ok(()));
            ancestry.add(None, &name("a"));
        }
    }

    #[test]
    fn the_first_ancestor_that_is_a_helper_decides() {
        let mut ancestry: Ancestry = Ancestry::new(1);
        let older = ancestry.add(None, &name("a")).unwrap();
        let younger = ancestry.add(Some(older), &name("b")).unwrap();
        ancestry.started(older, process(10));
        ancestry.started(younger, process(20));
        assert_eq!(ancestry.helper_of([30, 20, 10].map(process)), Some(younger));
        assert_eq!(ancestry.helper_of([30, 10].map(process)), Some(older));
        assert_eq!(ancestry.helper_of([Process { id: 20, start: 7 }]), None, "the number is used again");
    }

    #[test]
    fn a_helper_that_has_ended_is_forgotten_and_cannot_be_confused_with_a_later_one() {
        let mut ancestry: Ancestry<1> = Ancestry::new(1);
        let first = ancestry.add(None, &name("a")).unwrap();
        assert_eq!(ancestry.add(None, &name("b")), None, "there is no room");
        ancestry.remove(first);
        let second = ancestry.add(None, &name("a")).unwrap();
        ancestry.remove(first);
        assert_eq!(ancestry.check(0, Some(first), &name("a"), &mut |_| ()), Ok(()));
        assert_eq!(ancestry.check(0, Some(second), &name("a"), &mut |_| ()), Err(Refusal::Runaway));
    }

    #[test]
    fn a_refusal_is_logged_at_a_limited_rate() {
        let mut ancestry: Ancestry = Ancestry::new(1);
        let parent = ancestry.add(None, &name("a"));
        let mut logged = Vec::new();
        for _ in 0..12 {
            let _ = ancestry.check(0, parent, &name("a"), &mut |message| {
                logged.push((message == Message::Stopped, message.has_newline()));
            });
        }
        assert_eq!(logged, [(true, true); 10]);
    }
}
