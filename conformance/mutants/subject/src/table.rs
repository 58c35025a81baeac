//! The tables of faults: parsing, and what every table must satisfy.

use crate::edit;
use conformance::catalogue::behaviours;
use conformance::catalogue::entry::About;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A change of a part of one line of our tools.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fault {
    /// The file, relative to the repository.
    pub file: String,
    /// The function, constant or static of the file that contains the line.
    pub function: String,
    /// The text to replace. It occurs once in the definitions of that name.
    pub pattern: String,
    /// Its replacement.
    pub replacement: String,
    /// The kernel on which the behaviours run.
    #[serde(default = "default_kernel")]
    pub kernel: String,
    /// The behaviours that must fail.
    pub caught_by: Vec<String>,
}

fn default_kernel() -> String {
    "6.1".to_owned()
}

/// A fault with its id.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name of its table and its place there, such as `guard#2`.
    pub id: String,
    /// The fault.
    pub fault: Fault,
}

impl Entry {
    /// Whether this is the id of the fault or the name of its table.
    pub fn is(&self, name: &str) -> bool {
        self.id == name || self.id.split('#').next() == Some(name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    fault: Vec<Fault>,
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The directory of the tables.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants/subject")
}

/// Reads every table.
///
/// # Errors
/// A message if a table cannot be read or parsed.
pub fn read_all(directory: &Path) -> Result<Vec<Entry>, String> {
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let listed = fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let mut entries = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let table: Table = toml::from_str(&text).map_err(|error| unreadable(&path, &error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let numbered = table.fault.into_iter().enumerate();
        entries.extend(numbered.map(|(at, fault)| Entry { id: format!("{name}#{}", at + 1), fault }));
    }
    Ok(entries)
}

/// Returns what is wrong with the faults, one line each.
pub fn mistakes(entries: &[Entry]) -> Vec<String> {
    let known = behaviours::entries().into_iter().filter(|entry| entry.about == About::Both);
    let ids: BTreeSet<&str> = known.map(|entry| entry.id).collect();
    let mut mistakes = Vec::new();
    for (at, Entry { id, fault }) in entries.iter().enumerate() {
        let mut mistake = |text: String| mistakes.push(format!("{id}: {text}"));
        if fault.pattern == fault.replacement || fault.pattern.contains('\n') || fault.replacement.contains('\n') {
            mistake("`replacement` must be another text of one line".to_owned());
        }
        match fs::read_to_string(root().join(&fault.file)) {
            Ok(text) => drop(edit::apply(&text, fault).map_err(|error| mistake(error.to_string()))),
            Err(error) => mistake(format!("cannot read {}: {}", fault.file, error.kind())),
        }
        if fault.caught_by.is_empty() {
            mistake("`caught-by` names no behaviour".to_owned());
        }
        for unknown in fault.caught_by.iter().filter(|id| !ids.contains(id.as_str())) {
            mistake(format!("{unknown} is not a behaviour of a subject"));
        }
        if entries[..at].iter().any(|other| other.fault == *fault) {
            mistake("the same fault is listed twice".to_owned());
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_have_no_mistakes() {
        let entries = read_all(&directory()).unwrap();
        assert!(!entries.is_empty());
        assert_eq!(mistakes(&entries), Vec::<String>::new());
    }

    #[test]
    fn mistakes_are_reported_with_the_id_of_the_fault() {
        let fault = Fault {
            file: "kmod/src/guard.rs".to_owned(),
            function: "chain".to_owned(),
            pattern: "no such text".to_owned(),
            replacement: "no such text".to_owned(),
            kernel: default_kernel(),
            caught_by: vec!["loop.cut-at-50".to_owned()],
        };
        let other = Fault { file: "no/such.rs".to_owned(), caught_by: vec![], ..fault.clone() };
        let entry = |id: &str, fault: &Fault| Entry { id: id.to_owned(), fault: fault.clone() };
        let entries = [entry("a#1", &fault), entry("a#2", &other), entry("a#3", &other)];
        insta::assert_snapshot!(mistakes(&entries).join("\n"));
    }
}
