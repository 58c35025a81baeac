//! The intended differences: accepted.txt lists each with its exact lines and, as the reason, a row of
//! docs/reference/compatibility.md. An unlisted difference fails the run, and so does a listed one that no longer occurs.
//!
//! ```text
//! [case: command line]
//! 34 stdout because modprobe: `-c` of a softdep with `pre:` and `post:`
//! - softdep x pre: a bpost: c
//! + softdep x pre: a b post: c
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The number of lines of a difference that are listed. The rest is listed as a count and a checksum.
const KEPT: usize = 24;

/// Where a difference is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The case and the command line.
    pub step: String,
    /// `34`: the result of C kmod 34.2 and ours. `34 reads ours`: the results of 34.2 with its own files and with ours.
    pub pair: String,
    /// `stdout`, `end`, or the path of a file.
    pub part: String,
}

/// The lines of a difference and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub lines: Vec<String>,
    pub reason: String,
}

/// All accepted differences.
pub type Accepted = BTreeMap<Place, Entry>;

/// Shortens lines to what is listed.
pub fn shortened(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > KEPT {
        let rest = lines.split_off(KEPT);
        // FNV-1a: any hash will do.
        let sum = rest
            .iter()
            .flat_map(|line| line.bytes().chain([b'\n']))
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        lines.push(format!("! {} more lines, {sum:016x}", rest.len()));
    }
    lines
}

/// Parses accepted.txt.
pub fn parse(text: &str) -> Result<Accepted, String> {
    let mut accepted = Accepted::new();
    let mut step = None;
    let mut places: Vec<Place> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("accepted.txt line {}: {what}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            places.clear();
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            step = Some(name.to_owned());
            places.clear();
        } else if line.starts_with(['-', '+', '!']) {
            if places.is_empty() {
                return Err(wrong("lines of a difference without a place above them"));
            }
            for place in &places {
                accepted.entry(place.clone()).and_modify(|entry| entry.lines.push(line.to_owned()));
            }
        } else {
            let (place, reason) = line.split_once(" because ").ok_or_else(|| wrong("no ` because `"))?;
            let (pairs, part) = place.rsplit_once(' ').ok_or_else(|| wrong("no part"))?;
            let step = step.as_ref().ok_or_else(|| wrong("no [case: command] above"))?;
            places = pairs
                .split(", ")
                .map(|pair| Place { step: step.clone(), pair: pair.to_owned(), part: part.to_owned() })
                .collect();
            for place in &places {
                let entry = Entry { lines: Vec::new(), reason: reason.to_owned() };
                if accepted.insert(place.clone(), entry).is_some() {
                    return Err(wrong("this place is listed twice"));
                }
            }
        }
    }
    Ok(accepted)
}

/// Formats accepted.txt, with equal differences of several pairs together.
pub fn print(accepted: &Accepted) -> String {
    let mut steps: BTreeMap<&str, Vec<(&Place, &Entry)>> = BTreeMap::new();
    for (place, entry) in accepted {
        steps.entry(&place.step).or_default().push((place, entry));
    }
    let mut text = String::new();
    for (step, entries) in steps {
        let _ = writeln!(text, "\n[{step}]");
        let mut printed = BTreeSet::new();
        for (place, entry) in &entries {
            if !printed.insert(*place) {
                continue;
            }
            let same: Vec<_> =
                entries.iter().filter(|(other, others)| other.part == place.part && others == entry).collect();
            printed.extend(same.iter().map(|(place, _)| *place));
            let pairs: Vec<_> = same.iter().map(|(place, _)| place.pair.as_str()).collect();
            let _ = writeln!(text, "{} {} because {}", pairs.join(", "), place.part, entry.reason);
            for line in &entry.lines {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}
