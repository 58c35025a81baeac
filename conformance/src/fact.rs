//! Facts: what a check observed, beside what it expected. They are text, the same on every run, and
//! together they are the behaviour's transcript.

use crate::{errno, text};
use agent::proto::{Errno, ExitKind, Value};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// One thing that was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about.
    pub name: String,
    /// What the statement promises, for the kernel's era.
    pub expected: String,
    /// What came.
    pub got: String,
    /// Whether they agree.
    pub holds: bool,
}

impl Fact {
    /// `got` must equal `expected`.
    pub fn equal<T: Shown, U: Shown>(name: &str, got: &T, expected: &U) -> Fact {
        let (got, expected) = (got.shown(), expected.shown());
        Fact { name: name.to_owned(), holds: got == expected, expected, got }
    }

    /// `got` must lie in `range`. Measured values differ from run to run, so a value inside is told by
    /// the range alone.
    #[must_use]
    pub fn within(name: &str, got: u64, range: &RangeInclusive<u64>, unit: &str) -> Fact {
        let expected = format!("{} to {} {unit}", range.start(), range.end());
        let holds = range.contains(&got);
        let got = if holds { expected.clone() } else { format!("{got} {unit}") };
        Fact { name: name.to_owned(), expected, got, holds }
    }
}

/// Has a text form for facts.
pub trait Shown {
    /// The text.
    fn shown(&self) -> String;
}

impl<T: Shown + ?Sized> Shown for &T {
    fn shown(&self) -> String {
        (*self).shown()
    }
}

macro_rules! shown_by_display {
    ($($t:ty)*) => { $(impl Shown for $t { fn shown(&self) -> String { self.to_string() } })* };
}
shown_by_display! { bool u8 u32 u64 usize i32 i64 }

impl Shown for str {
    fn shown(&self) -> String {
        text::escape(self.as_bytes())
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.as_str().shown()
    }
}

impl Shown for [u8] {
    fn shown(&self) -> String {
        text::escape(self)
    }
}

impl Shown for Vec<u8> {
    fn shown(&self) -> String {
        self.as_slice().shown()
    }
}

impl<const N: usize> Shown for [u8; N] {
    fn shown(&self) -> String {
        self.as_slice().shown()
    }
}

/// Several things, in order: `[a, b]`. An empty one is `""`, so that a list that holds it is not the empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Many<T>(pub Vec<T>);

impl<T: Shown> Shown for Many<T> {
    fn shown(&self) -> String {
        let items: Vec<String> = self
            .0
            .iter()
            .map(Shown::shown)
            .map(|item| if item.is_empty() { "\"\"".to_owned() } else { item })
            .collect();
        format!("[{}]", items.join(", "))
    }
}

impl Shown for Errno {
    fn shown(&self) -> String {
        errno::name(*self)
    }
}

impl Shown for ExitKind {
    fn shown(&self) -> String {
        match self {
            ExitKind::Exited(status) => format!("exit {status}"),
            ExitKind::Signalled(signal) => format!("killed by signal {signal}"),
            ExitKind::TimedOut => "did not end".to_owned(),
        }
    }
}

/// A system call's result: `0`, another number, or the errno's name.
impl Shown for Result<Value, Errno> {
    fn shown(&self) -> String {
        match self {
            Ok(Value::Number(number)) => number.to_string(),
            Ok(Value::Ran(ran)) => ran.exit.shown(),
            Ok(Value::Bytes(bytes)) => bytes.shown(),
            Ok(_) => "0".to_owned(),
            Err(errno) => errno.shown(),
        }
    }
}

/// The facts as text, one a line: what a snapshot holds.
#[must_use]
pub fn transcript(facts: &[Fact]) -> String {
    facts.iter().map(|fact| format!("{}: {}\n", fact.name, fact.got)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_value_inside_its_range_reads_the_same_on_every_run() {
        let a = Fact::within("stall", 5004, &(5000..=8000), "ms");
        let b = Fact::within("stall", 5312, &(5000..=8000), "ms");
        assert_eq!(a, b);
        assert!(a.holds);
        let late = Fact::within("stall", 9000, &(5000..=8000), "ms");
        assert_eq!((late.holds, late.got.as_str()), (false, "9000 ms"));
    }

    #[test]
    fn results_and_errnos_read_as_the_field_writes_them() {
        assert!(Fact::equal("errno", &Err::<Value, _>(Errno(2)), &errno::ENOENT).holds);
        assert!(!Fact::equal("errno", &Ok::<_, Errno>(Value::Unit), &errno::ENOENT).holds);
        assert!(!Fact::equal("asked", &Many(vec![""]), &Many::<&str>(vec![])).holds);
        assert_eq!(Many(vec![b"a\n".to_vec(), b"b".to_vec()]).shown(), r"[a\x0a, b]");
    }
}
