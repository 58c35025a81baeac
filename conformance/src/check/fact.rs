//! Facts: observations of a check with the expected values. Facts are text that is the same on every run. The facts of a
//! behaviour form its transcript.

use crate::check::errno;
use crate::text;
use agent::proto::{Errno, ExitKind, Value};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The name of the observation.
    pub name: String,
    /// The value that the statement promises, on this kernel.
    pub expected: String,
    /// The observed value.
    pub got: String,
    /// Whether the observed value is as expected.
    pub holds: bool,
    /// The known deviation that lists the observed value, which is not as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<ListedDeviation>,
}

/// Why a mismatch is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedDeviation {
    /// The reason.
    pub reason: String,
    /// Where it is described or discussed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
}

impl fmt::Display for ListedDeviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if self.reference.is_empty() { Ok(()) } else { write!(f, " ({})", self.reference) }
    }
}

impl Fact {
    /// Compares an observed value with the expected one.
    pub fn equal<T: Shown, U: Shown>(name: &str, got: &T, expected: &U) -> Fact {
        let (got, expected) = (got.shown(), expected.shown());
        Fact { name: name.to_owned(), holds: got == expected, expected, got, deviation: None }
    }

    /// Compares a measured value with a range. Measured values differ from run to run, so a value inside the range is
    /// reported as the range.
    #[must_use]
    pub fn within(name: &str, got: u64, range: &RangeInclusive<u64>, unit: &str) -> Fact {
        let expected = format!("{} to {} {unit}", range.start(), range.end());
        let holds = range.contains(&got);
        let got = if holds { expected.clone() } else { format!("{got} {unit}") };
        Fact { name: name.to_owned(), expected, got, holds, deviation: None }
    }

    /// Returns whether the observed value is neither as expected nor listed.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        !self.holds && self.deviation.is_none()
    }

    /// Returns the fact with both values, for a fact that is not as expected.
    #[must_use]
    pub fn mismatch(&self) -> String {
        format!("{}: expected {}, got {}", self.name, self.expected, self.got)
    }
}

/// A value with a text form for facts.
pub trait Shown {
    /// Returns the text.
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

/// A list of values: `[a, b]`. An empty value is shown as `""`, which distinguishes `[""]` from the empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: Shown> Shown for List<T> {
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
            ExitKind::TimedOut => "did not exit".to_owned(),
        }
    }
}

/// The result of a system call: `0`, another number, or the name of the errno.
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

/// Returns the facts as text, one per line, as in the transcript snapshots.
#[must_use]
pub fn transcript(facts: &[Fact]) -> String {
    facts.iter().map(|fact| format!("{}: {}\n", fact.name, fact.got)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_value_inside_its_range_is_reported_as_the_range() {
        let a = Fact::within("duration", 5004, &(5000..=8000), "ms");
        let b = Fact::within("duration", 5312, &(5000..=8000), "ms");
        assert_eq!(a, b);
        assert!(a.holds);
        let late = Fact::within("duration", 9000, &(5000..=8000), "ms");
        assert_eq!((late.holds, late.got.as_str()), (false, "9000 ms"));
    }

    #[test]
    fn results_and_errnos_have_their_usual_names() {
        assert!(Fact::equal("errno", &Err::<Value, _>(Errno(2)), &errno::ENOENT).holds);
        assert!(!Fact::equal("errno", &Ok::<_, Errno>(Value::Unit), &errno::ENOENT).holds);
        assert!(!Fact::equal("requested names", &List(vec![""]), &List::<&str>(vec![])).holds);
        assert_eq!(List(vec![b"a\n".to_vec(), b"b".to_vec()]).shown(), r"[a\x0a, b]");
    }
}
