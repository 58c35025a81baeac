//! Deviations: mismatches between a statement and a kernel or a subject that are known and have a reason. Pure.
//!
//! The shipped ones are in `deviations.toml`. Users add theirs in the same format (docs/reference/deviations.md).

pub mod kernels;
mod parse;

pub use parse::{DeviationsError, Names, Problem};

use crate::catalogue::glob;
use kernels::Range;
use std::fmt;
use std::sync::Arc;

/// The pattern of an entry that does not name a subject.
const EVERY: &str = "*";

/// One listed mismatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The id of the behaviour.
    pub behaviour: String,
    /// The name of the fact; `*` matches any text.
    pub fact: String,
    /// The name of the subject; `*` matches any text.
    pub subject: String,
    /// The kernels, of which one must match; empty means every kernel.
    pub kernels: Vec<Range>,
    /// The values that are observed instead of the expected one; `*` matches any text.
    pub instead: Vec<String>,
    /// Why the mismatch is known.
    pub reason: String,
    /// Where it is described or discussed; empty if the table has no reference.
    pub reference: String,
    /// Where it is listed.
    pub place: Place,
    /// Who lists it.
    pub origin: Origin,
}

/// The position of an entry in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Who lists a deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// kmodlab: the deviations of kernels and of the subjects in its catalogue. Each has a reference.
    Shipped,
    /// The user.
    User,
}

/// The kernel and the subject of a row, and its behaviour.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The id of the behaviour.
    pub behaviour: &'a str,
    /// The name of the subject.
    pub subject: &'a str,
    /// Another subject, whose shipped deviations apply to this one.
    pub like: Option<&'a str>,
    /// The release of the kernel.
    pub release: &'a str,
    /// The values of the kernel's probes, by name.
    pub probes: &'a [(&'a str, &'a str)],
}

/// A deviation that applies to a row.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The deviation.
    pub deviation: &'a Deviation,
    /// Whether the row fails if the deviation does not occur. A subject that is judged like another one may be right where
    /// that one deviates.
    pub must_occur: bool,
}

/// A table of deviations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deviations {
    entries: Vec<Deviation>,
    /// The traits of a subject that is not in the catalogue.
    traits: Option<Vec<String>>,
}

impl Deviations {
    /// Returns the shipped table.
    ///
    /// # Errors
    /// [`DeviationsError`] if it is invalid, which a test excludes.
    pub fn builtin(names: &Names) -> Result<Deviations, DeviationsError> {
        Self::parse("deviations.toml", include_str!("deviations.toml"), Origin::Shipped, names)
    }

    /// Joins two tables. The user's entries take precedence over the shipped ones, and later tables over earlier ones.
    #[must_use]
    pub fn and(self, later: Deviations) -> Deviations {
        let entries = later.entries.into_iter().chain(self.entries).collect();
        Deviations { entries, traits: later.traits.or(self.traits) }
    }

    /// Returns the entries, in order of precedence.
    #[must_use]
    pub fn entries(&self) -> &[Deviation] {
        &self.entries
    }

    /// Returns the traits that the table declares for a subject that is not in the catalogue.
    #[must_use]
    pub fn traits(&self) -> Option<&[String]> {
        self.traits.as_deref()
    }

    /// Returns the deviations that apply to a row, in order of precedence.
    #[must_use]
    pub fn of(&self, scope: &Scope<'_>) -> Vec<Listed<'_>> {
        self.entries.iter().filter_map(|deviation| deviation.applies_to(scope)).collect()
    }
}

impl Deviation {
    /// Returns the deviation if it applies to a row.
    fn applies_to(&self, scope: &Scope<'_>) -> Option<Listed<'_>> {
        if self.behaviour != scope.behaviour || !self.is_of_kernel(scope.release, scope.probes) {
            return None;
        }
        let is_of = |name: &str| glob::matches(&self.subject, name);
        let must_occur = match (scope.like, self.origin) {
            // The subject's own name says nothing: it is judged as the other one.
            (Some(like), Origin::Shipped) if !is_of(like) => return None,
            (Some(_), Origin::Shipped) => self.subject == EVERY,
            (Some(like), Origin::User) if !is_of(scope.subject) && !is_of(like) => return None,
            (None, _) if !is_of(scope.subject) => return None,
            _ => true,
        };
        Some(Listed { deviation: self, must_occur })
    }

    /// Returns whether it applies to a kernel of this release with these values of probes.
    #[must_use]
    pub fn is_of_kernel(&self, release: &str, probes: &[(&str, &str)]) -> bool {
        let value = |name: &str| probes.iter().find(|(probe, _)| *probe == name).map(|(_, value)| *value);
        self.kernels.is_empty() || self.kernels.iter().any(|range| range.contains(release, value))
    }

    /// Returns whether it can apply to a kernel of this release, whatever the values of its probes are.
    #[must_use]
    pub fn may_be_of_release(&self, release: &str) -> bool {
        self.kernels.is_empty() || self.kernels.iter().any(|range| range.may_contain(release))
    }

    /// Returns whether it is about the fact of this name.
    #[must_use]
    pub fn names(&self, fact: &str) -> bool {
        glob::matches(&self.fact, fact)
    }

    /// Returns whether it lists this value.
    #[must_use]
    pub fn accepts(&self, value: &str) -> bool {
        self.instead.iter().any(|listed| glob::matches(listed, value))
    }
}

#[cfg(test)]
mod tests;
