//! The kernels to which a deviation applies: conditions on the release and on probes. Pure.

use std::cmp::Ordering;
use std::fmt;

/// Conditions of which all must be met, such as `>=5.10, <6.4` or `cutoff=semaphore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// The release has this order to these components. Only as many components are compared.
    Release(Comparison, Vec<u32>),
    /// The probe has this value.
    Probe(String, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
}

impl Comparison {
    /// The longer sign of two that begin with the same character is first.
    const SIGNS: [(&'static str, Comparison); 5] = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::Above),
        ("<", Comparison::Below),
        ("=", Comparison::Equal),
    ];

    fn accepts(self, order: Ordering) -> bool {
        match self {
            Comparison::AtLeast => order.is_ge(),
            Comparison::AtMost => order.is_le(),
            Comparison::Above => order.is_gt(),
            Comparison::Below => order.is_lt(),
            Comparison::Equal => order.is_eq(),
        }
    }
}

/// A range that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is neither a comparison nor the value of a probe.
    #[error("invalid condition '{0}' (expected e.g. >=5.10, <6.4, =6.1 or cutoff=semaphore)")]
    Syntax(String),
    /// The name of the probe is unknown.
    #[error("unknown probe '{name}'")]
    Probe {
        /// The name.
        name: String,
        /// All probes.
        known: Vec<&'static str>,
    },
    /// The probe does not have this value.
    #[error("unknown value '{value}' of the probe {probe} (expected {})", known.join(" or "))]
    Value {
        /// The probe.
        probe: String,
        /// The value.
        value: String,
        /// All values.
        known: Vec<&'static str>,
    },
}

/// A probe's name and values.
pub type Probe = (&'static str, &'static [&'static str]);

impl Range {
    /// Parses conditions that are separated by commas.
    ///
    /// # Errors
    /// [`RangeError`] for an invalid condition or an unknown probe.
    pub fn parse(text: &str, probes: &[Probe]) -> Result<Range, RangeError> {
        let conditions = text.split(',').map(|condition| Condition::parse(condition.trim(), probes));
        Ok(Range { conditions: conditions.collect::<Result<_, _>>()? })
    }

    /// Returns whether a kernel of this release meets all conditions. `probe` returns the value of a probe.
    pub fn contains<'a>(&self, release: &str, probe: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::Release(comparison, bound) => {
                let mut version = version_of(release);
                version.resize(bound.len(), 0);
                comparison.accepts(version.cmp(bound))
            }
            Condition::Probe(name, value) => probe(name) == Some(value),
        })
    }
}

impl Range {
    /// Returns whether a kernel of this release can meet all conditions: those on probes are ignored.
    #[must_use]
    pub fn may_contain(&self, release: &str) -> bool {
        let releases = |condition: &&Condition| matches!(condition, Condition::Release(..));
        let conditions = self.conditions.iter().filter(releases).cloned().collect();
        Range { conditions }.contains(release, |_| None)
    }
}

impl Condition {
    fn parse(text: &str, probes: &[Probe]) -> Result<Condition, RangeError> {
        let syntax = || RangeError::Syntax(text.to_owned());
        let comparison =
            Comparison::SIGNS.iter().find_map(|(sign, comparison)| Some((comparison, text.strip_prefix(sign)?)));
        if let Some((comparison, bound)) = comparison {
            let components = bound.trim().split('.').map(str::parse);
            return Ok(Condition::Release(*comparison, components.collect::<Result<_, _>>().map_err(|_| syntax())?));
        }
        let (name, value) = text.split_once('=').ok_or_else(syntax)?;
        let known = || probes.iter().map(|(name, _)| *name).collect();
        let (_, values) = probes
            .iter()
            .find(|(probe, _)| *probe == name)
            .ok_or_else(|| RangeError::Probe { name: name.to_owned(), known: known() })?;
        if !values.contains(&value) {
            let (probe, value) = (name.to_owned(), value.to_owned());
            return Err(RangeError::Value { probe, value, known: values.to_vec() });
        }
        Ok(Condition::Probe(name.to_owned(), value.to_owned()))
    }
}

/// Returns the numbers at the beginning of a release: 6, 1, 0 for `6.1.0-56-cloud-amd64`.
#[must_use]
pub fn version_of(release: &str) -> Vec<u32> {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    release[..end].split('.').map_while(|component| component.parse().ok()).collect()
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, condition) in self.conditions.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { ", " })?;
            match condition {
                Condition::Release(comparison, bound) => {
                    let sign =
                        Comparison::SIGNS.iter().find(|(_, other)| other == comparison).map_or("", |(sign, _)| sign);
                    let bound: Vec<String> = bound.iter().map(u32::to_string).collect();
                    write!(f, "{sign}{}", bound.join("."))?;
                }
                Condition::Probe(name, value) => write!(f, "{name}={value}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBES: &[Probe] = &[("cutoff", &["wait-queue", "semaphore"])];

    fn contains(range: &str, release: &str, cutoff: &'static str) -> bool {
        let range = Range::parse(range, PROBES).unwrap();
        range.contains(release, |name| (name == "cutoff").then_some(cutoff))
    }

    #[test]
    fn a_release_is_compared_by_as_many_components_as_the_bound_has() {
        for (range, release) in [
            (">=5.10, <6.4", "5.10.0-1"),
            (">=5.10, <6.4", "6.3.9"),
            ("<=6.1", "6.1.0-56-cloud-amd64"),
            ("=6.1", "6.1.187"),
            (">6.1.0", "6.1.1"),
            (">=6", "7.3.0-rc1+"),
            ("=6.12.0", "6.12"),
        ] {
            assert!(contains(range, release, ""), "{range} {release}");
        }
        for (range, release) in
            [(">=5.10, <6.4", "6.4.0"), (">=5.10", "5.9.1"), (">6.1", "6.1.7"), ("=6.1", "6.12.1"), (">=1", "next")]
        {
            assert!(!contains(range, release, ""), "{range} {release}");
        }
    }

    #[test]
    fn a_probe_value_and_a_release_can_be_combined() {
        assert!(contains("cutoff=semaphore, >=6.4", "6.12.1", "semaphore"));
        assert!(!contains("cutoff=semaphore", "6.12.1", "wait-queue"));
    }

    #[test]
    fn a_range_is_printed_as_it_was_written() {
        let range = ">=5.10, <6.4, cutoff=wait-queue";
        assert_eq!(Range::parse(range, PROBES).unwrap().to_string(), range);
    }

    #[test]
    fn an_invalid_condition_is_an_error() {
        let error = |text: &str| Range::parse(text, PROBES).unwrap_err().to_string();
        let expected = "(expected e.g. >=5.10, <6.4, =6.1 or cutoff=semaphore)";
        for text in ["", "6.4", ">=six", ">=", "=6.x", "cutoff"] {
            assert_eq!(error(text), format!("invalid condition '{text}' {expected}"));
        }
        assert_eq!(error("cutof=semaphore"), "unknown probe 'cutof'");
        assert_eq!(
            error("cutoff=never"),
            "unknown value 'never' of the probe cutoff (expected wait-queue or semaphore)"
        );
    }
}
