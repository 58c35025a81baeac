//! No text that kmodlab prints repeats a cause, or contains Rust's error numbers or `Debug` output. The texts are those of
//! the snapshots of the other tests.

use regex_lite::Regex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Returns what is wrong with a line of output.
fn problem(line: &str) -> Option<&'static str> {
    if line.contains("(os error ") {
        return Some("contains an error number");
    }
    let debug = [
        // A structure or a variant with fields.
        r"\b[A-Z]\w* \{",
        r"\{ ?\w+: ",
        // A tuple variant, but not the name of a manual page, a C macro or an option of a configuration.
        r"\b(Some|Ok|Err|[A-Z][a-z]+[A-Z]\w*)\(",
        r"\bNone\b",
        // A list of numbers, or of quoted texts.
        r#"\[(\d+|"[^"]*"), "#,
        r#"\\""#,
    ];
    if debug.iter().any(|pattern| Regex::new(pattern).is_ok_and(|regex| regex.is_match(line))) {
        return Some("contains Debug output");
    }
    let mut seen = BTreeSet::new();
    let causes: Vec<&str> = line.split(": ").map(str::trim).filter(|cause| cause.contains(' ')).collect();
    causes.into_iter().any(|cause| !seen.insert(cause)).then_some("repeats a cause")
}

/// Returns the snapshots of texts: of help, and of sessions.
fn snapshots() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let files = std::fs::read_dir(dir).expect("the directory of the snapshots");
    let texts = ["help__", "errors__", "stored__"];
    let is_text = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        texts.iter().any(|prefix| name.starts_with(prefix)) && name.ends_with(".snap")
    };
    files.map(|entry| entry.expect("an entry").path()).filter(is_text).collect()
}

#[test]
fn no_text_repeats_a_cause_or_contains_debug_output() {
    let (mut lines, mut problems) = (0, Vec::new());
    for path in snapshots() {
        let text = std::fs::read_to_string(&path).expect("the snapshot is text");
        let body = text.splitn(3, "---\n").nth(2).unwrap_or_default();
        for line in body.lines().filter(|line| !line.starts_with("$ ")) {
            lines += 1;
            problems.extend(problem(line).map(|what| format!("{}: {what}: {line}", path.display())));
        }
    }
    assert!(lines > 1000, "only {lines} lines were found");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn each_kind_of_problem_is_found() {
    let expected = [
        (concat!("error: cannot read x: No such file or directory (os ", "error 2)"), Some("contains an error number")),
        ("error: cannot read x: Is a directory: Is a directory", Some("repeats a cause")),
        ("error: Os { code: 2, kind: NotFound }", Some("contains Debug output")),
        ("error: unexpected Finished(JobEnd)", None),
        ("error: unexpected Some(3)", Some("contains Debug output")),
        ("error: killed by None", Some("contains Debug output")),
        (r#"error: wrote "\"a\"""#, Some("contains Debug output")),
        ("error: processes [1, 2]", Some("contains Debug output")),
        ("error: unexpected JobEnd(3)", Some("contains Debug output")),
        ("error: cannot read x: No such file or directory", None),
        ("  group(loop)  catalogue(PATH-06)  modprobe(8)", None),
    ];
    for (line, what) in expected {
        assert_eq!(problem(line), what, "{line}");
    }
}
