//! The system log, without ever making the kernel load a module.
//!
//! syslog(3) opens a Unix socket. Where Unix sockets are a module, that call makes the kernel start modprobe for
//! `net-pf-1`, which fails, complains through syslog, and so on: the loop that kmod's first documentation tells about. So
//! `/proc` is read first: without `/proc/net/unix` no socket is made and the message goes to `/dev/kmsg`, as it does when
//! nobody listens at `/dev/log`. Nothing is tried twice and nothing waits.

use super::Priority;
use crate::sys::{self, LocalTime, open_device};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

/// daemon, syslog's facility for these tools.
const FACILITY: u8 = 3;

/// The kernel refuses a record of more than 1024 bytes (less on old kernels) as a whole.
const KMSG_LIMIT: usize = 960;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The system log.
#[derive(Debug, Default)]
pub struct SystemLog {}

impl SystemLog {
    /// Sends one message to `/dev/log`, or else to `/dev/kmsg`, or else nowhere.
    pub fn send(&self, priority: Priority, tool: &str, text: &str) {
        if unix_sockets_exist() && send_datagram(&datagram(priority, tool, text, now())).is_ok() {
            return;
        }
        let _nobody_is_left_to_tell = write_kmsg(&kernel_record(priority, tool, text));
    }
}

/// Whether the kernel has Unix sockets already, read from `/proc`; "no" when that cannot be read.
fn unix_sockets_exist() -> bool {
    // A file of that name outside procfs proves nothing.
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

fn write_kmsg(record: &[u8]) -> Result<(), Errno> {
    let kmsg = open_device("/dev/kmsg", (1, 11), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC)?;
    rustix::io::write(&kmsg, record).map(drop)
}

fn now() -> Option<LocalTime> {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    sys::local_time(i64::try_from(seconds).ok()?)
}

/// `<26>Nov 22 18:53:16 modprobe: FATAL: text\n`, as syslog(3) writes it.
fn datagram(priority: Priority, tool: &str, text: &str, time: Option<LocalTime>) -> Vec<u8> {
    let time = time
        .and_then(|t| {
            Some(format!("{} {:2} {:02}:{:02}:{:02} ", MONTHS.get(t.month)?, t.day, t.hour, t.minute, t.second))
        })
        .unwrap_or_default();
    format!("<{}>{time}{tool}: {text}\n", number(priority)).into_bytes()
}

/// `<26>modprobe: FATAL: text\n`, cut so that the kernel takes it.
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
    fn a_datagram_looks_like_one_of_syslog() {
        let time = LocalTime { month: 10, day: 2, hour: 8, minute: 3, second: 16 };
        let message = datagram(Priority::Fatal, "modprobe", "FATAL: Module x not found.", Some(time));
        assert_eq!(message, b"<26>Nov  2 08:03:16 modprobe: FATAL: Module x not found.\n");
        assert_eq!(datagram(Priority::Warning, "modprobe", "x", None), b"<28>modprobe: x\n");
    }

    #[test]
    fn a_kernel_record_carries_facility_and_priority_and_is_cut() {
        assert_eq!(kernel_record(Priority::Error, "rmmod", "ERROR: x"), b"<27>rmmod: ERROR: x\n");
        assert_eq!(kernel_record(Priority::Error, "rmmod", &"x".repeat(5000)).len(), KMSG_LIMIT + 1);
    }

    #[test]
    fn a_running_system_with_proc_has_unix_sockets() {
        if std::path::Path::new("/proc/net/unix").exists() {
            assert!(unix_sockets_exist());
        }
    }
}
