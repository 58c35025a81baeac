//! What a kernel does with a request over the limit.

use crate::Millis;

/// The maximum number of concurrent requests (`MAX_KMOD_CONCURRENT`).
pub const CONCURRENT: u8 = 50;

/// How long a request waits for a place, in milliseconds (`MAX_KMOD_ALL_BUSY_TIMEOUT`).
pub const WAIT: Millis = 5000;

/// What happens to a request over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OverLimit {
    /// There is no limit (before 2.3).
    Allow,
    /// The request fails; the message names no module (2.3 to 2.5).
    Stop,
    /// The request fails; the message names the module (2.6 to 4.12).
    Refuse,
    /// The request waits and can be killed; the kernel logs the start and the end of the wait (4.13 to 6.3).
    WaitKillable,
    /// The request waits and cannot be killed; the kernel logs only a timeout (since 6.4).
    Wait,
}

/// How a kernel treats requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub(crate) over: OverLimit,
    pub(crate) limit: u8,
    pub(crate) merge: bool,
}

impl Policy {
    /// At most [`CONCURRENT`] requests; duplicates are not merged.
    #[must_use]
    pub const fn new(over: OverLimit) -> Self {
        Self { over, limit: CONCURRENT, merge: false }
    }

    /// The policy of a kernel of this version, with the default configuration and without backported changes.
    #[must_use]
    pub fn of_kernel(major: u32, minor: u32) -> Self {
        Self::new(match (major, minor) {
            (..2, _) | (2, ..3) => OverLimit::Allow,
            (2, 3..=5) => OverLimit::Stop,
            (2 | 3, _) | (4, ..13) => OverLimit::Refuse,
            (4 | 5, _) | (6, ..4) => OverLimit::WaitKillable,
            _ => OverLimit::Wait,
        })
    }

    /// Kernels before 4.13 lower the limit to half of `kernel.threads-max`.
    #[must_use]
    pub fn with_max_threads(self, max_threads: u32) -> Self {
        match self.over {
            OverLimit::Stop | OverLimit::Refuse => {
                let half = u8::try_from(max_threads / 2).unwrap_or(u8::MAX);
                Self { limit: half.min(CONCURRENT), ..self }
            }
            OverLimit::Allow | OverLimit::WaitKillable | OverLimit::Wait => self,
        }
    }

    /// Merges requests with an earlier one for the same name (`CONFIG_MODULE_DEBUG_AUTOLOAD_DUPS`). Only a kernel since 6.4
    /// can do that, so other policies do not change.
    #[must_use]
    pub const fn with_merging(self) -> Self {
        Self { merge: matches!(self.over, OverLimit::Wait), ..self }
    }

    /// Returns what happens to a request over the limit.
    #[must_use]
    pub const fn over_limit(&self) -> OverLimit {
        self.over
    }

    /// Returns the maximum number of concurrent requests; it is not used with [`OverLimit::Allow`].
    #[must_use]
    pub const fn limit(&self) -> u8 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_follows_the_version() {
        use OverLimit::{Allow, Refuse, Stop, Wait, WaitKillable};
        for (version, over) in [
            ((2, 1), Allow),
            ((2, 2), Allow),
            ((2, 3), Stop),
            ((2, 4), Stop),
            ((2, 5), Stop),
            ((2, 6), Refuse),
            ((3, 16), Refuse),
            ((4, 12), Refuse),
            ((4, 13), WaitKillable),
            ((6, 3), WaitKillable),
            ((6, 4), Wait),
            ((7, 3), Wait),
        ] {
            assert_eq!(Policy::of_kernel(version.0, version.1).over_limit(), over, "{version:?}");
        }
    }

    #[test]
    fn half_of_the_threads_is_the_limit_before_4_13() {
        let limit = |over, threads| Policy::new(over).with_max_threads(threads).limit();
        assert_eq!([limit(OverLimit::Stop, 40), limit(OverLimit::Refuse, 1000)], [20, 50]);
        assert_eq!([limit(OverLimit::WaitKillable, 40), limit(OverLimit::Wait, 40)], [50, 50]);
    }
}
