//! The processes in `/proc`.

use crate::actions::files;
use crate::status::number;
use agent::proto::Process;

/// `PF_KTHREAD` of include/linux/sched.h.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Lists all processes except kernel threads, PID 1 and those in `without`.
pub fn list(without: &[i32]) -> rustix::io::Result<Vec<Process>> {
    let mut processes: Vec<Process> = files::list(b"/proc")?
        .iter()
        .filter_map(|name| number(name, 10))
        .filter_map(|pid| i32::try_from(pid).ok())
        .filter(|pid| *pid != 1 && !without.contains(pid))
        .filter_map(read)
        .collect();
    processes.sort_by_key(|process| process.pid);
    Ok(processes)
}

/// Reads one process; `None` if it is a kernel thread or has ended.
fn read(pid: i32) -> Option<Process> {
    let stat = files::read(format!("/proc/{pid}/stat").as_bytes(), 4096).ok()?;
    let stat = parse_stat(&stat)?;
    if stat.flags & KERNEL_THREAD != 0 {
        return None;
    }
    let cmdline = files::read(format!("/proc/{pid}/cmdline").as_bytes(), 1 << 16).unwrap_or_default();
    Some(Process { pid, ppid: stat.ppid, state: stat.state, comm: stat.comm, argv: split_cmdline(&cmdline) })
}

/// The fields used of `/proc/PID/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    comm: Vec<u8>,
    state: u8,
    ppid: i32,
    flags: u64,
}

/// Parses `PID (COMM) STATE PPID PGRP SESSION TTY TPGID FLAGS …`; COMM may contain spaces and parentheses.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|&b| b == b'(')?;
    let close = line.iter().rposition(|&b| b == b')')?;
    let comm = line.get(open + 1..close)?.to_vec();
    let mut fields = line.get(close + 1..)?.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let ppid = i32::try_from(number(fields.next()?, 10)?).ok()?;
    let flags = number(fields.nth(4)?, 10)?;
    Some(Stat { comm, state, ppid, flags })
}

fn split_cmdline(cmdline: &[u8]) -> Vec<Vec<u8>> {
    match cmdline.strip_suffix(b"\0").unwrap_or(cmdline) {
        b"" => Vec::new(),
        arguments => arguments.split(|&b| b == 0).map(<[u8]>::to_vec).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_may_contain_spaces_and_parentheses() {
        let line = b"12 (a) S (b c)) R 7 0 0 0 -1 2129984 0 0\n";
        let expected = Stat { comm: b"a) S (b c)".to_vec(), state: b'R', ppid: 7, flags: 2_129_984 };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat(b"12 )a( R"), None);
        assert_eq!(parse_stat(b"12 (a) R 7"), None);
    }

    #[test]
    fn arguments_may_be_empty() {
        assert_eq!(split_cmdline(b"a\0\0b\0"), [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
        assert!(split_cmdline(b"").is_empty());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        arbtest::arbtest(|u| {
            let _ = parse_stat(&u.arbitrary::<Vec<u8>>()?);
            Ok(())
        });
    }
}
