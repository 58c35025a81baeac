//! Messages in the kernel's log about a request for a module. They name the process and the request, so that the messages of
//! two requests can be distinguished. The tool that handles the request has no standard error, and no other log is certain to
//! exist.
//!
//! The number of messages is limited without storing anything: the kernel's log shows how many were written lately.

use super::Priority;
use super::system::{FACILITY, KMSG_LIMIT, write_kernel_log};
use crate::name::Escaped;
use crate::sys::end_of_kernel_log;
use rustix::time::{ClockId, clock_gettime};
use std::fmt::Display;

/// The number of messages of a tool in [`SECONDS`], as for messages of the kernel itself (`printk_ratelimited()`).
const LIMIT: usize = 10;

/// The time to which [`LIMIT`] applies.
const SECONDS: i64 = 5;

/// How much of the end of the kernel's log is read, in bytes.
const TAIL: usize = 16 * 1024;

/// How many bytes of a requested name are shown. The names that the kernel requests are shorter.
const NAME: usize = 64;

/// The messages of a tool about a request.
#[derive(Debug, Clone)]
pub struct RequestLog {
    tool: String,
    pid: u32,
    name: String,
}

impl RequestLog {
    /// The messages of this process about a request for `name`.
    #[must_use]
    pub fn new(tool: &str, name: &[u8]) -> Self {
        let shown = Escaped(name.get(..NAME).unwrap_or(name)).to_string();
        let name = if name.len() > NAME { shown + "..." } else { shown };
        Self { tool: tool.to_owned(), pid: std::process::id(), name }
    }

    /// Writes a message. If it cannot be written, or there were too many lately, it is lost.
    pub fn write(&self, priority: Priority, text: impl Display) {
        let Self { tool, pid, name } = self;
        let recent = now().map_or(0, |now| recent(&end_of_kernel_log(TAIL), tool, now));
        if let Some(text) = limited(recent, &format!("request for '{name}': {text}")) {
            write_kernel_log(priority, &format!("{tool}[{pid}]"), &text);
        }
    }
}

/// Returns the message to write after `recent` others; the last one announces that no more follow.
fn limited(recent: usize, text: &str) -> Option<String> {
    if recent + 1 < LIMIT {
        return Some(text.to_owned());
    }
    let shown: String = text.chars().take(KMSG_LIMIT / 4).collect();
    (recent < LIMIT).then(|| format!("{shown}; further messages are suppressed for {SECONDS} s"))
}

/// The clock of the kernel's log. Both count from the boot, and neither is adjusted to the time of a network. Where the log
/// uses another clock that has drifted by seconds, messages are not limited.
fn now() -> Option<i64> {
    Some(clock_gettime(ClockId::MonotonicRaw).tv_sec)
}

/// Counts the messages of a tool that were written lately, in lines such as `<27>[   12.345678] modprobe[91]: text`.
/// Only a program that may write to `/dev/kmsg` can cause such a line: the kernel's own have another facility.
fn recent(log: &[u8], tool: &str, now: i64) -> usize {
    let is_recent = |line: &&[u8]| {
        let Some((second, text)) = parse(line) else { return false };
        let is_of_tool =
            text.strip_prefix(tool.as_bytes()).is_some_and(|rest| matches!(rest.first(), Some(b'[' | b':')));
        is_of_tool && (now - SECONDS..=now + 1).contains(&second)
    };
    log.split(|&byte| byte == b'\n').filter(is_recent).count()
}

/// Returns the second and the text of a line whose facility is that of the tools.
fn parse(line: &[u8]) -> Option<(i64, &[u8])> {
    let (priority, rest) = split(line.strip_prefix(b"<")?, b'>')?;
    if number(priority)? >> 3 != i64::from(FACILITY) {
        return None;
    }
    let (time, rest) = split(rest.strip_prefix(b"[")?, b']')?;
    let (seconds, _) = split(time, b'.')?;
    // With CONFIG_PRINTK_CALLER, `[    T1]` follows.
    let rest = rest.strip_prefix(b"[").and_then(|caller| split(caller, b']')).map_or(rest, |(_, rest)| rest);
    Some((number(seconds.trim_ascii())?, rest.trim_ascii_start()))
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&byte| byte == at)?;
    Some((&text[..end], &text[end + 1..]))
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_is_escaped_and_shortened() {
        assert_eq!(RequestLog::new("modprobe", b"a\n<0>b\x1b\xff").name, r"a\x0a<0>b\x1b\xff");
        assert_eq!(RequestLog::new("modprobe", &[b'x'; 64]).name, "x".repeat(64));
        assert_eq!(RequestLog::new("modprobe", &[b'x'; 65]).name, "x".repeat(64) + "...");
    }

    #[test]
    fn recent_messages_of_the_tool_are_counted() {
        let log = b"\
<27>[   94.999999] modprobe[1]: request for 'a': too old
<27>[   95.000000] modprobe[2]: request for 'a': x
<26>[  100.500000][   T77] modprobe[3]: request for 'a': x
<27>[  101.000000] modprobe: ERROR: x
<27>[  102.000000] modprobe[4]: from a clock that is ahead
<3>[  100.000000] modprobe[5]: of the kernel
<27>[  100.000000] kmod-request[6]: of another tool
<27>[  100.000000] modprobe-x[7]: of another tool
<27>modprobe[8]: without a time
<30>[  100.000000] [modprobe[9]: of another program
garbage
<27>[  100";
        assert_eq!(recent(log, "modprobe", 100), 3);
        assert_eq!(recent(log, "kmod-request", 100), 1);
        assert_eq!(recent(b"", "modprobe", 100), 0);
    }

    #[test]
    fn the_tenth_message_is_the_last_one_for_a_while() {
        assert_eq!(limited(0, "x").as_deref(), Some("x"));
        assert_eq!(limited(8, "x").as_deref(), Some("x"));
        assert_eq!(limited(9, "x").as_deref(), Some("x; further messages are suppressed for 5 s"));
        assert_eq!(limited(10, "x"), None);
        assert!(limited(9, &"\u{1f600}".repeat(5000)).is_some_and(|text| text.len() < KMSG_LIMIT + 100));
    }
}
