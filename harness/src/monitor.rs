//! Finds reports of kernel failures in console lines. Pure: no clock, no guest; tested with the logs in
//! `fixtures/console`.
//!
//! A header counts only at the start of a printk message, and `WARNING:` only in the forms that the kernel's own
//! checks use, because drivers print that word too. A program in the guest can write text that looks like a report
//! to `/dev/kmsg`; the console cannot distinguish the two, but the facility in the kernel log can.

use crate::console::printable;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;

/// Lines of context before a report.
const BEFORE: usize = 5;
/// Maximum length of a report, in lines.
const LINES: usize = 100;
/// Maximum length of a line, in bytes; the rest is dropped.
const LINE: usize = 2000;
/// Maximum number of reports kept.
const FINDINGS: usize = 50;
/// An oops follows the line that announces it within this many lines.
const FOLLOWS: usize = 12;

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The kernel panicked.
    Panic,
    /// A fault in the kernel: bad address, general protection, invalid opcode, `kernel BUG at`.
    Oops,
    /// Any other `BUG:`, such as a bad page table entry or sleeping in atomic context.
    Bug,
    /// A `WARN`.
    Warning,
    /// A report of KASAN or KFENCE.
    Kasan,
    /// A report of UBSAN.
    Ubsan,
    /// A report of KMSAN or KCSAN.
    Sanitizer,
    /// A report of lockdep, or of RCU's own checks.
    Lockdep,
    /// An RCU stall.
    #[serde(rename = "rcu stall")]
    RcuStall,
    /// A task blocked uninterruptibly for too long.
    #[serde(rename = "hung task")]
    HungTask,
    /// A soft or hard lockup of a CPU, or a workqueue lockup.
    #[serde(rename = "lock-up")]
    LockUp,
    /// Memory ran out and the kernel killed a process.
    #[serde(rename = "out of memory")]
    OutOfMemory,
    /// The kernel booted a second time, or booted in a clone.
    #[serde(rename = "second boot")]
    SecondBoot,
}

impl Kind {
    /// Returns whether this kind proves that the kernel itself failed: panic, oops, stall, hang or lockup.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Panic | Self::Oops | Self::LockUp | Self::RcuStall | Self::HungTask)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "panic",
            Self::Oops => "oops",
            Self::Bug => "bug",
            Self::Warning => "warning",
            Self::Kasan => "kasan",
            Self::Ubsan => "ubsan",
            Self::Sanitizer => "sanitizer",
            Self::Lockdep => "lockdep",
            Self::RcuStall => "rcu stall",
            Self::HungTask => "hung task",
            Self::LockUp => "lock-up",
            Self::OutOfMemory => "out of memory",
            Self::SecondBoot => "second boot",
        })
    }
}

/// One report on the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind.
    pub kind: Kind,
    /// The report's header, without time stamp and caller.
    pub title: String,
    /// The lines of the report and a few preceding lines, as printable text.
    pub lines: Vec<String>,
}

/// Collects findings from console output as it arrives.
#[derive(Debug)]
pub struct Monitor {
    /// The last line, as far as it has arrived.
    partial: Vec<u8>,
    before: VecDeque<String>,
    findings: Vec<Finding>,
    open: Option<Open>,
    boots_expected: u32,
    boots: u32,
}

/// State of the report being read, which is the last finding.
#[derive(Debug)]
struct Open {
    lines: usize,
    after_end: bool,
}

/// Classification of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Header(Kind),
    /// `---[ end …`
    End,
    Boot,
    Other,
}

impl Monitor {
    /// Creates a monitor. `boots` says whether a boot is expected on this console; a clone does not boot.
    #[must_use]
    pub fn new(boots: bool) -> Self {
        Self {
            partial: Vec::new(),
            before: VecDeque::new(),
            findings: Vec::new(),
            open: None,
            boots_expected: u32::from(boots),
            boots: 0,
        }
    }

    /// Adds console output, in pieces of any size.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.partial);
                self.line(line.strip_suffix(b"\r").unwrap_or(&line));
            } else if self.partial.len() < LINE {
                self.partial.push(byte);
            }
        }
    }

    /// Returns the findings so far, including one in a last line that is not complete yet.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        if !self.partial.is_empty() {
            let mut rest = Self {
                partial: Vec::new(),
                before: self.before.clone(),
                findings: Vec::new(),
                open: None,
                boots_expected: self.boots_expected,
                boots: self.boots,
            };
            rest.line(&self.partial);
            // Within an open report only a panic matters.
            if self.open.is_none() {
                findings.append(&mut rest.findings);
            } else {
                findings.extend(rest.findings.into_iter().filter(|finding| finding.kind == Kind::Panic));
            }
        }
        findings
    }

    fn line(&mut self, line: &[u8]) {
        let text = printable(line);
        let message = message(&text);
        let kind = match classify(message, self.before.back().map(|line| self::message(line))) {
            Line::Header(kind) => Some(kind),
            Line::Boot => {
                self.boots += 1;
                (self.boots > self.boots_expected).then_some(Kind::SecondBoot)
            }
            Line::End => {
                if let Some(open) = &mut self.open {
                    open.after_end = true;
                }
                None
            }
            Line::Other => None,
        };
        match kind {
            Some(kind) if self.belongs_to_open(kind) => {
                if let Some(finding) = self.findings.last_mut() {
                    if kind == Kind::Oops && finding.kind == Kind::Bug {
                        finding.kind = Kind::Oops; // announced by "BUG: unable to handle …" or similar
                    }
                }
            }
            Some(kind) if self.findings.len() < FINDINGS => {
                let lines = self.before.iter().cloned().collect();
                self.findings.push(Finding { kind, title: message.to_owned(), lines });
                self.open = Some(Open { lines: 0, after_end: false });
            }
            _ => {}
        }
        if let Some(open) = &mut self.open {
            if let Some(finding) = self.findings.last_mut() {
                finding.lines.push(text.clone());
            }
            open.lines += 1;
            if open.after_end || open.lines >= LINES {
                self.open = None;
            }
        }
        self.before.push_back(text);
        if self.before.len() > BEFORE {
            self.before.pop_front();
        }
    }

    /// Returns whether a header continues the open report. One fault prints several headers in a row: `BUG: unable
    /// to handle …` and `Oops: …`, `kernel BUG at …` and `invalid opcode: …`, an RCU stall and its details.
    fn belongs_to_open(&self, kind: Kind) -> bool {
        let (Some(open), Some(last)) = (&self.open, self.findings.last()) else { return false };
        match (last.kind, kind) {
            (Kind::Oops | Kind::Bug, Kind::Oops) => open.lines <= FOLLOWS,
            (Kind::RcuStall, Kind::RcuStall) | (Kind::Lockdep, Kind::Lockdep) => true,
            _ => false,
        }
    }
}

/// Returns the printk message in a line, without time stamp and caller. The unfinished line of another program may
/// precede the time stamp.
fn message(line: &str) -> &str {
    let stamped = std::iter::once(0).chain(line.match_indices('[').map(|(at, _)| at)).find_map(|at| stamp(&line[at..]));
    let rest = stamped.unwrap_or(line);
    // CONFIG_PRINTK_CALLER: "[    T1] " for a task, "[    C0] " for a CPU.
    let caller = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).filter(|(caller, _)| {
        let caller = caller.trim_start();
        caller.starts_with(['T', 'C']) && caller.len() > 1 && caller[1..].bytes().all(|byte| byte.is_ascii_digit())
    });
    caller.map_or(rest, |(_, rest)| rest).trim_start()
}

/// Returns the text after a leading time stamp `[   12.345678]`.
fn stamp(text: &str) -> Option<&str> {
    let (time, rest) = text.strip_prefix('[')?.split_once(']')?;
    let (seconds, micros) = time.trim_start().split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(seconds) && digits(micros) && micros.len() == 6).then(|| rest.strip_prefix(' ').unwrap_or(rest))
}

/// Beginnings of messages, the more specific ones first.
const HEADERS: &[(&str, Kind)] = &[
    ("Kernel panic - not syncing", Kind::Panic),
    ("BUG: KASAN:", Kind::Kasan),
    ("BUG: KFENCE:", Kind::Kasan),
    ("BUG: KMSAN:", Kind::Sanitizer),
    ("BUG: KCSAN:", Kind::Sanitizer),
    ("UBSAN:", Kind::Ubsan),
    ("BUG: kernel NULL pointer dereference", Kind::Oops),
    ("BUG: unable to handle", Kind::Oops),
    ("Unable to handle kernel", Kind::Oops),
    ("BUG: stack guard page was hit", Kind::Oops),
    ("BUG: TASK stack guard page was hit", Kind::Oops),
    ("kernel BUG at ", Kind::Oops),
    ("Oops:", Kind::Oops),
    ("general protection fault", Kind::Oops),
    ("invalid opcode:", Kind::Oops),
    ("divide error:", Kind::Oops),
    ("double fault:", Kind::Oops),
    ("PANIC: double fault", Kind::Oops),
    ("stack segment:", Kind::Oops),
    ("int3:", Kind::Oops),
    ("watchdog: BUG: soft lockup", Kind::LockUp),
    ("BUG: soft lockup", Kind::LockUp),
    ("BUG: workqueue lockup", Kind::LockUp),
    ("watchdog: CPU", Kind::LockUp),
    ("watchdog: Watchdog detected hard LOCKUP", Kind::LockUp),
    ("NMI watchdog: Watchdog detected hard LOCKUP", Kind::LockUp),
    ("BUG: MAX_LOCK", Kind::Lockdep),
    ("BUG: Invalid wait context", Kind::Lockdep),
    ("[ BUG: Invalid wait context ]", Kind::Lockdep),
    ("BUG:", Kind::Bug),
    ("INFO: possible recursive locking", Kind::Lockdep),
    ("INFO: trying to register non-static key", Kind::Lockdep),
    ("unchecked MSR access error", Kind::Warning),
    ("Out of memory: Kill", Kind::OutOfMemory),
    ("Memory cgroup out of memory: Kill", Kind::OutOfMemory),
];

/// Lockdep's texts after `WARNING: `.
const LOCKDEP: &[&str] = &[
    "possible ",
    "inconsistent lock state",
    "suspicious RCU usage",
    "bad unlock balance detected",
    "held lock freed",
    "lock held when returning to user space",
    "Nested lock was not taken",
    "bad contention detected",
    "nested lock",
    "HARDIRQ-safe",
    "SOFTIRQ-safe",
];

fn classify(message: &str, previous: Option<&str>) -> Line {
    if message.starts_with("---[ end ") {
        return Line::End;
    }
    if message.starts_with("Linux version ") {
        return Line::Boot;
    }
    if let Some((_, kind)) = HEADERS.iter().find(|(start, _)| message.starts_with(start)) {
        let is_report = match *kind {
            Kind::LockUp => message.to_ascii_lowercase().contains("lockup"),
            _ => true,
        };
        return if is_report { Line::Header(*kind) } else { Line::Other };
    }
    // A report of SLUB: "BUG CACHE (TAINT): WHAT", below a line of "=".
    let ruled = previous.is_some_and(|line| line.len() > 70 && line.bytes().all(|byte| byte == b'='));
    if ruled && message.starts_with("BUG ") && message.contains("): ") {
        return Line::Header(Kind::Bug);
    }
    if let Some(rest) = message.strip_prefix("WARNING: ") {
        if LOCKDEP.iter().any(|start| rest.starts_with(start)) {
            return Line::Header(Kind::Lockdep);
        }
        // "CPU: 0 PID: 1 at FILE:LINE FUNCTION", since 6.18 "FILE:LINE at FUNCTION, CPU#0: COMM/PID".
        let warn = rest.starts_with("CPU: ") && rest.contains(" PID: ") && rest.contains(" at ")
            || rest.contains(" at ") && rest.contains(", CPU#")
            || rest.starts_with("stack recursion")
            || rest.starts_with("kernel stack ")
            || previous.is_some_and(|line| line.contains("[ cut here ]"));
        return if warn { Line::Header(Kind::Warning) } else { Line::Other };
    }
    // "INFO: task NAME:PID blocked for more than 120 seconds.", "rcu: INFO: rcu_sched self-detected stall on CPU".
    let info = message.strip_prefix("rcu: ").unwrap_or(message).strip_prefix("INFO: ");
    match info {
        Some(info) if info.starts_with("task ") && info.contains(" blocked ") && info.contains(" for more than ") => {
            Line::Header(Kind::HungTask)
        }
        Some(info) if info.starts_with("rcu") && info.contains(" stall") => Line::Header(Kind::RcuStall),
        _ => Line::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A log preceded by the expected findings, in order: lines `# finding: kind: title`.
    struct Fixture {
        name: String,
        boots: bool,
        expected: Vec<String>,
        log: Vec<u8>,
    }

    fn fixtures() -> Vec<Fixture> {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/console");
        let mut paths: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|path| fixture(&path)).collect()
    }

    fn fixture(path: &std::path::Path) -> Fixture {
        let mut log = std::fs::read(path).unwrap();
        let (mut boots, mut expected) = (true, Vec::new());
        while log.starts_with(b"#") {
            let line: Vec<u8> = log.drain(..=log.iter().position(|&byte| byte == b'\n').unwrap()).collect();
            let line = String::from_utf8(line).unwrap();
            match line.trim_end().split_once(": ") {
                Some(("# finding", finding)) => expected.push(finding.to_owned()),
                Some(("# boots", value)) => boots = value == "yes",
                _ => {}
            }
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Fixture { name, boots, expected, log }
    }

    fn found(monitor: &Monitor) -> Vec<String> {
        monitor.findings().iter().map(|finding| format!("{}: {}", finding.kind, finding.title)).collect()
    }

    #[test]
    fn every_console_fixture_yields_exactly_its_findings() {
        let fixtures = fixtures();
        assert!(fixtures.len() >= 60, "{} fixtures", fixtures.len());
        let harmless = fixtures.iter().filter(|fixture| fixture.expected.is_empty()).count();
        assert!(harmless >= 15, "{harmless} of them harmless");
        for Fixture { name, boots, expected, log } in fixtures {
            let mut monitor = Monitor::new(boots);
            monitor.push(&log);
            assert_eq!(found(&monitor), expected, "{name}");
        }
    }

    #[test]
    fn findings_do_not_depend_on_how_the_output_is_split() {
        for Fixture { name, boots, expected, log } in fixtures() {
            for size in [1, 7] {
                let mut monitor = Monitor::new(boots);
                for bytes in log.chunks(size) {
                    monitor.push(bytes);
                }
                assert_eq!(found(&monitor), expected, "{name} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_finding_contains_context_lines_and_the_report_up_to_its_end_marker() {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/console");
        let mut monitor = Monitor::new(true);
        monitor.push(&fixture(&dir.join("warn.txt")).log);
        let lines = monitor.findings().remove(0).lines;
        assert!(lines.first().unwrap().ends_with("[ cut here ]------------"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("Call Trace")));
        assert!(lines.last().unwrap().contains("end trace"), "{lines:#?}");
    }

    #[test]
    fn the_number_of_reports_and_the_length_of_lines_are_bounded() {
        let mut monitor = Monitor::new(true);
        for _ in 0..1000 {
            monitor.push(b"[    1.000000] BUG: again\n[    1.000001] ");
            monitor.push(&vec![b'x'; 10_000]);
            monitor.push(b"\n");
        }
        let findings = monitor.findings();
        assert_eq!(findings.len(), FINDINGS);
        assert!(findings.iter().all(|finding| finding.lines.len() <= LINES + BEFORE));
        assert!(findings.iter().flat_map(|finding| &finding.lines).all(|line| line.len() <= 4 * LINE));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        arbtest::arbtest(|u| {
            let mut monitor = Monitor::new(u.arbitrary()?);
            monitor.push(u.arbitrary()?);
            let _ = monitor.findings();
            Ok(())
        });
    }
}
