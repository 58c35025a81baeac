//! Guest time: `CLOCK_MONOTONIC`, and deadlines in it.

use agent::proto::{GuestMicros, GuestMillis};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Returns the current guest time.
pub fn now() -> GuestMicros {
    let time = clock_gettime(ClockId::Monotonic);
    GuestMicros(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000)
}

/// A point in guest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(GuestMicros);

impl Moment {
    /// Returns the point in time `limit` from now.
    pub fn after(limit: GuestMillis) -> Self {
        Self(GuestMicros(now().0.saturating_add(limit.0.saturating_mul(1000))))
    }

    /// Returns the time until then, zero if it has passed. At most a day, because every waiter checks again.
    pub fn left(self) -> Duration {
        Duration::from_micros(self.0.0.saturating_sub(now().0)).min(Duration::from_secs(86_400))
    }

    /// Returns whether it has passed.
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }
}
