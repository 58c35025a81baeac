//! Guest time: `CLOCK_MONOTONIC`, and deadlines in it.

use agent::proto::{GuestMicros, GuestMillis};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Now.
pub fn now() -> GuestMicros {
    let time = clock_gettime(ClockId::Monotonic);
    GuestMicros(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000)
}

/// A moment of guest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(GuestMicros);

impl Moment {
    /// So much from now.
    pub fn after(limit: GuestMillis) -> Self {
        Self(GuestMicros(now().0.saturating_add(limit.0.saturating_mul(1000))))
    }

    /// How long until then; nothing if it has passed. A day at most: who waits looks again.
    pub fn left(self) -> Duration {
        Duration::from_micros(self.0.0.saturating_sub(now().0)).min(Duration::from_secs(86_400))
    }

    /// It is over.
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }
}
