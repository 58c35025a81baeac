//! The memory that a run may use for what the module files claim.
//!
//! | part | bound |
//! |---|---|
//! | small modules, decompressed, on all threads together | 512 MiB |
//! | a larger module, decompressed; one at a time | [`Limits::size`](crate::object::Limits::size) |
//! | aliases, dependencies and symbols of one module | 16 MiB |
//! | those of all modules, with an allowance for what is built from them | 512 MiB, or a quarter of the available memory |
//!
//! All of this memory is allocated fallibly: a module that exceeds a bound, or for which there is no memory, is reported, and the
//! run goes on with the others. The allowance covers the graph; lists and indexes are allocated fallibly too.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::memory;
use crate::object::ObjectErrorKind;

/// What each thread may use at any time for a decompressed module, if there are few threads.
const SMALL_MODULE: u64 = 64 << 20;
/// What all threads may use together for small modules.
const SMALL_MODULES: u64 = 512 << 20;
/// The smallest bound for a small module: nearly all modules are below it.
const LEAST_SMALL_MODULE: u64 = 8 << 20;

/// The bound for the data of one module.
const MODULE: usize = 16 << 20;
/// The bound for the data of all modules.
const MODULES: usize = 512 << 20;
/// Modules with less data can use all of the bound for all modules, others only three quarters: a few modules that claim much must
/// not prevent the index for the others.
const MODEST: usize = 64 << 10;

/// The allowance for an entry beyond its bytes: for the entry itself, the graph, and a line of a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cost {
    Info = 128,
    Export = 160,
    Import = 48,
}

/// Returns whether there is the memory that several threads may use together.
pub(super) fn has_memory_for_threads() -> bool {
    memory::allocate(SMALL_MODULES as usize).is_ok()
}

/// Returns the size up to which every thread may read a module at any time, in bytes.
pub(super) fn small_module(threads: usize) -> u64 {
    (SMALL_MODULES / threads.max(1) as u64).clamp(LEAST_SMALL_MODULE, SMALL_MODULE)
}

/// The budget of a run for the data of all modules.
#[derive(Debug)]
pub(super) struct Budget {
    total: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Returns the budget for the memory that is available now.
    pub(super) fn new() -> Self {
        Self::with_total(MODULES.min(available_memory() / 4))
    }

    fn with_total(total: usize) -> Self {
        Self { total, used: AtomicUsize::new(0) }
    }

    /// Adds bytes to a module that already has `module` bytes, or returns an error that exceeds a bound.
    pub(super) fn take(&self, module: usize, bytes: usize) -> Result<(), ObjectErrorKind> {
        let module = module.saturating_add(bytes);
        if module > MODULE {
            return Err(ObjectErrorKind::Elf("its aliases and symbols exceed 16 MiB"));
        }
        let total = if module > MODEST { self.total / 4 * 3 } else { self.total };
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= total);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(()),
            Err(_) => Err(ObjectErrorKind::Elf("no memory is left for its aliases and symbols")),
        }
    }

    /// Returns the bytes of a module that is not kept.
    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Returns the largest power of two up to 4 GiB of bytes that can be allocated.
fn available_memory() -> usize {
    let can_allocate = |size: &usize| memory::allocate(*size).is_ok();
    (20..=32).rev().filter_map(|log| 1_usize.checked_shl(log)).find(can_allocate).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_a_bound() {
        let budget = Budget::with_total(1 << 30);
        budget.take(0, MODULE).unwrap();
        assert!(budget.take(MODULE, 1).is_err());
        assert!(budget.take(1, usize::MAX).is_err());
        assert_eq!(budget.used.load(Ordering::Relaxed), MODULE);
    }

    #[test]
    fn modules_that_claim_much_leave_a_quarter_for_the_others() {
        let budget = Budget::with_total(1 << 20);
        let mut claimed = 0;
        while budget.take(claimed, 4096).is_ok() {
            claimed += 4096;
        }
        assert_eq!(claimed, 3 << 18);
        budget.take(0, MODEST).unwrap();
        budget.take(0, (1 << 18) - MODEST).unwrap_err();
        budget.release(claimed);
        budget.take(0, 3 << 18).unwrap_err();
        budget.take(0, (3 << 18) - MODEST).unwrap();
    }

    #[test]
    fn small_modules_have_a_bound_together() {
        assert_eq!([1, 8, 16, 1000].map(|threads| small_module(threads) >> 20), [64, 64, 32, 8]);
    }

    #[test]
    fn there_is_memory() {
        assert!(available_memory() >= 64 << 20 && Budget::new().total <= MODULES);
    }
}
