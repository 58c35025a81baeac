//! Merges several reports into one: the shards of a run, or runs on several machines. Conflicts are noted, and the result
//! is inconclusive if a part is missing.

use super::document::Report;
use crate::catalogue::behaviours;
use crate::run::event::{Event, KernelName, Row, RunEnd, RunInfo};
use crate::run::verdict::Verdict;
use crate::text;
use std::collections::{BTreeSet, HashMap};

/// A merged report.
#[derive(Debug)]
pub struct Merged {
    /// The report.
    pub report: Report,
    /// Notes on conflicts and missing parts, one line each.
    pub notes: Vec<String>,
}

/// The maximum number of notes on rows in several reports.
const DUPLICATES_LISTED: usize = 20;

/// The fields that identify a row.
type Key = (String, String, String, String);

fn key(row: &Row) -> Key {
    (row.id.clone(), row.kernel.name.clone(), row.kernel.release.clone(), row.subject.clone())
}

/// Merges named reports. A row in several reports occurs once in the result, with the worse verdict.
#[must_use]
pub fn merge(reports: &[(String, Report)]) -> Merged {
    let mut notes = labs(reports);
    let missing = missing_shards(reports);
    notes.extend(missing.iter().cloned());
    let mut rows: Vec<(Row, &String)> = Vec::new();
    let mut duplicates = Vec::new();
    let mut indices: HashMap<Key, usize> = HashMap::new();
    for (name, report) in reports {
        for row in &report.results {
            match indices.get(&key(row)) {
                Some(&index) => {
                    let (first, from): &mut (Row, &String) = &mut rows[index];
                    duplicates.push(duplicate(first, from, row, name));
                    if severity(row.verdict) > severity(first.verdict) {
                        *first = row.clone();
                        *from = name;
                    }
                }
                None => {
                    indices.insert(key(row), rows.len());
                    rows.push((row.clone(), name));
                }
            }
        }
    }
    let more = duplicates.len().saturating_sub(DUPLICATES_LISTED);
    duplicates.truncate(DUPLICATES_LISTED);
    notes.extend(duplicates);
    if more > 0 {
        notes.push(format!("{more} more rows are in several reports"));
    }
    let rows = ordered(rows.into_iter().map(|(row, _)| row).collect());
    let mut report = Report::empty();
    let run = reports.iter().find_map(|(_, report)| report.run.clone());
    let whole = run.map(|run| RunInfo { shard: None, ..run });
    whole.into_iter().for_each(|run| report.record(&Event::Started(run)));
    let mut seen = BTreeSet::new();
    for kernel in reports.iter().flat_map(|(_, report)| &report.skipped_kernels) {
        if seen.insert((&kernel.name, &kernel.reason)) {
            report.record(&Event::KernelSkipped(kernel.clone()));
        }
    }
    rows.into_iter().for_each(|row| report.record(&Event::Judged(Box::new(row))));
    let ends: Vec<Option<&RunEnd>> = reports.iter().map(|(_, report)| report.end.as_ref()).collect();
    for ((name, _), end) in reports.iter().zip(&ends) {
        if end.is_none() {
            notes.push(format!("{name} is incomplete: its run was killed"));
        }
    }
    let known = || ends.iter().flatten();
    report.record(&Event::Ended(RunEnd {
        // Rows are missing, for any of these reasons.
        interrupted: !missing.is_empty() || ends.iter().any(Option::is_none) || known().any(|end| end.interrupted),
        stopped: known().any(|end| end.stopped),
        unmet: known().flat_map(|end| end.unmet.iter().cloned()).collect(),
        not_run: known().map(|end| end.not_run).sum(),
        wall_ms: known().map(|end| end.wall_ms).max().unwrap_or_default(),
    }));
    Merged { report, notes }
}

fn severity(verdict: Verdict) -> u8 {
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
        format!("{what} is in {from} and {name} with the same facts")
    } else {
        let (one, other) = (first.verdict.as_str(), row.verdict.as_str());
        format!("{what} is in {from} ({one}) and {name} ({other}) with different facts; the worse verdict is used")
    }
}

/// Returns notes on reports from different labs.
fn labs(reports: &[(String, Report)]) -> Vec<String> {
    let lab = |run: &RunInfo| {
        let time = if run.virtual_time { "virtual time" } else { "real time" };
        let text =
            format!("kmodlab {}, QEMU {}, {}, {} boot, {time}", run.kmodlab, run.qemu, run.accelerator, run.profile);
        text::escape(text.as_bytes())
    };
    let mut known = reports.iter().filter_map(|(name, report)| Some((name, lab(report.run.as_ref()?))));
    let Some((first, text)) = known.next() else { return Vec::new() };
    known
        .filter(|(_, other)| *other != text)
        .map(|(name, other)| format!("different labs: {first} ({text}), {name} ({other})"))
        .collect()
}

/// Returns notes on shards without a report.
fn missing_shards(reports: &[(String, Report)]) -> Vec<String> {
    let shards: BTreeSet<(u32, u32)> = reports
        .iter()
        .filter_map(|(_, report)| report.run.as_ref()?.shard.as_ref())
        .map(|shard| (shard.count, shard.index))
        .collect();
    let counts: BTreeSet<u32> = shards.iter().map(|(count, _)| *count).collect();
    let mut missing = Vec::new();
    for count in counts {
        // The count comes from a file and can be huge, so no loop runs that often.
        let present: Vec<u32> = shards.iter().filter(|(of, _)| *of == count).map(|(_, index)| *index).collect();
        let absent = u64::from(count).saturating_sub(present.len() as u64);
        if absent > 0 {
            let names: Vec<String> =
                (1..=count).filter(|index| !present.contains(index)).take(8).map(|index| index.to_string()).collect();
            let more = if absent > names.len() as u64 { ", …" } else { "" };
            let plural = if absent == 1 { "" } else { "s" };
            missing.push(format!("missing shard{plural} {}{more} of {count}", names.join(", ")));
        }
    }
    missing
}

/// Sorts rows as in a run: kernels and subjects by first occurrence, behaviours by the catalogue.
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
        behaviours::all().iter().enumerate().map(|(index, behaviour)| (behaviour.id, index)).collect();
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
    use crate::run::shard::{Shard, ShardOrigin};
    use crate::run::verdict::exit;

    fn report(shard: Option<(u32, u32)>, change: impl Fn(&mut Vec<Row>)) -> Report {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.record(event));
        change(&mut report.results);
        let shard = shard.map(|(index, count)| Shard { index, count, origin: ShardOrigin::User });
        report.run = report.run.map(|run| RunInfo { shard, ..run });
        report
    }

    fn merge_all(reports: Vec<Report>) -> Merged {
        let names = ["a.json", "b.json", "c.json"].map(str::to_owned);
        merge(&names.into_iter().zip(reports).collect::<Vec<_>>())
    }

    fn only(verdict: Verdict) -> impl Fn(&mut Vec<Row>) {
        move |rows| rows.retain(|row| row.verdict == verdict)
    }

    #[test]
    fn the_exit_code_of_merged_shards_is_that_of_all_rows() {
        let merged =
            merge_all(vec![report(Some((1, 2)), only(Verdict::Pass)), report(Some((2, 2)), only(Verdict::Known))]);
        assert_eq!(merged.notes, Vec::<String>::new());
        assert_eq!((merged.report.results.len(), merged.report.exit_code), (2, exit::OK));
        assert!(merged.report.run.unwrap().shard.is_none());
        let merged =
            merge_all(vec![report(Some((1, 2)), only(Verdict::Pass)), report(Some((2, 2)), only(Verdict::Fail))]);
        assert_eq!(merged.report.exit_code, exit::FAILED);
    }

    #[test]
    fn a_missing_shard_is_noted_and_makes_the_result_inconclusive() {
        let merged =
            merge_all(vec![report(Some((1, 3)), only(Verdict::Pass)), report(Some((3, 3)), only(Verdict::Known))]);
        assert_eq!(merged.notes, ["missing shard 2 of 3"]);
        assert_eq!(merged.report.exit_code, exit::INCONCLUSIVE);
    }

    #[test]
    fn an_impossible_number_of_shards_does_not_cause_a_long_loop() {
        let merged = merge_all(vec![report(Some((1, u32::MAX)), only(Verdict::Pass))]);
        assert_eq!(merged.notes, ["missing shards 2, 3, 4, 5, 6, 7, 8, 9, … of 4294967295"]);
    }

    #[test]
    fn a_row_in_several_reports_is_noted_and_has_the_worse_verdict() {
        let better = |rows: &mut Vec<Row>| {
            only(Verdict::Fail)(rows);
            rows[0].verdict = Verdict::Pass;
            rows[0].facts[0].got = "ENOENT".into();
        };
        let merged =
            merge_all(vec![report(None, better), report(None, only(Verdict::Fail)), report(None, only(Verdict::Fail))]);
        assert_eq!(
            merged.notes,
            [
                "path.two on 6.1 with ours is in a.json (pass) and b.json (fail) with different facts; the worse verdict is used",
                "path.two on 6.1 with ours is in b.json and c.json with the same facts",
            ]
        );
        assert_eq!((merged.report.results.len(), merged.report.exit_code), (1, exit::FAILED));
    }

    #[test]
    fn an_incomplete_report_and_a_different_lab_are_noted() {
        let mut killed = report(None, only(Verdict::Pass));
        killed.end = None;
        killed.run = killed.run.map(|run| RunInfo { accelerator: harness::Accel::Kvm, ..run });
        let merged = merge_all(vec![report(None, only(Verdict::Known)), killed]);
        assert_eq!(
            merged.notes,
            [
                "different labs: a.json (kmodlab 0.1.0, QEMU 7.2.0, tcg, faithful boot, virtual time), \
                 b.json (kmodlab 0.1.0, QEMU 7.2.0, kvm, faithful boot, virtual time)",
                "b.json is incomplete: its run was killed",
            ]
        );
        assert_eq!(merged.report.exit_code, exit::INCONCLUSIVE);
    }
}
