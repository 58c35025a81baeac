//! The end of a long run at a glance: the verdicts of each group, and the rows that need attention.

use crate::run::event::Row;
use crate::run::verdict::{Counts, Verdict};

/// The number of rows from which a run gets a table of its groups: as many as do not fit on a screen.
const LONG: usize = 40;

/// The width of a column of numbers: that of the longest verdict.
const COLUMN: usize = 5;

/// Collects the verdicts of rows by group.
#[derive(Debug, Default)]
pub struct Overview {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    /// The place of its first behaviour in the catalogue.
    position: usize,
    counts: Counts,
}

/// A line of the table: the name of a group, the number of its rows, and the number of rows with each verdict.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The group.
    pub group: String,
    /// The number of rows.
    pub rows: usize,
    /// The verdicts that occur in the run, the same in all lines, each with its number of rows.
    pub verdicts: Vec<(Verdict, usize)>,
}

impl Overview {
    /// Adds a row.
    pub fn add(&mut self, row: &Row) {
        let position = row.position.2;
        match self.groups.iter_mut().find(|group| group.name == row.group) {
            Some(group) => {
                group.position = group.position.min(position);
                group.counts.add(row.verdict);
            }
            None => {
                let mut counts = Counts::default();
                counts.add(row.verdict);
                self.groups.push(Group { name: row.group.clone(), position, counts });
            }
        }
    }

    /// Returns one line per group in the order of the catalogue; nothing for a short run or a single group.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let rows: usize = self.groups.iter().map(|group| total(&group.counts)).sum();
        if rows < LONG || self.groups.len() < 2 {
            return Vec::new();
        }
        let shown: Vec<Verdict> = [Verdict::Pass, Verdict::Fail, Verdict::Error, Verdict::Known, Verdict::Skip]
            .into_iter()
            .filter(|verdict| self.groups.iter().any(|group| count(&group.counts, *verdict) > 0))
            .collect();
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        groups.sort_by_key(|group| group.position);
        let line = |group: &Group| Line {
            group: group.name.clone(),
            rows: total(&group.counts),
            verdicts: shown.iter().map(|verdict| (*verdict, count(&group.counts, *verdict))).collect(),
        };
        groups.into_iter().map(line).collect()
    }
}

/// Returns the lines as a table. `paint` colours a number that is not 0 by its verdict.
#[must_use]
pub fn table(lines: &[Line], paint: impl Fn(Verdict, &str) -> String) -> Vec<String> {
    let width = lines.iter().map(|line| line.group.len()).max().unwrap_or_default();
    let Some(first) = lines.first() else { return Vec::new() };
    let titles = first.verdicts.iter().map(|(verdict, _)| format!("  {:>COLUMN$}", verdict.as_str()));
    let mut table = vec![format!("{:<width$}  {:>COLUMN$}{}", "group", "rows", titles.collect::<String>())];
    for line in lines {
        let cells = line.verdicts.iter().map(|(verdict, count)| match count {
            0 => format!("  {:>COLUMN$}", "-"),
            count => format!("  {}", paint(*verdict, &format!("{count:>COLUMN$}"))),
        });
        table.push(format!("{:<width$}  {:>COLUMN$}{}", line.group, line.rows, cells.collect::<String>()));
    }
    table
}

fn count(counts: &Counts, verdict: Verdict) -> usize {
    match verdict {
        Verdict::Pass => counts.pass,
        Verdict::Fail => counts.fail,
        Verdict::Known => counts.known,
        Verdict::Skip => counts.skip,
        Verdict::Error => counts.error,
    }
}

fn total(counts: &Counts) -> usize {
    counts.pass + counts.fail + counts.known + counts.skip + counts.error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn overview(rows: &[(&str, usize, Verdict, usize)]) -> Overview {
        let mut overview = Overview::default();
        for (group, position, verdict, count) in rows {
            for number in 0..*count {
                let row = sample::row(&format!("{group}.{number}"), *verdict, None);
                overview.add(&Row { group: (*group).into(), position: (0, 0, position + number), ..row });
            }
        }
        overview
    }

    #[test]
    fn a_long_run_has_a_table_of_its_groups_in_catalogue_order() {
        use Verdict::{Error, Fail, Known, Pass};
        let rows = [
            ("hostile", 90, Pass, 6),
            ("path", 0, Pass, 29),
            ("path", 29, Fail, 1),
            ("loop", 40, Known, 1),
            ("loop", 41, Error, 12),
        ];
        insta::assert_snapshot!(table(&overview(&rows).lines(), |_, text| text.to_owned()).join("\n"), @r"
        group     rows   pass   fail  error  known
        path        30     29      1      -      -
        loop        13      -      -     12      1
        hostile      6      6      -      -      -
        ");
    }

    #[test]
    fn numbers_are_coloured_by_their_verdict() {
        let lines = [Line { group: "path".into(), rows: 2, verdicts: vec![(Verdict::Pass, 2), (Verdict::Fail, 0)] }];
        let table = table(&lines, |verdict, text| format!("<{}{text}>", verdict.as_str()));
        assert_eq!(table[1], "path      2  <pass    2>      -");
    }

    #[test]
    fn a_short_run_and_a_run_of_one_group_have_no_table() {
        assert_eq!(overview(&[("path", 0, Verdict::Pass, 20), ("loop", 20, Verdict::Pass, 19)]).lines(), []);
        assert_eq!(overview(&[("path", 0, Verdict::Pass, 60)]).lines(), []);
        assert_eq!(overview(&[("path", 0, Verdict::Pass, 20), ("loop", 20, Verdict::Pass, 20)]).lines().len(), 2);
    }
}
