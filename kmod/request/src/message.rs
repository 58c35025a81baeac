//! The messages of `request_module()` in the kernel's log.

use crate::{CONCURRENT, Failure, Name, WAIT};

/// The level of a message (`KERN_ERR`, `KERN_WARNING`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// 3.
    Error = 3,
    /// 4.
    Warning = 4,
}

/// A message for the kernel's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A request is refused over the limit ([`OverLimit::Stop`](crate::OverLimit::Stop)).
    Stopped,
    /// A request is refused over the limit ([`OverLimit::Refuse`](crate::OverLimit::Refuse)).
    Runaway(&'a Name),
    /// A request begins to wait ([`OverLimit::WaitKillable`](crate::OverLimit::WaitKillable)).
    Throttling(&'a Name),
    /// A request has waited too long.
    Busy(&'a Name),
    /// The caller of a waiting request was killed.
    Killed(&'a Name),
    /// A request has the name of an earlier one that is still remembered.
    Duplicate(&'a Name),
    /// A helper failed. No released kernel logs it.
    Failed(&'a Name, Failure),
    /// This many messages from one place in the code were not logged.
    Suppressed(u32),
}

impl Message<'_> {
    /// Returns the level at which the kernel logs the message.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Stopped | Self::Runaway(_) => Level::Error,
            Self::Throttling(_)
            | Self::Busy(_)
            | Self::Killed(_)
            | Self::Duplicate(_)
            | Self::Failed(..)
            | Self::Suppressed(_) => Level::Warning,
        }
    }

    /// Returns whether the message ends with a newline. Readers of `/dev/kmsg` see a message without one only when the
    /// next message is logged.
    #[must_use]
    pub const fn has_newline(&self) -> bool {
        !matches!(self, Self::Throttling(_) | Self::Busy(_) | Self::Killed(_))
    }

    /// Passes the text, without a newline, to `write` in parts. A name is passed as it is.
    pub fn write_to(&self, mut write: impl FnMut(&[u8])) {
        match self {
            Self::Stopped => write(b"kmod: runaway modprobe loop assumed and stopped"),
            Self::Runaway(name) => {
                write(b"request_module: runaway loop modprobe ");
                write(name.as_bytes());
            }
            Self::Throttling(name) => {
                write(b"request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: ");
                number(u32::from(CONCURRENT), &mut write);
                write(b"), for module ");
                write(name.as_bytes());
                write(b", throttling...");
            }
            Self::Busy(name) => {
                write(b"request_module: modprobe ");
                write(name.as_bytes());
                write(b" cannot be processed, kmod busy with ");
                number(u32::from(CONCURRENT), &mut write);
                write(b" threads for more than ");
                number(u32::try_from(WAIT / 1000).unwrap_or(u32::MAX), &mut write);
                write(b" seconds now");
            }
            Self::Killed(name) => {
                write(b"request_module: sigkill sent for modprobe ");
                write(name.as_bytes());
                write(b", giving up");
            }
            Self::Duplicate(name) => {
                write(b"module: module-autoload: duplicate request for module ");
                write(name.as_bytes());
            }
            Self::Failed(name, failure) => {
                write(b"request_module: the helper for ");
                write(name.as_bytes());
                let (text, value): (&[u8], u32) = match failure {
                    Failure::NotExecuted(errno) => (b" cannot be executed, errno ", u32::from(*errno)),
                    Failure::Killed(signal) => (b" was killed by signal ", u32::from(*signal)),
                    Failure::Exited(status) => (b" exited with status ", u32::from(*status)),
                };
                write(text);
                number(value, &mut write);
            }
            Self::Suppressed(count) => {
                write(b"__request_module: ");
                number(*count, &mut write);
                write(b" callbacks suppressed");
            }
        }
    }
}

/// Writes a number in decimal. `core::fmt` would do the same, with code that can panic.
fn number(mut value: u32, write: &mut impl FnMut(&[u8])) {
    let mut digits = [0; 10];
    let mut length: usize = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0'.wrapping_add((value % 10) as u8);
        length = length.wrapping_add(1);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    let (_, used) = digits.split_at_checked(digits.len().wrapping_sub(length)).unwrap_or_default();
    write(used);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn text(message: Message<'_>) -> String {
        let mut text = Vec::new();
        message.write_to(|part| text.extend(part));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_messages_have_the_texts_of_the_kernels() {
        let name = Name::new(b"net-pf-3").unwrap();
        for (message, expected) in [
            (Message::Stopped, "kmod: runaway modprobe loop assumed and stopped"),
            (Message::Runaway(&name), "request_module: runaway loop modprobe net-pf-3"),
            (
                Message::Throttling(&name),
                "request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: 50), for module net-pf-3, throttling...",
            ),
            (
                Message::Busy(&name),
                "request_module: modprobe net-pf-3 cannot be processed, kmod busy with 50 threads for more than 5 seconds now",
            ),
            (Message::Killed(&name), "request_module: sigkill sent for modprobe net-pf-3, giving up"),
            (Message::Duplicate(&name), "module: module-autoload: duplicate request for module net-pf-3"),
            (
                Message::Failed(&name, Failure::NotExecuted(2)),
                "request_module: the helper for net-pf-3 cannot be executed, errno 2",
            ),
            (
                Message::Failed(&name, Failure::Killed(9)),
                "request_module: the helper for net-pf-3 was killed by signal 9",
            ),
            (
                Message::Failed(&name, Failure::Exited(1)),
                "request_module: the helper for net-pf-3 exited with status 1",
            ),
            (Message::Suppressed(20), "__request_module: 20 callbacks suppressed"),
        ] {
            assert_eq!(text(message), expected);
        }
    }

    #[test]
    fn messages_have_the_levels_and_newlines_of_the_kernels() {
        let name = Name::new(b"x").unwrap();
        for (message, level, newline) in [
            (Message::Stopped, 3, true),
            (Message::Runaway(&name), 3, true),
            (Message::Throttling(&name), 4, false),
            (Message::Busy(&name), 4, false),
            (Message::Killed(&name), 4, false),
            (Message::Duplicate(&name), 4, true),
            (Message::Suppressed(1), 4, true),
        ] {
            assert_eq!((message.level() as u8, message.has_newline()), (level, newline), "{message:?}");
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 9, 10, 100, 4_294_967_295] {
            let mut digits = Vec::new();
            number(value, &mut |part| digits.extend(part));
            assert_eq!(String::from_utf8(digits).unwrap(), value.to_string());
        }
    }
}
