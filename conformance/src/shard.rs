//! Shards: a part of a run's rows, so that several machines do the whole. Row number r of the selection belongs to
//! shard r modulo N, so each row is in exactly one, and neighbours, which take alike long, are spread.
//!
//! A shard is named by `--shard K/N`, or found in the variables of what started us; see [`Shard::from_environment`].

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A part of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which one, from 1.
    pub index: u32,
    /// Of how many.
    pub count: u32,
    /// Where it was read: `--shard` or the names of variables.
    pub from: String,
}

/// No shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// A word that is none.
    #[error(
        "'{0}' is no shard: write K/N, the K-th of N from 1, such as 1/4 (slice:1/4 and count:1/4 mean the same), or all"
    )]
    Word(String),
    /// The index is beyond the count.
    #[error("there is no shard {index} of {count}{}", told_from(from))]
    Beyond {
        /// The index, from 1.
        index: u64,
        /// The count.
        count: u64,
        /// Where it was read.
        from: String,
    },
    /// A variable that holds no number.
    #[error("{name}={value} is no number to take a shard from; --shard K/N says which, --shard all runs everything")]
    Variable {
        /// The variable.
        name: String,
        /// What it holds.
        value: String,
    },
    /// It has nothing to do.
    #[error("shard {index} of {count}{} has nothing to run: {rows} row{} in all", told_from(from), if *rows == 1 { "" } else { "s" })]
    Empty {
        /// The index, from 1.
        index: u32,
        /// The count.
        count: u32,
        /// Rows of all shards together.
        rows: usize,
        /// Where it was read.
        from: String,
    },
}

fn told_from(from: &str) -> String {
    if from == OPTION { String::new() } else { format!(" (from {from}; --shard all runs everything)") }
}

/// What a shard is read from that the user wrote.
const OPTION: &str = "--shard";

/// `--shard`: one, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardOption(pub Option<Shard>);

impl FromStr for ShardOption {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        if text == "all" {
            return Ok(ShardOption(None));
        }
        read(text, OPTION).map(|shard| ShardOption(Some(shard)))
    }
}

fn read(text: &str, from: &str) -> Result<Shard, ShardError> {
    let wrong = || ShardError::Word(text.to_owned());
    let numbers = ["slice:", "count:"].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
    let (index, count) = numbers.split_once('/').ok_or_else(wrong)?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits).ok_or_else(wrong)
    };
    Shard::new(number(index)?, number(count)?, from)
}

impl Shard {
    fn new(index: u64, count: u64, from: &str) -> Result<Shard, ShardError> {
        let beyond = || ShardError::Beyond { index, count, from: from.to_owned() };
        match (u32::try_from(index), u32::try_from(count)) {
            (Ok(index), Ok(count)) if (1..=count).contains(&index) => Ok(Shard { index, count, from: from.to_owned() }),
            _ => Err(beyond()),
        }
    }

    /// The shard that the environment asks for, the first of: `KMODLAB_SHARD` (as `--shard`); Bazel (`TEST_SHARD_INDEX`,
    /// `TEST_TOTAL_SHARDS`); GitLab (`CI_NODE_INDEX`, `CI_NODE_TOTAL`); a Kubernetes indexed job (`JOB_COMPLETION_INDEX`,
    /// with `KMODLAB_SHARDS` for the number, which Kubernetes does not tell); a Slurm array (`SLURM_ARRAY_TASK_ID`,
    /// `_COUNT`, `_MIN`, `_STEP`). One shard of one is none.
    ///
    /// # Errors
    /// [`ShardError`] for a pair of variables that names no shard.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Shard>, ShardError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(text) = set("KMODLAB_SHARD") {
            return if text == "all" { Ok(None) } else { read(&text, "KMODLAB_SHARD").map(Some) };
        }
        let number = |name: &str| match set(name) {
            None => Ok(None),
            Some(value) => match value.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ShardError::Variable { name: name.to_owned(), value }),
            },
        };
        // Index, count, the first index.
        let known = [
            ("TEST_SHARD_INDEX", "TEST_TOTAL_SHARDS", 0),
            ("CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
            ("JOB_COMPLETION_INDEX", "KMODLAB_SHARDS", 0),
        ];
        for (index, count, first) in known {
            if set(index).is_none() || set(count).is_none() {
                continue;
            }
            if let (Some(at), Some(of)) = (number(index)?, number(count)?) {
                return Shard::unless_whole((at + 1).saturating_sub(first), of, &format!("{index} and {count}"));
            }
        }
        let (task, count) = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT");
        if set(task).is_none() || set(count).is_none() {
            return Ok(None);
        }
        let (Some(at), Some(of)) = (number(task)?, number(count)?) else { return Ok(None) };
        let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        // A task before the first, or between two steps, belongs to an array with other numbers than we think.
        let index = at.checked_sub(first).filter(|far| far % step == 0).map_or(0, |far| far / step + 1);
        Shard::unless_whole(index, of, &format!("{task} and {count}"))
    }

    fn unless_whole(index: u64, count: u64, from: &str) -> Result<Option<Shard>, ShardError> {
        if count == 1 && index == 1 { Ok(None) } else { Shard::new(index, count, from).map(Some) }
    }

    /// Whether row number `row`, from 0, belongs to it.
    #[must_use]
    pub fn has(&self, row: usize) -> bool {
        row % self.count as usize == self.index as usize - 1
    }

    /// Says no to a shard without rows: what is not run is no success.
    ///
    /// # Errors
    /// [`ShardError::Empty`].
    pub fn check_not_empty(&self, rows: usize) -> Result<(), ShardError> {
        if (self.index as usize) <= rows {
            return Ok(());
        }
        Err(ShardError::Empty { index: self.index, count: self.count, rows, from: self.from.clone() })
    }
}

/// A shard as it is told: `2 of 4`, and what named it unless the user did.
impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shard {} of {}", self.index, self.count)?;
        if self.from == OPTION { Ok(()) } else { write!(f, ", from {}", self.from) }
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
    fn every_row_is_in_exactly_one_shard_and_shards_differ_by_one_row() {
        arbtest::arbtest(|u| {
            let (rows, count) = (u.int_in_range(0..=300)?, u.int_in_range(1..=40)?);
            let shard = |index| Shard::new(index, count, OPTION).unwrap();
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
    fn a_shard_is_k_of_n_also_as_nextest_writes_it() {
        assert_eq!(option("1/4"), Ok(Some((1, 4))));
        assert_eq!(option("slice:3/3"), Ok(Some((3, 3))));
        assert_eq!(option("count:2/3"), Ok(Some((2, 3))));
        assert_eq!(option("all"), Ok(None));
        for wrong in ["", "1", "1/", "/4", "a/b", "+1/4", "hash:1/4", "1/4/5", "99999999999999999999/4"] {
            assert!(matches!(option(wrong), Err(ShardError::Word(_))), "{wrong}");
        }
        for beyond in ["0/4", "5/4", "1/0", "0/0", "4294967296/4294967296"] {
            assert!(matches!(option(beyond), Err(ShardError::Beyond { .. })), "{beyond}");
        }
    }

    #[test]
    fn what_started_us_says_which_shard_we_are() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("TEST_SHARD_INDEX", "0"), ("TEST_TOTAL_SHARDS", "4")]), Some((1, 4)));
        assert_eq!(found(&[("CI_NODE_INDEX", "4"), ("CI_NODE_TOTAL", "4")]), Some((4, 4)));
        assert_eq!(found(&[("CI_NODE_TOTAL", "1")]), None, "GitLab sets it in every job");
        assert_eq!(found(&[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "1")]), None);
        assert_eq!(found(&[("JOB_COMPLETION_INDEX", "2")]), None, "of how many, nobody says");
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
    fn variables_that_name_no_shard_are_told_with_the_way_out() {
        let told = |variables: &[(&str, &str)]| environment(variables).unwrap_err().to_string();
        insta::assert_snapshot!(told(&[("CI_NODE_INDEX", "5"), ("CI_NODE_TOTAL", "4")]), @"there is no shard 5 of 4 (from CI_NODE_INDEX and CI_NODE_TOTAL; --shard all runs everything)");
        insta::assert_snapshot!(told(&[("TEST_SHARD_INDEX", "x"), ("TEST_TOTAL_SHARDS", "4")]), @"TEST_SHARD_INDEX=x is no number to take a shard from; --shard K/N says which, --shard all runs everything");
        insta::assert_snapshot!(told(&[("KMODLAB_SHARD", "half")]), @"'half' is no shard: write K/N, the K-th of N from 1, such as 1/4 (slice:1/4 and count:1/4 mean the same), or all");
    }
}
