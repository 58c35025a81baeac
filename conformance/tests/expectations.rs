//! Expectations are data: no code of the catalogue, the checks or the engine contains the name of a subject. What a subject
//! supports is in subjects.toml, and what it does otherwise than a statement says is in deviations.toml.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use vm_images::Catalogue;

/// Returns the Rust files below a directory, without files of tests.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs") && path.file_stem().unwrap() != "tests")
        .collect()
}

/// Returns the code of a file: no comments, and no module of tests, which is at the end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    code.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or(line)))
}

/// Returns the names of subjects in a line of code: quoted, or as part of an identifier such as `is_c_kmod`.
fn subjects_in(line: &str) -> Vec<String> {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let catalogue = Catalogue::builtin().unwrap();
        let quoted = catalogue.subject_names().map(|name| format!("\"{name}\""));
        let words = ["\"kmod-\"", "c_kmod", "busybox", "toybox", "is_ours", "pair().subject"].map(str::to_owned);
        quoted.chain(words).collect()
    });
    NAMES.iter().filter(|name| line.contains(name.as_str())).cloned().collect()
}

#[test]
fn no_code_of_catalogue_checks_and_engine_names_a_subject() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<PathBuf> = ["catalogue", "check", "run"].iter().flat_map(|room| sources(&src.join(room))).collect();
    assert!(files.len() > 40, "{files:?}");
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            for name in subjects_in(line) {
                found.push(format!("{}:{number}: {name}", file.strip_prefix(&src).unwrap().display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_name_is_found_in_code_only() {
    assert_eq!(subjects_in("if lab.is_c_kmod() {"), ["c_kmod"]);
    assert_eq!(subjects_in("name == \"kmod-30\""), ["\"kmod-30\""]);
    assert_eq!(subjects_in("name.starts_with(\"kmod-\")"), ["\"kmod-\""]);
    assert!(subjects_in("source: \"kmod-static-nodes.service of systemd\"").is_empty());
    assert_eq!(subjects_in("let it = \"ours\";"), ["\"ours\""]);
    assert!(subjects_in("has_trait(\"kmod messages\")").is_empty());
    let text = "let a = 1; // busybox\nlet b;\n#[cfg(test)]\nmod tests { busybox }\n";
    assert_eq!(code(text).collect::<Vec<_>>(), [(1, "let a = 1; "), (2, "let b;")]);
}
