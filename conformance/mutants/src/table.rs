//! The tables of faults in `drawn/` and `planted/`: parsing, and what every table must satisfy.

use conformance::catalogue::behaviours;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest pattern and the longest `after`, in bytes.
pub const LONGEST: usize = 60;

/// A change of one line of a source file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fault {
    /// The kernel whose sources it changes: `6.1` or `7.3`.
    pub kernel: String,
    /// The file, relative to the source tree.
    pub file: String,
    /// The function, array or macro of the file that contains the line.
    pub function: String,
    /// A text of an earlier line of the function: the pattern is searched after it.
    pub after: Option<String>,
    /// The text to replace. It occurs once in the function, or once after `after`.
    pub pattern: String,
    /// Its replacement.
    pub replacement: String,
    /// The behaviours that are expected to fail.
    pub caught_by: Vec<String>,
    /// Why no behaviour can notice the fault.
    pub struck: Option<String>,
    /// Why the behaviours miss the fault although one could notice it.
    pub missed: Option<String>,
}

/// How a fault was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// By the rule (docs/guide/mutants.md).
    Drawn,
    /// By the author of a behaviour.
    Planted,
}

impl Origin {
    /// The directory of its tables.
    pub fn directory(self) -> &'static str {
        match self {
            Origin::Drawn => "drawn",
            Origin::Planted => "planted",
        }
    }
}

/// A fault with its origin and its id.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name of its table and its place there, such as `linux-6.1#12`.
    pub id: String,
    /// How it was chosen.
    pub origin: Origin,
    /// The fault.
    pub fault: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    fault: Vec<Fault>,
}

/// The directory of the tables.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants")
}

/// Reads every table.
///
/// # Errors
/// A message if a table cannot be read or parsed.
pub fn read_all(directory: &Path) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for origin in [Origin::Drawn, Origin::Planted] {
        let dir = directory.join(origin.directory());
        // No row has a planted fault at first, and git keeps no empty directory.
        let listed = fs::read_dir(&dir).into_iter().flatten();
        let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        for path in paths {
            let unreadable = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
            let text = fs::read_to_string(&path).map_err(|error| unreadable(&error))?;
            let table: Table = toml::from_str(&text).map_err(|error| unreadable(&error))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for (at, fault) in table.fault.into_iter().enumerate() {
                entries.push(Entry { id: format!("{name}#{}", at + 1), origin, fault });
            }
        }
    }
    Ok(entries)
}

/// Returns faults as the text of a table.
pub fn render(faults: &[Fault]) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = String::new();
    for fault in faults {
        let mut line = |key: &str, value: &str| text.push_str(&format!("{key} = {value}\n"));
        line("kernel", &quoted(&fault.kernel));
        line("file", &quoted(&fault.file));
        line("function", &quoted(&fault.function));
        if let Some(after) = &fault.after {
            line("after", &quoted(after));
        }
        line("pattern", &quoted(&fault.pattern));
        line("replacement", &quoted(&fault.replacement));
        line("caught-by", &format!("{:?}", fault.caught_by));
        for (key, reason) in [("struck", &fault.struck), ("missed", &fault.missed)] {
            if let Some(reason) = reason {
                line(key, &quoted(reason));
            }
        }
        text.push('\n');
    }
    text.replace("kernel = ", "[[fault]]\nkernel = ")
}

/// Returns what is wrong with the faults, one line each.
pub fn mistakes(entries: &[Entry]) -> Vec<String> {
    let ids: BTreeSet<&str> = behaviours::entries().into_iter().map(|entry| entry.id).collect();
    let mut seen = BTreeSet::new();
    let mut mistakes = Vec::new();
    for Entry { id, origin, fault } in entries {
        let mut mistake = |text: String| mistakes.push(format!("{id}: {text}"));
        for (what, text) in [("pattern", Some(&fault.pattern)), ("after", fault.after.as_ref())] {
            let Some(text) = text else { continue };
            if text.is_empty() || text.len() > LONGEST || text.contains('\n') {
                mistake(format!("`{what}` must have 1 to {LONGEST} bytes in one line"));
            }
        }
        if fault.pattern == fault.replacement || fault.replacement.contains('\n') {
            mistake("`replacement` must be another text of one line".to_owned());
        }
        if !["6.1", "7.3"].contains(&fault.kernel.as_str()) {
            mistake(format!("unknown kernel {} (expected 6.1 or 7.3)", fault.kernel));
        }
        if fault.caught_by.is_empty() && fault.struck.is_none() && fault.missed.is_none() {
            mistake("`caught-by` names no behaviour".to_owned());
        }
        for unknown in fault.caught_by.iter().filter(|id| !ids.contains(id.as_str())) {
            mistake(format!("unknown behaviour {unknown}"));
        }
        let place = (&fault.kernel, &fault.file, &fault.function, &fault.after, &fault.pattern, &fault.replacement);
        if !seen.insert((*origin, place)) {
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
        assert_eq!(mistakes(&entries), Vec::<String>::new());
        let drawn = entries.iter().filter(|entry| entry.origin == Origin::Drawn);
        let struck = drawn.clone().filter(|entry| entry.fault.struck.is_some()).count();
        let drawn = drawn.count();
        assert!(drawn >= 110, "{drawn} faults are drawn");
        assert!(struck * 10 <= drawn, "{struck} of {drawn} faults are struck");
    }

    #[test]
    fn mistakes_are_reported_with_the_id_of_the_fault() {
        let fault = Fault {
            kernel: "2.4".to_owned(),
            file: "kernel/kmod.c".to_owned(),
            function: "f".to_owned(),
            after: Some(String::new()),
            pattern: "x".repeat(61),
            replacement: "x".repeat(61),
            caught_by: vec!["env.nothing".to_owned()],
            struck: None,
            missed: None,
        };
        let entry = |id: &str, fault: &Fault| Entry { id: id.to_owned(), origin: Origin::Drawn, fault: fault.clone() };
        insta::assert_snapshot!(mistakes(&[entry("a#1", &fault), entry("a#2", &fault)]).join("\n"));
    }
}
