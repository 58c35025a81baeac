//! JSON for `kcidb-submit`, schema version 5.3: one checkout and one build per kernel, one test per row.
//!
//! The lab did not build the kernel and does not know its commit, so checkout and build contain only its name and release.
//! An `error` is `MISS`, because kmodlab or QEMU failed and the kernel was not judged. A known deviation is
//! `PASS`.

use super::document::Report;
use super::format::{Format, InRuns, Parameter};
use crate::catalogue::entry::About;
use crate::run::event::Row;
use crate::run::verdict::Verdict;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::str::FromStr;

/// The schema's limit for a log excerpt, in characters.
const EXCERPT: usize = 16384;
/// The part of the excerpt for facts; the rest is for the console.
const FACTS: usize = 8192;

/// The format.
pub(super) const KCIDB: Kcidb = Kcidb;

/// JSON for KCIDB.
pub(super) struct Kcidb;

const ORIGIN: Parameter = Parameter {
    option: "origin",
    run_option: "kcidb-origin",
    value_name: "NAME",
    help: "Set the origin that KCIDB assigned to you",
    check: |text| text.parse::<Origin>().map(drop),
};

impl Format for Kcidb {
    fn name(&self) -> &'static str {
        "kcidb"
    }

    fn in_runs(&self) -> InRuns {
        InRuns::File { help: "Write a report for KCIDB (schema 5.3)", stdout: false }
    }

    fn conversion(&self) -> Option<&'static str> {
        Some("Convert a report to JSON for KCIDB (schema 5.3)")
    }

    fn parameter(&self) -> Option<&'static Parameter> {
        Some(&ORIGIN)
    }

    fn render(&self, report: &Report, parameter: Option<&str>) -> io::Result<Vec<u8>> {
        let origin = parameter.unwrap_or_default().parse().map_err(io::Error::other)?;
        text(report, &origin)
    }
}

/// The name under which a CI system submits to KCIDB.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin(String);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !text.is_empty() && text.chars().all(allowed) {
            Ok(Origin(text.to_owned()))
        } else {
            Err("expected lower-case letters, digits and underscores".to_owned())
        }
    }
}

/// Returns the report for this origin as JSON text. The same report has the same ids, so submitting it twice changes
/// nothing.
///
/// # Errors
/// An error from serialization.
fn text(report: &Report, origin: &Origin) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(&document(report, origin)?)?;
    text.push(b'\n');
    Ok(text)
}

fn document(report: &Report, origin: &Origin) -> io::Result<Value> {
    let run = hash(&serde_json::to_vec(report)?);
    let id = |kind: &str, what: &str| format!("{}:{kind}-{what}", origin.0);
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let (mut checkouts, mut builds, mut tests) = (Vec::new(), Vec::new(), Vec::new());
    for (number, row) in report.results.iter().enumerate() {
        let kernel = (row.kernel.name.as_str(), row.kernel.release.as_str());
        let new = places.len();
        let place = *places.entry(kernel).or_insert(new);
        let build = id("kernel", &format!("{run}-{place}"));
        if place == new {
            let comment = format!("{} ({})", clean(kernel.0), clean(kernel.1));
            checkouts.push(json!({"id": build, "origin": origin.0, "comment": comment}));
            builds.push(json!({
                "id": build, "checkout_id": build, "origin": origin.0, "architecture": "x86_64", "comment": comment,
                "misc": {"release": clean(kernel.1)},
            }));
        }
        tests.push(test(report, row, &id("test", &format!("{run}-{number}")), &build, &origin.0));
    }
    Ok(json!({
        "version": {"major": 5, "minor": 3}, "checkouts": checkouts, "builds": builds, "tests": tests,
    }))
}

fn test(report: &Report, row: &Row, id: &str, build: &str, origin: &str) -> Value {
    let mut misc = json!({
        "catalogue": clean(&row.catalogue), "source": clean(&row.source), "subject": clean(&row.subject),
        "verdict": row.verdict.as_str(),
    });
    let more = [
        ("reason", row.reason.as_deref().map(clean).map(Value::from)),
        ("probes", probes(row)),
        ("guest_ms", row.guest_ms.map(Value::from)),
        ("flaky", row.flaky.then_some(Value::Bool(true))),
    ];
    add(&mut misc, more);
    let environment = report.run.as_ref().map(|run| {
        let time = if run.virtual_time { "virtual" } else { "real" };
        let comment = format!("kmodlab {} in QEMU {}, {}, {time} time", run.kmodlab, run.qemu, run.accelerator);
        json!({"comment": clean(&comment), "misc": {"subject": clean(&row.subject), "profile": run.profile}})
    });
    let mut value = json!({
        "id": id, "build_id": build, "origin": origin, "path": path(row), "status": status(row.verdict),
        "comment": clean(&row.statement), "misc": misc,
        // A double represents the milliseconds of any run exactly.
        "duration": row.wall_ms as f64 / 1000.0,
    });
    add(&mut value, [("environment", environment), ("log_excerpt", excerpt(row).map(Value::from))]);
    value
}

/// Adds the properties that have a value. The schema does not allow null.
fn add<const N: usize>(value: &mut Value, properties: [(&str, Option<Value>); N]) {
    let present = properties.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    if let Value::Object(object) = value {
        object.extend(present.collect::<Map<_, _>>());
    }
}

/// Returns the values of the probes of a row.
fn probes(row: &Row) -> Option<Value> {
    let values = row.probes.iter().map(|(name, probed)| (clean(name), clean(&probed.value).into()));
    (!row.probes.is_empty()).then(|| Value::Object(values.collect()))
}

fn status(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass | Verdict::Known => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Skip => "SKIP",
        Verdict::Error => "MISS",
    }
}

/// Returns the path of a test, such as `kmodlab.load.by-path.kmod-34`. It ends with the subject unless the behaviour is
/// about the kernel alone.
fn path(row: &Row) -> String {
    let component = |text: &str| -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let text: String = text.chars().map(|c| if fits(c) { c } else { '_' }).collect();
        if text.is_empty() { "_".to_owned() } else { text }
    };
    let mut parts = vec!["kmodlab".to_owned()];
    parts.extend(row.id.split('.').map(component));
    if row.about != About::Kernel {
        parts.push(component(&row.subject));
    }
    parts.join(".")
}

/// Returns the facts and as many of the last console lines as fit.
fn excerpt(row: &Row) -> Option<String> {
    let mut facts = String::new();
    for fact in &row.facts {
        let (mark, why) = match &fact.deviation {
            _ if fact.holds => ("ok", String::new()),
            Some(deviation) => ("known", format!("; {deviation}")),
            None => ("not ok", String::new()),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(facts, "{mark}: {}{why}", fact.mismatch());
    }
    let facts: String = clean(&facts).chars().take(FACTS).collect();
    let mut room = EXCERPT - FACTS;
    let mut lines: Vec<String> = Vec::new();
    for line in row.console.iter().rev().map(|line| clean(line)) {
        let Some(left) = room.checked_sub(line.chars().count() + 1) else { break };
        room = left;
        lines.push(line + "\n");
    }
    let text: String = std::iter::once(facts).chain(lines.into_iter().rev()).collect();
    if text.is_empty() { None } else { Some(text) }
}

/// Escapes NUL, which the schema does not allow in texts.
fn clean(text: &str) -> String {
    text.replace('\0', "\\x00")
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(12).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn report(change: impl Fn(&mut Row)) -> Report {
        let mut report = Report::empty();
        sample::events().iter().for_each(|event| report.record(event));
        report.results.iter_mut().for_each(change);
        report
    }

    fn origin() -> Origin {
        "my_ci".parse().unwrap()
    }

    #[test]
    fn each_verdict_has_its_status() {
        insta::assert_snapshot!(String::from_utf8(text(&report(|_| ()), &origin()).unwrap()).unwrap());
    }

    #[test]
    fn hostile_text_conforms_to_the_schema() {
        let hostile = "a\0b/\u{202e}.. c".repeat(4000);
        let value = document(
            &report(|row| {
                (row.subject, row.about) = (hostile.clone(), About::Both);
                row.kernel.name.clone_from(&hostile);
                row.console = vec![hostile.clone(), "the end".into()];
                row.facts[0].got.clone_from(&hostile);
            }),
            &origin(),
        );
        let value = value.unwrap();
        assert!(!value.to_string().contains("\\u0000"));
        for test in value["tests"].as_array().unwrap() {
            assert!(test["log_excerpt"].as_str().unwrap().chars().count() <= EXCERPT);
            assert!(test["log_excerpt"].as_str().unwrap().ends_with("the end\n"));
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            assert!(test["path"].as_str().unwrap().split('.').all(|part| !part.is_empty() && part.chars().all(fits)));
        }
    }

    #[test]
    fn the_same_report_has_the_same_ids_and_another_run_has_others() {
        let ids = |report: &Report| document(report, &origin()).unwrap()["tests"][0]["id"].clone();
        assert_eq!(ids(&report(|_| ())), ids(&report(|_| ())));
        assert_ne!(ids(&report(|_| ())), ids(&report(|row| row.wall_ms = 35)));
    }

    #[test]
    fn an_origin_follows_the_rules_of_kcidb() {
        assert!("kernelci_2".parse::<Origin>().is_ok());
        for wrong in ["", "My", "a-b", "a:b", "ä"] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
