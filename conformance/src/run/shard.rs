//! Shards: parts of a run's rows, so that several machines share the work. Row number r of the selection belongs to
//! shard r modulo N. Each row is therefore in exactly one shard, and neighbouring rows, which take a similar time, are
//! spread over the shards.
//!
//! A shard is given as K/N by the user, or by the environment; see [`Shard::from_environment`].

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A part of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its number, from 1.
    pub index: u32,
    /// The number of shards.
    pub count: u32,
    /// Where it was given.
    #[serde(rename = "from")]
    pub origin: ShardOrigin,
}

/// Where a shard was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ShardOrigin {
    /// By the user.
    User,
    /// By these environment variables.
    Environment(String),
}

/// The text form of [`ShardOrigin::User`] in reports.
const USER: &str = "user";

impl From<String> for ShardOrigin {
    fn from(text: String) -> Self {
        match text.as_str() {
            // Older reports contain the name of the option.
            USER | "--shard" => ShardOrigin::User,
            _ => ShardOrigin::Environment(text),
        }
    }
}

impl From<ShardOrigin> for String {
    fn from(origin: ShardOrigin) -> Self {
        match origin {
            ShardOrigin::User => USER.to_owned(),
            ShardOrigin::Environment(variables) => variables,
        }
    }
}

/// A shard that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The text is not a shard.
    #[error("invalid shard '{text}'{}: {}", from_variables(origin), self.expectation())]
    Syntax {
        /// The text.
        text: String,
        /// Where it was given.
        origin: ShardOrigin,
    },
    /// The number is not in the range from 1 to the number of shards.
    #[error("invalid shard {index}/{count}{}: {}", from_variables(origin), self.expectation())]
    OutOfRange {
        /// The number, from 1.
        index: u64,
        /// The number of shards.
        count: u64,
        /// Where it was given.
        origin: ShardOrigin,
    },
    /// An environment variable does not contain a number.
    #[error("invalid value '{value}' for the environment variable {name} ({})", self.expectation())]
    Variable {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
    },
    /// The shard has no rows.
    #[error("shard {index}/{count}{} is empty: the selection has {rows} row{}", from_variables(origin), if *rows == 1 { "" } else { "s" })]
    Empty {
        /// The number, from 1.
        index: u32,
        /// The number of shards.
        count: u32,
        /// The number of rows of all shards.
        rows: usize,
        /// Where it was given.
        origin: ShardOrigin,
    },
}

impl ShardError {
    /// Returns what is expected instead.
    #[must_use]
    pub fn expectation(&self) -> String {
        match self {
            ShardError::Syntax { .. } => "expected K/N, e.g. 1/4, or all".to_owned(),
            ShardError::OutOfRange { count: 0, .. } => "the second number must be at least 1".to_owned(),
            ShardError::OutOfRange { count, .. } => format!("the first number must be from 1 to {count}"),
            ShardError::Variable { .. } => "expected a number".to_owned(),
            ShardError::Empty { rows, .. } => format!("at most {rows} shards have rows"),
        }
    }

    /// Returns whether the environment, and not the user, gave the shard.
    #[must_use]
    pub fn is_from_environment(&self) -> bool {
        match self {
            ShardError::Variable { .. } => true,
            ShardError::Syntax { origin, .. }
            | ShardError::OutOfRange { origin, .. }
            | ShardError::Empty { origin, .. } => matches!(origin, ShardOrigin::Environment(_)),
        }
    }
}

fn from_variables(origin: &ShardOrigin) -> String {
    match origin {
        ShardOrigin::User => String::new(),
        ShardOrigin::Environment(variables) => format!(" (from {variables})"),
    }
}

/// What the user selects: a shard, or all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardOption(pub Option<Shard>);

impl FromStr for ShardOption {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        if text == "all" {
            return Ok(ShardOption(None));
        }
        parse(text, ShardOrigin::User).map(|shard| ShardOption(Some(shard)))
    }
}

fn parse(text: &str, origin: ShardOrigin) -> Result<Shard, ShardError> {
    let numbers = ["slice:", "count:"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    let number = |digits: &str| {
        let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| valid)
    };
    let parsed = numbers.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
    match parsed {
        Some((index, count)) => Shard::new(index, count, origin),
        None => Err(ShardError::Syntax { text: text.to_owned(), origin }),
    }
}

impl Shard {
    fn new(index: u64, count: u64, origin: ShardOrigin) -> Result<Shard, ShardError> {
        match (u32::try_from(index), u32::try_from(count)) {
            (Ok(index), Ok(count)) if (1..=count).contains(&index) => Ok(Shard { index, count, origin }),
            _ => Err(ShardError::OutOfRange { index, count, origin }),
        }
    }

    /// Returns the shard that the environment requests. The first of these decides:
    ///
    /// - `KMODLAB_SHARD`, in the user's syntax
    /// - Bazel: `TEST_SHARD_INDEX`, `TEST_TOTAL_SHARDS`
    /// - GitLab: `CI_NODE_INDEX`, `CI_NODE_TOTAL`
    /// - an indexed job of Kubernetes: `JOB_COMPLETION_INDEX`, and `KMODLAB_SHARDS` for the number of shards, for which
    ///   Kubernetes has no variable
    /// - a Slurm array: `SLURM_ARRAY_TASK_ID`, `_COUNT`, `_MIN`, `_STEP`
    ///
    /// A single shard is the whole run: `None`.
    ///
    /// # Errors
    /// [`ShardError`] for variables that do not contain a shard.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Shard>, ShardError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(text) = set("KMODLAB_SHARD") {
            let origin = ShardOrigin::Environment("KMODLAB_SHARD".to_owned());
            return if text == "all" { Ok(None) } else { parse(&text, origin).map(Some) };
        }
        let number = |name: &str| match set(name) {
            None => Ok(None),
            Some(value) => match value.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ShardError::Variable { name: name.to_owned(), value }),
            },
        };
        // The variable with the index, the one with the count, and the first index.
        let systems = [
            ("TEST_SHARD_INDEX", "TEST_TOTAL_SHARDS", 0),
            ("CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
            ("JOB_COMPLETION_INDEX", "KMODLAB_SHARDS", 0),
        ];
        for (index, count, first) in systems {
            if set(index).is_none() || set(count).is_none() {
                continue;
            }
            if let (Some(at), Some(of)) = (number(index)?, number(count)?) {
                return Shard::unless_single((at + 1).saturating_sub(first), of, &format!("{index} and {count}"));
            }
        }
        let (task, count) = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT");
        if set(task).is_none() || set(count).is_none() {
            return Ok(None);
        }
        let (Some(at), Some(of)) = (number(task)?, number(count)?) else { return Ok(None) };
        let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        // A task before the first one, or between two steps, means that the array has other numbers than assumed here:
        // index 0 is out of range.
        let index =
            at.checked_sub(first).filter(|distance| distance % step == 0).map_or(0, |distance| distance / step + 1);
        Shard::unless_single(index, of, &format!("{task} and {count}"))
    }

    fn unless_single(index: u64, count: u64, variables: &str) -> Result<Option<Shard>, ShardError> {
        if (index, count) == (1, 1) {
            return Ok(None);
        }
        Shard::new(index, count, ShardOrigin::Environment(variables.to_owned())).map(Some)
    }

    /// Returns whether row number `row`, from 0, belongs to the shard.
    #[must_use]
    pub fn has(&self, row: usize) -> bool {
        row % self.count as usize == self.index as usize - 1
    }

    /// Rejects a shard without rows: a run of nothing is not a success.
    ///
    /// # Errors
    /// [`ShardError::Empty`].
    pub fn check_not_empty(&self, rows: usize) -> Result<(), ShardError> {
        if (self.index as usize) <= rows {
            return Ok(());
        }
        Err(ShardError::Empty { index: self.index, count: self.count, rows, origin: self.origin.clone() })
    }
}

/// `shard 2 of 4`, and the environment variables that gave it.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} of {}", self.index, self.count)?;
        match &self.origin {
            ShardOrigin::User => Ok(()),
            ShardOrigin::Environment(variables) => write!(f, ", from {variables}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(text: &str) -> Result<Option<(u32, u32)>, ShardError> {
        text.parse::<ShardOption>().map(|option| option.0.map(|shard| (shard.index, shard.count)))
    }

    fn environment(variables: &[(&str, &str)]) -> Result<Option<Shard>, ShardError> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Shard::from_environment(value)
    }

    fn found(variables: &[(&str, &str)]) -> Option<(u32, u32)> {
        environment(variables).unwrap().map(|shard| (shard.index, shard.count))
    }

    #[test]
    fn every_row_is_in_exactly_one_shard_and_shard_sizes_differ_by_at_most_one() {
        arbtest::arbtest(|u| {
            let (rows, count) = (u.int_in_range(0..=300)?, u.int_in_range(1..=40)?);
            let shard = |index| Shard::new(index, count, ShardOrigin::User).unwrap();
            let shards: Vec<Shard> = (1..=count).map(shard).collect();
            for row in 0..rows {
                assert_eq!(shards.iter().filter(|shard| shard.has(row)).count(), 1, "row {row} of {rows} in {count}");
            }
            let sizes: Vec<usize> =
                shards.iter().map(|shard| (0..rows).filter(|row| shard.has(*row)).count()).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            for (shard, size) in shards.iter().zip(&sizes) {
                assert_eq!(shard.check_not_empty(rows).is_err(), *size == 0);
            }
            Ok(())
        });
    }

    #[test]
    fn a_shard_is_parsed_in_the_syntax_of_kmodlab_and_of_nextest() {
        assert_eq!(option("1/4"), Ok(Some((1, 4))));
        assert_eq!(option("slice:3/3"), Ok(Some((3, 3))));
        assert_eq!(option("count:2/3"), Ok(Some((2, 3))));
        assert_eq!(option("all"), Ok(None));
        for wrong in ["", "1", "1/", "/4", "a/b", "+1/4", "hash:1/4", "1/4/5", "99999999999999999999/4"] {
            assert!(matches!(option(wrong), Err(ShardError::Syntax { .. })), "{wrong}");
        }
        for wrong in ["0/4", "5/4", "1/0", "0/0", "4294967296/4294967296"] {
            assert!(matches!(option(wrong), Err(ShardError::OutOfRange { .. })), "{wrong}");
        }
    }

    #[test]
    fn the_environment_of_a_ci_system_gives_the_shard() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("TEST_SHARD_INDEX", "0"), ("TEST_TOTAL_SHARDS", "4")]), Some((1, 4)));
        assert_eq!(found(&[("CI_NODE_INDEX", "4"), ("CI_NODE_TOTAL", "4")]), Some((4, 4)));
        assert_eq!(found(&[("CI_NODE_TOTAL", "1")]), None, "GitLab sets it in every job");
        assert_eq!(found(&[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "1")]), None);
        assert_eq!(found(&[("JOB_COMPLETION_INDEX", "2")]), None, "the number of shards is unknown");
        assert_eq!(found(&[("JOB_COMPLETION_INDEX", "2"), ("KMODLAB_SHARDS", "3")]), Some((3, 3)));
        assert_eq!(found(&[("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_ARRAY_TASK_COUNT", "2")]), Some((1, 2)));
        let task = |id| {
            let array =
                [("SLURM_ARRAY_TASK_COUNT", "3"), ("SLURM_ARRAY_TASK_MIN", "10"), ("SLURM_ARRAY_TASK_STEP", "5")];
            environment(&[&[("SLURM_ARRAY_TASK_ID", id)], &array[..]].concat())
        };
        assert_eq!(task("20").unwrap().map(|shard| (shard.index, shard.count)), Some((3, 3)));
        assert!(task("12").is_err() && task("5").is_err() && task("25").is_err());
        let own = [("KMODLAB_SHARD", "2/2"), ("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "4")];
        assert_eq!(found(&own), Some((2, 2)));
        assert_eq!(found(&[("KMODLAB_SHARD", "all"), ("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "4")]), None);
    }

    #[test]
    fn invalid_variables_are_errors_that_name_them() {
        let message = |variables: &[(&str, &str)]| {
            let error = environment(variables).unwrap_err();
            assert!(error.is_from_environment());
            error.to_string()
        };
        insta::assert_snapshot!(message(&[("CI_NODE_INDEX", "5"), ("CI_NODE_TOTAL", "4")]), @"invalid shard 5/4 (from CI_NODE_INDEX and CI_NODE_TOTAL): the first number must be from 1 to 4");
        insta::assert_snapshot!(message(&[("TEST_SHARD_INDEX", "x"), ("TEST_TOTAL_SHARDS", "4")]), @"invalid value 'x' for the environment variable TEST_SHARD_INDEX (expected a number)");
        insta::assert_snapshot!(message(&[("KMODLAB_SHARD", "half")]), @"invalid shard 'half' (from KMODLAB_SHARD): expected K/N, e.g. 1/4, or all");
    }

    #[test]
    fn the_origin_of_a_shard_is_read_from_old_and_new_reports() {
        let shard = |from: &str| {
            serde_json::from_str::<Shard>(&format!(r#"{{"index": 1, "count": 2, "from": "{from}"}}"#)).unwrap().origin
        };
        assert_eq!((shard("--shard"), shard("user")), (ShardOrigin::User, ShardOrigin::User));
        assert_eq!(shard("KMODLAB_SHARD"), ShardOrigin::Environment("KMODLAB_SHARD".into()));
        let written = serde_json::to_value(Shard::new(1, 2, ShardOrigin::User).unwrap()).unwrap();
        assert_eq!(written["from"], "user");
    }
}
