//! Writes to the system log without causing the kernel to load a module.
//!
//! syslog(3) creates a Unix socket. If Unix sockets are a module, the kernel then runs modprobe for `net-pf-1`, which fails, logs
//! that through syslog, and so on: the loop that the first documentation of kmod describes. Therefore `/proc/net/unix` is
//! checked first. If it does not exist, or nothing listens on `/dev/log`, the message goes to `/dev/kmsg`. Nothing is retried
//! and nothing blocks.

use super::Priority;
use crate::sys::{self, LocalTime, open_device};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

/// LOG_DAEMON.
pub(super) const FACILITY: u8 = 3;

/// The maximum length of a record. The kernel rejects a record of more than 1024 bytes (fewer on old kernels).
pub(super) const KMSG_LIMIT: usize = 960;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The system log.
#[derive(Debug, Default)]
pub struct SystemLog {}

impl SystemLog {
    /// Sends a message to `/dev/log`, else to `/dev/kmsg`; if both fail, the message is lost.
    pub fn send(&self, priority: Priority, tool: &str, text: &str) {
        if unix_sockets_exist() && send_datagram(&datagram(priority, tool, text, now())).is_ok() {
            return;
        }
        write_kernel_log(priority, tool, text);
    }
}

/// Reports whether the kernel has Unix sockets already. An unreadable `/proc` counts as no.
fn unix_sockets_exist() -> bool {
    // Only a file in procfs is evidence.
    let Ok(file) = rustix::fs::open("/proc/net/unix", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        return false;
    };
    rustix::fs::fstatfs(&file).is_ok_and(|stat| stat.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

fn send_datagram(message: &[u8]) -> Result<(), Errno> {
    let address = SocketAddrUnix::new("/dev/log")?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    rustix::net::send(&socket, message, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map(drop)
}

/// Writes a message to `/dev/kmsg`; if that fails, the message is lost.
pub fn write_kernel_log(priority: Priority, tool: &str, text: &str) {
    let _message_is_lost = write_kmsg(&kernel_record(priority, tool, text));
}

fn write_kmsg(record: &[u8]) -> Result<(), Errno> {
    let kmsg = open_device("/dev/kmsg", (1, 11), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC)?;
    rustix::io::write(&kmsg, record).map(drop)
}

fn now() -> Option<LocalTime> {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    sys::local_time(i64::try_from(seconds).ok()?)
}

/// Formats a message as syslog(3) does: `<26>Nov 22 18:53:16 modprobe: FATAL: text\n`.
fn datagram(priority: Priority, tool: &str, text: &str, time: Option<LocalTime>) -> Vec<u8> {
    let time = time
        .and_then(|t| {
            Some(format!("{} {:2} {:02}:{:02}:{:02} ", MONTHS.get(t.month)?, t.day, t.hour, t.minute, t.second))
        })
        .unwrap_or_default();
    format!("<{}>{time}{tool}: {text}\n", number(priority)).into_bytes()
}

/// Formats a message for `/dev/kmsg`, truncated to what the kernel accepts: `<26>modprobe: FATAL: text\n`.
fn kernel_record(priority: Priority, tool: &str, text: &str) -> Vec<u8> {
    let mut record = format!("<{}>{tool}: {text}", number(priority)).into_bytes();
    record.truncate(KMSG_LIMIT);
    record.push(b'\n');
    record
}

fn number(priority: Priority) -> u8 {
    FACILITY << 3 | priority as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_has_the_format_of_syslog() {
        let time = LocalTime { month: 10, day: 2, hour: 8, minute: 3, second: 16 };
        let message = datagram(Priority::Fatal, "modprobe", "FATAL: Module x not found.", Some(time));
        assert_eq!(message, b"<26>Nov  2 08:03:16 modprobe: FATAL: Module x not found.\n");
        assert_eq!(datagram(Priority::Warning, "modprobe", "x", None), b"<28>modprobe: x\n");
    }

    #[test]
    fn a_kernel_record_has_facility_and_priority_and_is_truncated() {
        assert_eq!(kernel_record(Priority::Error, "rmmod", "ERROR: x"), b"<27>rmmod: ERROR: x\n");
        assert_eq!(kernel_record(Priority::Error, "rmmod", &"x".repeat(5000)).len(), KMSG_LIMIT + 1);
    }

    #[test]
    fn unix_sockets_are_detected_through_procfs() {
        if std::path::Path::new("/proc/net/unix").exists() {
            assert!(unix_sockets_exist());
        }
    }
}
