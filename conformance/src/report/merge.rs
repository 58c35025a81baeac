//! Several reports, told as one: the shards of a run, or runs on several machines. What does not fit together is told, and
//! what is missing keeps the whole from being judged.

use super::json::Report;
use crate::behaviours;
use crate::event::{Event, KernelName, Row, RunEnd, RunInfo};
use crate::text;
use crate::verdict::Verdict;
use std::collections::{BTreeSet, HashMap};

/// One report of several.
#[derive(Debug)]
pub struct Merged {
    /// It.
    pub report: Report,
    /// What does not fit together, a line each.
    pub notes: Vec<String>,
}

/// Rows in several reports that are told one by one.
const DUPLICATES_TOLD: usize = 20;

/// What two rows have in common that are the same row.
type Key = (String, String, String, String);

fn key(row: &Row) -> Key {
    (row.id.clone(), row.kernel.name.clone(), row.kernel.release.clone(), row.subject.clone())
}

/// Merges reports; each has the name by which it is told. A row that several have stands once, with the worse verdict.
#[must_use]
pub fn merge(reports: &[(String, Report)]) -> Merged {
    let mut notes = labs(reports);
    let missing = missing_shards(reports);
    notes.extend(missing.iter().cloned());
    let mut rows: Vec<(Row, &String)> = Vec::new();
    let mut duplicates = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for (name, report) in reports {
        for row in &report.results {
            match places.get(&key(row)) {
                Some(&place) => {
                    let (first, from): &mut (Row, &String) = &mut rows[place];
                    duplicates.push(duplicate(first, from, row, name));
                    if badness(row.verdict) > badness(first.verdict) {
                        *first = row.clone();
                        *from = name;
                    }
                }
                None => {
                    places.insert(key(row), rows.len());
                    rows.push((row.clone(), name));
                }
            }
        }
    }
    let more = duplicates.len().saturating_sub(DUPLICATES_TOLD);
    duplicates.truncate(DUPLICATES_TOLD);
    notes.extend(duplicates);
    if more > 0 {
        notes.push(format!("{more} more rows are in several reports"));
    }
    let rows = ordered(rows.into_iter().map(|(row, _)| row).collect());
    let mut report = Report::empty();
    let run = reports.iter().find_map(|(_, report)| report.run.clone());
    let whole = run.map(|run| RunInfo { shard: None, ..run });
    whole.into_iter().for_each(|run| report.take(&Event::Started(run)));
    let mut told = BTreeSet::new();
    for kernel in reports.iter().flat_map(|(_, report)| &report.skipped_kernels) {
        if told.insert((&kernel.name, &kernel.reason)) {
            report.take(&Event::KernelSkipped(kernel.clone()));
        }
    }
    rows.into_iter().for_each(|row| report.take(&Event::Judged(Box::new(row))));
    let ends: Vec<Option<&RunEnd>> = reports.iter().map(|(_, report)| report.end.as_ref()).collect();
    for ((name, _), end) in reports.iter().zip(&ends) {
        if end.is_none() {
            notes.push(format!("{name} has no end: its run was killed"));
        }
    }
    let known = || ends.iter().flatten();
    report.take(&Event::Ended(RunEnd {
        // Whatever is missing, and for whatever reason: rows are missing.
        interrupted: !missing.is_empty() || ends.iter().any(Option::is_none) || known().any(|end| end.interrupted),
        stopped: known().any(|end| end.stopped),
        not_run: known().map(|end| end.not_run).sum(),
        wall_ms: known().map(|end| end.wall_ms).max().unwrap_or_default(),
    }));
    Merged { report, notes }
}

fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Skip => 0,
        Verdict::Pass => 1,
        Verdict::Known => 2,
        Verdict::Error => 3,
        Verdict::Fail => 4,
    }
}

fn duplicate(first: &Row, from: &str, row: &Row, name: &str) -> String {
    let shown = |text: &str| text::escape(text.as_bytes());
    let what = format!("{} on {} with {}", shown(&row.id), shown(&row.kernel.name), shown(&row.subject));
    if first.verdict == row.verdict && first.facts == row.facts {
        format!("{what} is in {from} and in {name}, with the same facts")
    } else {
        let (one, other) = (first.verdict.as_str(), row.verdict.as_str());
        format!("{what} is in {from} ({one}) and in {name} ({other}), with different facts: the worse verdict stands")
    }
}

/// Reports of labs that are not alike.
fn labs(reports: &[(String, Report)]) -> Vec<String> {
    let lab = |run: &RunInfo| {
        let time = if run.virtual_time { "virtual time" } else { "real time" };
        let text = format!("{}, QEMU {}, {}, {} boot, {time}", run.kmodlab, run.qemu, run.accelerator, run.profile);
        text::escape(text.as_bytes())
    };
    let mut known = reports.iter().filter_map(|(name, report)| Some((name, lab(report.run.as_ref()?))));
    let Some((first, text)) = known.next() else { return Vec::new() };
    known
        .filter(|(_, other)| *other != text)
        .map(|(name, other)| format!("the labs differ: {first} is of {text}, {name} of {other}"))
        .collect()
}

/// The shards that no report is of.
fn missing_shards(reports: &[(String, Report)]) -> Vec<String> {
    let shards: BTreeSet<(u32, u32)> = reports
        .iter()
        .filter_map(|(_, report)| report.run.as_ref()?.shard.as_ref())
        .map(|shard| (shard.count, shard.index))
        .collect();
    let counts: BTreeSet<u32> = shards.iter().map(|(count, _)| *count).collect();
    let mut missing = Vec::new();
    for count in counts {
        // A number from a file: nothing is done as often as it says.
        let there: Vec<u32> = shards.iter().filter(|(of, _)| *of == count).map(|(_, index)| *index).collect();
        let gone = u64::from(count).saturating_sub(there.len() as u64);
        if gone > 0 {
            let names: Vec<String> =
                (1..=count).filter(|index| !there.contains(index)).take(8).map(|index| index.to_string()).collect();
            let more = if gone > names.len() as u64 { ", …" } else { "" };
            missing.push(format!("of {count} shards these are missing: {}{more}", names.join(", ")));
        }
    }
    missing
}

/// In the order of a run: kernels and subjects as they first come, behaviours as the catalogue has them.
fn ordered(mut rows: Vec<Row>) -> Vec<Row> {
    let mut kernels: Vec<KernelName> = Vec::new();
    let mut subjects: Vec<String> = Vec::new();
    for row in &rows {
        if !kernels.contains(&row.kernel) {
            kernels.push(row.kernel.clone());
        }
        if !subjects.contains(&row.subject) {
            subjects.push(row.subject.clone());
        }
    }
    let catalogue: HashMap<&str, usize> =
        behaviours::all().iter().enumerate().map(|(place, behaviour)| (behaviour.id, place)).collect();
    for row in &mut rows {
        row.position = (
            kernels.iter().position(|kernel| *kernel == row.kernel).unwrap_or_default(),
            subjects.iter().position(|subject| *subject == row.subject).unwrap_or_default(),
            catalogue.get(row.id.as_str()).copied().unwrap_or(usize::MAX),
        );
    }
    rows.sort_by_key(|row| row.position);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::shard::{Shard, ShardOrigin};
    use crate::verdict::exit;

    fn report(shard: Option<(u32, u32)>, change: impl Fn(&mut Vec<Row>)) -> Report {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.take(event));
        change(&mut report.results);
        let shard = shard.map(|(index, count)| Shard { index, count, origin: ShardOrigin::User });
        report.run = report.run.map(|run| RunInfo { shard, ..run });
        report
    }

    fn of(reports: Vec<Report>) -> Merged {
        let names = ["a.json", "b.json", "c.json"].map(str::to_owned);
        merge(&names.into_iter().zip(reports).collect::<Vec<_>>())
    }

    fn only(verdict: Verdict) -> impl Fn(&mut Vec<Row>) {
        move |rows| rows.retain(|row| row.verdict == verdict)
    }

    #[test]
    fn shards_make_a_whole_whose_exit_code_is_that_of_all_rows() {
        let merged = of(vec![report(Some((1, 2)), only(Verdict::Pass)), report(Some((2, 2)), only(Verdict::Known))]);
        assert_eq!(merged.notes, Vec::<String>::new());
        assert_eq!((merged.report.results.len(), merged.report.exit_code), (2, exit::OK));
        assert!(merged.report.run.unwrap().shard.is_none());
        let merged = of(vec![report(Some((1, 2)), only(Verdict::Pass)), report(Some((2, 2)), only(Verdict::Fail))]);
        assert_eq!(merged.report.exit_code, exit::FAILED);
    }

    #[test]
    fn a_missing_shard_is_told_and_the_whole_is_not_judged() {
        let merged = of(vec![report(Some((1, 3)), only(Verdict::Pass)), report(Some((3, 3)), only(Verdict::Known))]);
        assert_eq!(merged.notes, ["of 3 shards these are missing: 2"]);
        assert_eq!(merged.report.exit_code, exit::INCONCLUSIVE);
    }

    #[test]
    fn a_number_of_shards_that_cannot_be_is_no_loop() {
        let merged = of(vec![report(Some((1, u32::MAX)), only(Verdict::Pass))]);
        assert_eq!(merged.notes, ["of 4294967295 shards these are missing: 2, 3, 4, 5, 6, 7, 8, 9, …"]);
    }

    #[test]
    fn a_row_that_two_reports_have_is_told_and_the_worse_verdict_stands() {
        let better = |rows: &mut Vec<Row>| {
            only(Verdict::Fail)(rows);
            rows[0].verdict = Verdict::Pass;
            rows[0].facts[0].got = "ENOENT".into();
        };
        let merged =
            of(vec![report(None, better), report(None, only(Verdict::Fail)), report(None, only(Verdict::Fail))]);
        assert_eq!(
            merged.notes,
            [
                "path.two on 6.1 with ours is in a.json (pass) and in b.json (fail), with different facts: the worse verdict stands",
                "path.two on 6.1 with ours is in b.json and in c.json, with the same facts",
            ]
        );
        assert_eq!((merged.report.results.len(), merged.report.exit_code), (1, exit::FAILED));
    }

    #[test]
    fn a_report_without_its_end_and_a_lab_that_differs_are_told() {
        let mut killed = report(None, only(Verdict::Pass));
        killed.end = None;
        killed.run = killed.run.map(|run| RunInfo { accelerator: "kvm".into(), ..run });
        let merged = of(vec![report(None, only(Verdict::Known)), killed]);
        assert_eq!(merged.notes.len(), 2);
        assert!(
            merged.notes[0].starts_with("the labs differ: a.json is of 0.1.0, QEMU 7.2.0, tcg"),
            "{:?}",
            merged.notes
        );
        assert_eq!(merged.notes[1], "b.json has no end: its run was killed");
        assert_eq!(merged.report.exit_code, exit::INCONCLUSIVE);
    }
}
