//! Compares two results of a command part by part, line by line.

use std::collections::{BTreeMap, BTreeSet};

use kmod::index::Index;
use kmod::name::Escaped;

use crate::case::{Case, Step};
use crate::normalise;
use crate::results::Done;

/// A part of a result with its differences as `-` and `+` lines.
pub type Difference = (String, Vec<String>);

/// The largest product of two lengths for which lines are aligned. Longer texts are compared as sets.
const ALIGNED: usize = 4_000_000;

/// Compares the result of a C tool with ours, or the results of one tool with files of two writers. Returns the parts that
/// differ.
pub fn compare(case: &Case, step: &Step, theirs: &Done, ours: &Done) -> Vec<Difference> {
    let mut parts: Vec<(String, Vec<String>, Vec<String>)> = Vec::new();
    parts.push(("end".into(), vec![theirs.end.clone()], vec![ours.end.clone()]));
    if [theirs, ours].iter().any(|done| done.end.starts_with("signal")) {
        // The output before a crash is not deterministic.
        let lines = difference(std::slice::from_ref(&theirs.end), std::slice::from_ref(&ours.end));
        return if lines.is_empty() { Vec::new() } else { vec![("end".into(), lines)] };
    }
    let text = |bytes: &[u8], sorted: bool| {
        let mut lines = normalise::lines(case, step, bytes);
        if sorted {
            lines.sort();
        }
        lines
    };
    let sorted = step.sorted || case.unordered;
    parts.push(("stdout".into(), text(&theirs.out, sorted), text(&ours.out, sorted)));
    let (c, o) = (text(&theirs.err, case.unordered), text(&ours.err, case.unordered));
    let o = normalise::without_detail(&c, o);
    parts.push(("stderr".into(), c, o));
    let (c, o) = (text(&theirs.syslog, false), text(&ours.syslog, false));
    let o = normalise::without_detail(&c, o);
    parts.push(("syslog".into(), c, o));
    let files = |done: &Done| -> BTreeMap<String, (String, Vec<u8>)> {
        let name = |path: &[u8]| normalise::path(case, path);
        done.files.iter().map(|(path, kind, bytes)| (name(path), (kind.clone(), bytes.clone()))).collect()
    };
    let (c, o) = (files(theirs), files(ours));
    let listed = |files: &BTreeMap<String, (String, Vec<u8>)>| {
        files.iter().map(|(path, (kind, _))| format!("{path} {kind}")).collect::<Vec<_>>()
    };
    parts.push(("files".into(), listed(&c), listed(&o)));
    for (path, (_, bytes)) in &c {
        if let Some((_, other)) = o.get(path).filter(|(_, other)| other != bytes) {
            let sorted = case.unordered || path.ends_with("modules.symbols");
            parts.push((path.clone(), contents(case, path, bytes, sorted), contents(case, path, other, sorted)));
        }
    }
    let differs = |(part, c, o): (String, Vec<String>, Vec<String>)| {
        let difference = difference(&c, &o);
        (!difference.is_empty()).then_some((part, difference))
    };
    parts.into_iter().filter_map(differs).collect()
}

/// Returns a file as lines; an index is decoded.
fn contents(case: &Case, path: &str, bytes: &[u8], sorted: bool) -> Vec<String> {
    let mut lines = if path.ends_with(".bin") {
        let entries = Index::parse(bytes.to_vec()).and_then(|index| index.entries());
        match entries {
            Ok(entries) => {
                let line = |(key, value): (Vec<u8>, kmod::index::Value)| {
                    let priority = if case.unordered { String::new() } else { format!(" {}", value.priority) };
                    format!("{}{priority} {}", normalise::text(case, &key), normalise::text(case, &value.bytes))
                };
                entries.into_iter().map(line).collect()
            }
            Err(error) => vec![format!("{} bytes: {error}", bytes.len())],
        }
    } else {
        bytes.split_inclusive(|&byte| byte == b'\n').map(|line| normalise::text(case, line)).collect()
    };
    if sorted {
        lines.sort();
    }
    lines
}

/// Returns the differences as `-` and `+` lines; empty if there are none.
fn difference(theirs: &[String], ours: &[String]) -> Vec<String> {
    let same = theirs.iter().zip(ours).take_while(|(a, b)| a == b).count();
    let (theirs, ours) = (&theirs[same..], &ours[same..]);
    let tail = theirs.iter().rev().zip(ours.iter().rev()).take_while(|(a, b)| a == b).count();
    let (theirs, ours) = (&theirs[..theirs.len() - tail], &ours[..ours.len() - tail]);
    if theirs.len() * ours.len() <= ALIGNED { aligned(theirs, ours) } else { as_sets(theirs, ours) }
}

/// Compares by the longest common subsequence.
fn aligned(theirs: &[String], ours: &[String]) -> Vec<String> {
    let width = ours.len() + 1;
    let mut longest = vec![0_u32; (theirs.len() + 1) * width];
    for (i, a) in theirs.iter().enumerate().rev() {
        for (j, b) in ours.iter().enumerate().rev() {
            longest[i * width + j] = match a == b {
                true => longest[(i + 1) * width + j + 1] + 1,
                false => longest[(i + 1) * width + j].max(longest[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < theirs.len() || j < ours.len() {
        if i < theirs.len() && j < ours.len() && theirs[i] == ours[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == ours.len() || i < theirs.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            lines.push(format!("- {}", theirs[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", ours[j]));
            j += 1;
        }
    }
    lines
}

fn as_sets(theirs: &[String], ours: &[String]) -> Vec<String> {
    let set = |lines: &[String]| lines.iter().cloned().collect::<BTreeSet<_>>();
    let (c, o) = (set(theirs), set(ours));
    let mut lines: Vec<_> = c.difference(&o).map(|line| format!("- {line}")).collect();
    lines.extend(o.difference(&c).map(|line| format!("+ {line}")));
    if lines.is_empty() {
        lines.push(format!("! the same lines in another order or number: {} and {}", theirs.len(), ours.len()));
    }
    lines
}

/// Formats bytes as one line of printable ASCII.
pub fn escaped(bytes: &[u8]) -> String {
    Escaped(bytes).to_string()
}
