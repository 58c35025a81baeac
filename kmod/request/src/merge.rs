//! Requests that later ones for the same name are merged with (`kernel/module/dups.c`, since 6.4).

use crate::{Millis, Name};

/// How long the result of a request is remembered after its helper has ended, in milliseconds.
pub const REMEMBERED: Millis = 60_000;

/// Identifies a remembered request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MergeId {
    index: u16,
    generation: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Name,
    generation: u32,
    /// The result, and when it was announced.
    result: Option<(i32, Millis)>,
}

/// What is known about a name.
pub(crate) enum Known {
    /// Nothing; the request may be remembered with [`Merges::remember`].
    New,
    /// An earlier request runs.
    Running(MergeId),
    /// An earlier request has ended with this result.
    Ended(i32),
}

/// The remembered requests. When `N` are remembered, a further one is not, as in a kernel that is out of memory.
#[derive(Debug, Clone)]
pub(crate) struct Merges<const N: usize> {
    entries: [Option<Entry>; N],
    generation: u32,
}

impl<const N: usize> Merges<N> {
    pub(crate) const fn new() -> Self {
        Self { entries: [None; N], generation: 0 }
    }

    /// Looks up a name, and forgets what was announced more than [`REMEMBERED`] ago.
    pub(crate) fn lookup(&mut self, now: Millis, name: &Name) -> Known {
        for entry in &mut self.entries {
            let announced = entry.and_then(|entry| entry.result).map(|(_, at)| at);
            if announced.is_some_and(|at| now.saturating_sub(at) >= REMEMBERED) {
                *entry = None;
            }
        }
        match self.find(name) {
            None => Known::New,
            Some((_, Entry { result: Some((result, _)), .. })) => Known::Ended(*result),
            Some((index, Entry { generation, .. })) => Known::Running(MergeId { index, generation: *generation }),
        }
    }

    pub(crate) fn remember(&mut self, name: &Name) {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        if let Some(free) = self.entries.iter_mut().find(|entry| entry.is_none()) {
            *free = Some(Entry { name: *name, generation, result: None });
        }
    }

    /// Announces the result of a helper for this name. Only the first result of a remembered request counts, even if it
    /// is that of an asynchronous request for the same name.
    pub(crate) fn announce(&mut self, now: Millis, name: &Name, result: i32) -> Option<MergeId> {
        let (index, entry) = self.find(name).filter(|(_, entry)| entry.result.is_none())?;
        entry.result = Some((result, now));
        Some(MergeId { index, generation: entry.generation })
    }

    /// The result of a remembered request, once it is announced.
    pub(crate) fn result(&self, id: MergeId) -> Option<i32> {
        let entry = self.entries.get(usize::from(id.index))?.filter(|entry| entry.generation == id.generation)?;
        entry.result.map(|(result, _)| result)
    }

    fn find(&mut self, name: &Name) -> Option<(u16, &mut Entry)> {
        let entries = (0..u16::MAX).zip(&mut self.entries);
        entries.filter_map(|(index, entry)| Some((index, entry.as_mut()?))).find(|(_, entry)| entry.name == *name)
    }
}
