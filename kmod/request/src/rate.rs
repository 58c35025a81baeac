//! The rate limit of `pr_warn_ratelimited()` (`___ratelimit()` in `lib/ratelimit.c`).

use crate::Millis;

/// The length of a window in milliseconds (`DEFAULT_RATELIMIT_INTERVAL`).
pub const INTERVAL: Millis = 5000;

/// How many messages are logged in a window (`DEFAULT_RATELIMIT_BURST`).
pub const BURST: u32 = 10;

/// The state of one place in the code that logs at a limited rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimit {
    begin: Option<Millis>,
    logged: u32,
    suppressed: u32,
}

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Whether the message is logged.
    pub logged: bool,
    /// How many messages of the previous window were not logged; reported once, before the message.
    pub suppressed: Option<u32>,
}

impl RateLimit {
    /// No message has been logged.
    #[must_use]
    pub const fn new() -> Self {
        Self { begin: None, logged: 0, suppressed: 0 }
    }

    /// Decides about a message at the time `now`. The first message, and the first one more than [`INTERVAL`] after the
    /// start of a window, start a new one.
    pub fn message(&mut self, now: Millis) -> Rate {
        let over = self.begin.is_none_or(|begin| now.saturating_sub(begin) > INTERVAL);
        let mut suppressed = None;
        if over {
            suppressed = Some(self.suppressed).filter(|&count| count > 0);
            *self = Self { begin: Some(now), logged: 0, suppressed: 0 };
        }
        let logged = self.logged < BURST;
        match logged {
            true => self.logged = self.logged.saturating_add(1),
            false => self.suppressed = self.suppressed.saturating_add(1),
        }
        Rate { logged, suppressed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn ten_messages_are_logged_in_five_seconds() {
        let mut rate = RateLimit::default();
        let logged: Vec<_> = (0..30).map(|at| rate.message(at * 100)).filter(|rate| rate.logged).collect();
        assert_eq!(logged, [Rate { logged: true, suppressed: None }; 10]);
    }

    #[test]
    fn the_first_message_of_the_next_window_follows_the_number_of_suppressed_ones() {
        let mut rate = RateLimit::default();
        for _ in 0..12 {
            rate.message(1);
        }
        assert!(!rate.message(5001).logged);
        assert_eq!(rate.message(5002), Rate { logged: true, suppressed: Some(3) });
        assert_eq!(rate.message(5003), Rate { logged: true, suppressed: None });
        for _ in 0..9 {
            rate.message(5004);
        }
        assert_eq!(rate.message(10_003), Rate { logged: true, suppressed: Some(1) });
    }

    #[test]
    fn a_window_begins_with_a_message() {
        let mut rate = RateLimit::default();
        rate.message(0);
        rate.message(9000);
        for _ in 0..9 {
            assert!(rate.message(14_000).logged);
        }
        assert!(!rate.message(14_000).logged);
    }
}
