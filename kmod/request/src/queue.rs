//! The queue of requests that wait for a place.

/// Requests that wait for a place, first come first served. In a kernel this is a list through the stacks of the waiting
/// tasks; elsewhere a collection.
pub trait Queue {
    /// Identifies a waiting request.
    type Waiter: Copy + Eq;

    /// Appends a waiter. There is always room.
    fn push(&mut self, waiter: Self::Waiter);

    /// Removes the waiter that has waited longest.
    fn pop(&mut self) -> Option<Self::Waiter>;

    /// Removes this waiter. Returns false if it does not wait.
    fn remove(&mut self, waiter: Self::Waiter) -> bool;

    /// Returns whether a request waits.
    fn is_empty(&self) -> bool;
}

#[cfg(feature = "alloc")]
impl<T: Copy + Eq> Queue for alloc::collections::VecDeque<T> {
    type Waiter = T;

    fn push(&mut self, waiter: T) {
        self.push_back(waiter);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn remove(&mut self, waiter: T) -> bool {
        let at = self.iter().position(|&other| other == waiter);
        at.and_then(|at| self.remove(at)).is_some()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}
