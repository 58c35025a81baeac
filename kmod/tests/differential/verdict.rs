//! Compares the differences of a run with accepted.txt and prints the result.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::accepted::{self, Accepted, Entry, Place};
use crate::case::Case;
use crate::compare::compare;
use crate::normalise;
use crate::results::{Done, Row};
use crate::setup::{OURS, Setup};
use crate::{Named, Results};

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/accepted.txt");
const REASONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/compatibility.md");

/// The reason if our tools behave like 34.2 and unlike 30.
const CHANGED_SINCE_30: &str = "C kmod 30: differences between kmod 30 and 34.2";

/// The differences of a run.
#[derive(Default)]
struct Found {
    /// The lines of each difference.
    differences: BTreeMap<Place, Vec<String>>,
    /// The pairs that were compared in each step: only their entries can be obsolete.
    compared: BTreeSet<(String, String)>,
    /// Cases that could not be run.
    errors: Vec<String>,
    runs: usize,
}

/// Compares everything, prints the problems and returns the exit code.
pub fn judge(chosen: &[&Named], results: &Results, setup: &Setup, whole: bool, began: Instant) -> ExitCode {
    let mut found = Found::default();
    for named in chosen {
        one(named, results, setup, &mut found);
    }
    let text = fs::read_to_string(LIST).unwrap_or_default();
    let listed = match accepted::parse(&text) {
        Ok(listed) => listed,
        Err(error) => {
            found.errors.push(error);
            Accepted::new()
        }
    };
    if env::var_os("KMOD_DIFFERENTIAL_UPDATE").is_some() && found.errors.is_empty() {
        let head: String =
            text.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let new = updated(&listed, &found, whole);
        fs::write(LIST, head + &accepted::print(&new)).unwrap();
        println!("rewrote {LIST}: {} differences", new.len());
    }
    let mut problems = found.errors.clone();
    let mut unlisted = Accepted::new();
    for (place, lines) in &found.differences {
        let reason = match listed.get(place) {
            Some(entry) if entry.lines == *lines => continue,
            Some(entry) => format!("?, other lines than listed for: {}", entry.reason),
            None => "?".to_owned(),
        };
        unlisted.insert(place.clone(), Entry { lines: lines.clone(), reason });
    }
    if !unlisted.is_empty() {
        problems.push(format!("{} differences are not listed:\n{}", unlisted.len(), accepted::print(&unlisted)));
    }
    // Entries of a kernel that is not available, or has another version, cannot be checked.
    let is_absent = |step: &str| step.starts_with("tree.") && !chosen.iter().any(|named| is_of(step, &named.name));
    let mut absent = 0;
    for (place, entry) in &listed {
        let ran = found.compared.contains(&(place.step.clone(), place.pair.clone()));
        if ran && !found.differences.contains_key(place) {
            problems.push(format!("listed, but no longer occurs; remove it:\n{}", shown(place, &entry.lines)));
        } else if is_absent(&place.step) {
            absent += 1;
        } else if !ran
            && whole
            && setup.tools().any(|tool| place.pair.split(' ').any(|word| word == tool && word != OURS))
        {
            problems.push(format!("listed, but there is no such case or command: {}", place.step));
        }
    }
    let changed_since_30 = |(place, entry): (&Place, &Entry)| {
        let of_34 = Place { pair: "34".into(), ..place.clone() };
        let wrong = entry.reason == CHANGED_SINCE_30 && found.differences.contains_key(&of_34);
        wrong.then(|| format!("ours differs from 34.2 here; correct the reason:\n{}", shown(place, &entry.lines)))
    };
    problems.extend(listed.iter().filter_map(changed_since_30));
    problems.extend(unexplained(listed.values().map(|entry| &entry.reason[..])));
    for problem in &problems {
        println!("{problem}\n");
    }
    println!(
        "differential: {} cases, {} commands, each by {}; {} accepted differences; {:.1} s",
        chosen.len(),
        found.runs,
        setup.tools().collect::<Vec<_>>().join(", "),
        found.differences.len(),
        began.elapsed().as_secs_f64(),
    );
    if absent > 0 {
        println!("differential: {absent} accepted differences are of kernels whose modules are not available");
    }
    let word = if problems.is_empty() { "ok" } else { "FAILED" };
    println!("test result: {word}. {} passed; {} failed; 0 ignored;", chosen.len(), problems.len());
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the result of each command and tool.
pub fn show(chosen: &[&Named], results: &Results, setup: &Setup) {
    for named in chosen {
        let case = (named.make)();
        let labels = labels(named, &case);
        for tool in setup.tools() {
            let rows = results[&(named.name.clone(), tool.to_owned())].as_deref().unwrap_or_default();
            for (number, _, done) in rows.iter().filter(|(_, by, _)| by == tool) {
                println!("[{}] by {tool}: {}", labels[*number], done.end);
                let parts = [("out", &done.out), ("err", &done.err), ("log", &done.syslog)];
                for (name, bytes) in parts {
                    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                        println!("  {name} {}", normalise::text(&case, line));
                    }
                }
                for (path, kind, bytes) in &done.files {
                    println!("  {kind}, {} bytes: {}", bytes.len(), normalise::text(&case, path));
                }
            }
        }
    }
}

/// Whether a step, `CASE: COMMAND`, belongs to a case.
fn is_of(step: &str, case: &str) -> bool {
    step.strip_prefix(case).is_some_and(|rest| rest.starts_with(": "))
}

fn shown(place: &Place, lines: &[String]) -> String {
    format!("[{}]\n{} {}\n{}", place.step, place.pair, place.part, lines.join("\n"))
}

/// Compares all pairs of a case.
fn one(named: &Named, results: &Results, setup: &Setup, found: &mut Found) {
    let case = (named.make)();
    let labels = labels(named, &case);
    found.runs += case.steps.len();
    let mut rows: BTreeMap<&str, &[Row]> = BTreeMap::new();
    for tool in setup.tools() {
        match &results[&(named.name.clone(), tool.to_owned())] {
            Ok(done) => {
                rows.insert(tool, done);
            }
            Err(error) => found.errors.push(format!("cannot run {} with {tool}: {error}", named.name)),
        }
    }
    let get = |writer: &str, step: usize, by: &str| -> Option<&Done> {
        rows.get(writer)?.iter().find(|(number, who, _)| *number == step && who == by).map(|(_, _, done)| done)
    };
    for (number, step) in case.steps.iter().enumerate() {
        let mut pair = |name: String, theirs: Option<&Done>, ours: Option<&Done>| {
            let (Some(theirs), Some(ours)) = (theirs, ours) else { return };
            found.compared.insert((labels[number].clone(), name.clone()));
            let (theirs, ours) = match name.contains("30") {
                true => (&normalise::before_weakdep(theirs), &normalise::before_weakdep(ours)),
                false => (theirs, ours),
            };
            for (part, lines) in compare(&case, step, theirs, ours) {
                let place = Place { step: labels[number].clone(), pair: name.clone(), part };
                found.differences.insert(place, accepted::shortened(lines));
            }
        };
        for (oracle, _) in &setup.oracles {
            pair(oracle.clone(), get(oracle, number, oracle), get(OURS, number, OURS));
            if step.query {
                pair(format!("{oracle} reads ours"), get(oracle, number, oracle), get(OURS, number, oracle));
                pair(format!("ours reads {oracle}"), get(oracle, number, OURS), get(OURS, number, OURS));
            }
        }
    }
}

/// Returns the labels of the steps, `CASE: COMMAND`; repeated commands are numbered.
fn labels(named: &Named, case: &Case) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let label = |step: &crate::case::Step| {
        let label = format!("{}: {}", named.name, step.label().replace(&case.release, "REL"));
        let count = seen.entry(label.clone()).and_modify(|count| *count += 1).or_insert(1);
        if *count == 1 { label } else { format!("{label} #{count}") }
    };
    case.steps.iter().map(label).collect()
}

/// Returns the list with the current differences and the known reasons.
fn updated(listed: &Accepted, found: &Found, whole: bool) -> Accepted {
    let kept = |place: &&Place| !whole && !found.compared.contains(&(place.step.clone(), place.pair.clone()));
    let mut new: Accepted =
        listed.iter().filter(|(place, _)| kept(place)).map(|(place, entry)| (place.clone(), entry.clone())).collect();
    for (place, lines) in &found.differences {
        // The reason is most likely the same for both versions of C kmod.
        let same = |entry: &&Entry| entry.lines == *lines;
        let near = || {
            let of_step = listed.iter().filter(|(other, _)| other.step == place.step && other.part == place.part);
            of_step.map(|(_, entry)| entry).find(same)
        };
        let of_34 = |place: &Place| Place { pair: "34".into(), ..place.clone() };
        let new_reason = match place.pair == "30" && !found.differences.contains_key(&of_34(place)) {
            true => CHANGED_SINCE_30,
            false => "?",
        };
        let reason = listed.get(place).filter(same).or_else(near).map_or(new_reason, |entry| &entry.reason[..]);
        new.insert(place.clone(), Entry { lines: lines.clone(), reason: reason.to_owned() });
    }
    new
}

/// Returns the reasons that are not a row of docs/reference/compatibility.md (`SECTION: first column`).
pub fn unexplained<'a>(reasons: impl Iterator<Item = &'a str>) -> Vec<String> {
    // The published crate does not contain the page.
    if !Path::new(REASONS).exists() {
        return Vec::new();
    }
    let mut rows = BTreeSet::new();
    let mut section = String::new();
    for line in fs::read_to_string(REASONS).unwrap().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        } else if let Some(row) = line.strip_prefix("| ") {
            rows.insert(format!("{section}: {}", row.split(" | ").next().unwrap_or_default()));
        }
    }
    let reasons: BTreeSet<&str> = reasons.filter(|reason| !rows.contains(*reason)).collect();
    let text = |reason: &str| format!("the reason `{reason}` is not a row of docs/reference/compatibility.md");
    reasons.into_iter().map(text).collect()
}
