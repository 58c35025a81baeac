//! Parses a table of deviations. Every error names the file and the line.

use super::kernels::{Probe, Range, RangeError};
use super::{Deviation, Deviations, EVERY, Origin, Place};
use crate::catalogue::probes::PROBES;
use crate::catalogue::suggest::nearest;
use crate::catalogue::{behaviours, glob};
use crate::check::traits::TRAITS;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use vm_images::Catalogue;
use vm_images::subject::COMMANDS;

/// The keys of an entry.
const KEYS: [&str; 7] = ["behaviour", "fact", "subject", "kernels", "instead", "reason", "reference"];

/// The names that a table can use.
#[derive(Clone, Debug)]
pub struct Names {
    /// The ids of all behaviours.
    pub behaviours: Vec<String>,
    /// The subjects in the catalogue and those of the run.
    pub subjects: Vec<String>,
    /// The probes and their values.
    pub probes: Vec<Probe>,
    /// The traits of subjects.
    pub traits: Vec<String>,
}

impl Names {
    /// Returns the names of all behaviours, and of our tools and the subjects in the catalogue.
    #[must_use]
    pub fn new(catalogue: &Catalogue) -> Names {
        Names {
            behaviours: behaviours::all().iter().map(|behaviour| behaviour.id.to_owned()).collect(),
            subjects: catalogue.subject_names().map(str::to_owned).collect(),
            probes: PROBES.iter().map(|probe| (probe.name, probe.values)).collect(),
            traits: TRAITS.iter().map(|known| known.name).chain(COMMANDS).map(str::to_owned).collect(),
        }
    }

    /// Adds the subjects of a run.
    #[must_use]
    pub fn and_subjects(mut self, names: &[String]) -> Names {
        self.subjects.extend_from_slice(names);
        self
    }
}

/// A table that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}: {problem}")]
pub struct DeviationsError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong in a table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not TOML.
    #[error("{0}")]
    Toml(String),
    /// A name is unknown.
    #[error("unknown {what} '{name}'")]
    Unknown {
        /// What it names: key, behaviour, trait.
        what: &'static str,
        /// The name.
        name: String,
        /// The name that was probably meant.
        nearest: Option<String>,
    },
    /// A pattern matches no subject.
    #[error("no subject matches '{pattern}'")]
    NoSubject {
        /// The pattern.
        pattern: String,
        /// The subject that was probably meant.
        nearest: Option<String>,
    },
    /// The conditions on kernels.
    #[error(transparent)]
    Kernels(#[from] RangeError),
    /// A key is missing.
    #[error("missing key '{0}'")]
    Missing(&'static str),
    /// A value has another type.
    #[error("'{key}' is not {expected}")]
    Type {
        /// The key.
        key: String,
        /// The expected type.
        expected: &'static str,
    },
    /// A value is empty.
    #[error("'{0}' is empty")]
    Empty(&'static str),
    /// The shipped table has traits, which belong to subjects.toml.
    #[error("[subject] is only allowed in your own table")]
    Subject,
    /// There are two entries for the same fact, subject and kernels.
    #[error("the same deviation is already listed in line {0}")]
    Duplicate(usize),
}

/// An error at a position of the text.
type At<T> = Result<T, (usize, Problem)>;

impl Deviations {
    /// Parses a table; `file` is for messages.
    ///
    /// # Errors
    /// [`DeviationsError`] for an invalid table.
    pub fn parse(file: &str, text: &str, origin: Origin, names: &Names) -> Result<Deviations, DeviationsError> {
        let parser = Parser { file: file.into(), text, origin, names };
        parser.table().map_err(|(offset, problem)| DeviationsError {
            file: file.to_owned(),
            line: line_of(text, offset),
            problem,
        })
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

struct Parser<'a> {
    file: Arc<str>,
    text: &'a str,
    origin: Origin,
    names: &'a Names,
}

impl Parser<'_> {
    fn table(&self) -> At<Deviations> {
        let table = DeTable::parse(self.text).map_err(|error| {
            (
                error.span().map_or(0, |span| span.start),
                Problem::Toml(error.message().lines().next().unwrap_or_default().to_owned()),
            )
        })?;
        let mut deviations = Deviations::default();
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "deviation" => deviations.entries = self.entries(value)?,
                "subject" => deviations.traits = Some(self.subject(value)?),
                other => return Err((key.span().start, unknown("key", other, &["deviation", "subject"]))),
            }
        }
        Ok(deviations)
    }

    fn entries(&self, value: &Spanned<DeValue<'_>>) -> At<Vec<Deviation>> {
        let wrong = |at: usize| {
            (at, Problem::Type { key: "deviation".to_owned(), expected: "an array of tables ([[deviation]])" })
        };
        let array = value.get_ref().as_array().ok_or_else(|| wrong(value.span().start))?;
        let mut entries: Vec<Deviation> = Vec::new();
        for item in array {
            let at = item.span().start;
            let table = item.get_ref().as_table().ok_or_else(|| wrong(at))?;
            let entry = self.entry(at, table)?;
            if let Some(other) = entries.iter().find(|other| is_same(other, &entry)) {
                return Err((at, Problem::Duplicate(other.place.line)));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn entry(&self, at: usize, table: &DeTable<'_>) -> At<Deviation> {
        let mut values: BTreeMap<&str, &Spanned<DeValue<'_>>> = BTreeMap::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if !KEYS.contains(&name) {
                return Err((key.span().start, unknown("key", name, &KEYS)));
            }
            values.insert(name, value);
        }
        let text = |key: &'static str| -> At<Option<(usize, String)>> {
            let Some(value) = values.get(key) else { return Ok(None) };
            let at = value.span().start;
            match value.get_ref().as_str() {
                Some(text) if text.trim().is_empty() => Err((at, Problem::Empty(key))),
                Some(text) => Ok(Some((at, text.to_owned()))),
                None => Err((at, Problem::Type { key: key.to_owned(), expected: "a string" })),
            }
        };
        let required = |key: &'static str| text(key)?.ok_or((at, Problem::Missing(key)));
        let list = |key: &'static str| values.get(key).map_or(Ok(Vec::new()), |value| texts(key, value));

        let (behaviour_at, behaviour) = required("behaviour")?;
        if !self.names.behaviours.contains(&behaviour) {
            return Err((behaviour_at, unknown("behaviour", &behaviour, &self.names.behaviours)));
        }
        let subject = match text("subject")? {
            Some((at, pattern)) => {
                let subjects = || self.names.subjects.iter().map(String::as_str);
                if !subjects().any(|name| glob::matches(&pattern, name)) {
                    let nearest = nearest(&pattern, subjects()).map(str::to_owned);
                    return Err((at, Problem::NoSubject { pattern, nearest }));
                }
                pattern
            }
            None => EVERY.to_owned(),
        };
        let ranges = list("kernels")?
            .into_iter()
            .map(|(at, range)| Range::parse(&range, &self.names.probes).map_err(|error| (at, Problem::Kernels(error))));
        let instead = list("instead")?;
        if instead.is_empty() {
            return Err(match values.get("instead") {
                Some(value) => (value.span().start, Problem::Empty("instead")),
                None => (at, Problem::Missing("instead")),
            });
        }
        let reference = match self.origin {
            Origin::Shipped => Some(required("reference")?),
            Origin::User if values.get("reference").is_some_and(|value| value.get_ref().as_str() == Some("")) => None,
            Origin::User => text("reference")?,
        };
        Ok(Deviation {
            behaviour,
            fact: required("fact")?.1,
            subject,
            kernels: ranges.collect::<At<_>>()?,
            instead: instead.into_iter().map(|(_, value)| value).collect(),
            reason: required("reason")?.1,
            reference: reference.map(|(_, text)| text).unwrap_or_default(),
            place: Place { file: Arc::clone(&self.file), line: line_of(self.text, at) },
            origin: self.origin,
        })
    }

    /// Parses the traits of a subject that is not in the catalogue.
    fn subject(&self, value: &Spanned<DeValue<'_>>) -> At<Vec<String>> {
        let at = value.span().start;
        if self.origin == Origin::Shipped {
            return Err((at, Problem::Subject));
        }
        let wrong = || (at, Problem::Type { key: "subject".to_owned(), expected: "a table ([subject])" });
        let mut traits = None;
        for (key, value) in value.get_ref().as_table().ok_or_else(wrong)? {
            match key.get_ref().as_ref() {
                "traits" => traits = Some(texts("traits", value)?),
                other => return Err((key.span().start, unknown("key", other, &["traits"]))),
            }
        }
        let traits = traits.ok_or((at, Problem::Missing("traits")))?;
        for (at, name) in &traits {
            if !self.names.traits.contains(name) {
                return Err((*at, unknown("trait", name, &self.names.traits)));
            }
        }
        Ok(traits.into_iter().map(|(_, name)| name).collect())
    }
}

/// Returns the strings of a value that is a string or an array of strings, with their positions. An observed value can be
/// empty.
fn texts(key: &str, value: &Spanned<DeValue<'_>>) -> At<Vec<(usize, String)>> {
    let one = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(|text| (value.span().start, text.to_owned()));
    let texts = match value.get_ref().as_array() {
        Some(array) => array.iter().map(one).collect(),
        None => one(value).map(|text| vec![text]),
    };
    let expected = "a string or an array of strings";
    texts.ok_or_else(|| (value.span().start, Problem::Type { key: key.to_owned(), expected }))
}

fn unknown<S: AsRef<str>>(what: &'static str, name: &str, known: &[S]) -> Problem {
    let nearest = nearest(name, known.iter().map(AsRef::as_ref)).map(str::to_owned);
    Problem::Unknown { what, name: name.to_owned(), nearest }
}

/// Returns whether two entries are about the same facts.
fn is_same(a: &Deviation, b: &Deviation) -> bool {
    (&a.behaviour, &a.fact, &a.subject, &a.kernels) == (&b.behaviour, &b.fact, &b.subject, &b.kernels)
}
