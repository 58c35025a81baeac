//! Checks the links between the documents and the behaviours: every link has a target, the entries are
//! the rows of docs/facts/kernel.md, and every document that an entry cites exists.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use conformance::catalogue::behaviours::entries;
use conformance::catalogue::deviations::{Deviations, Names};
use conformance::catalogue::reference::markdown;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fragments that a link may have: explicit ids, and headings in GitHub's form.
fn anchors(text: &str) -> BTreeSet<String> {
    let ids = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect()
    });
    ids.chain(headings).collect()
}

/// Whether `target` (`FILE#ANCHOR`, either may be missing), a link in `from`, exists.
fn exists(from: &Path, target: &str) -> bool {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { from.to_owned() } else { from.with_file_name("").join(file) };
    file.exists() && (anchor.is_empty() || anchors(&read(&file)).contains(anchor))
}

/// The Markdown files at the top of the repository and below docs/.
fn documents() -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> { fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let mut documents = Vec::new();
    let mut entries = list(&root());
    entries.retain(|path| !path.is_dir() || path.file_name().is_some_and(|name| name == "docs"));
    while let Some(entry) = entries.pop() {
        if entry.is_dir() {
            entries.extend(list(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "md") {
            documents.push(entry);
        }
    }
    documents
}

#[test]
fn every_document_is_in_the_index() {
    let docs = root().join("docs");
    let index = read(&docs.join("README.md"));
    for document in documents().iter().filter_map(|path| path.strip_prefix(&docs).ok()) {
        let link = format!("]({})", document.display());
        assert!(document == Path::new("README.md") || index.contains(&link), "docs/README.md has no link {link}");
    }
}

#[test]
fn every_link_has_a_target() {
    let mut links = 0;
    for document in documents() {
        for target in read(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            links += 1;
            assert!(exists(&document, target), "{}: the link {target} has no target", document.display());
        }
    }
    assert!(links > 50, "found only {links} links");
}

/// The rows of the catalogue in docs/facts/kernel.md: `| <a id="path-01"></a>PATH-01 | …` after its heading.
fn catalogue_rows() -> BTreeSet<String> {
    let page = read(&root().join("docs/facts/kernel.md"));
    let (_, catalogue) = page.split_once("\n## The catalogue\n").unwrap();
    let id = |line: &str| Some(line.strip_prefix("| <a id=\"")?.split('"').next()?.to_uppercase());
    catalogue.lines().filter_map(id).collect()
}

#[test]
fn every_row_of_the_catalogue_is_an_entry_and_every_entry_a_row() {
    let entries: BTreeSet<String> = entries().iter().map(|entry| entry.catalogue.to_owned()).collect();
    assert_eq!(entries, catalogue_rows());
}

#[test]
fn every_entry_cites_existing_documents() {
    let readme = root().join("README.md");
    for entry in entries() {
        for cited in entry.source.split(&[' ', ';', ','][..]).filter(|word| word.starts_with("docs/")) {
            assert!(exists(&readme, cited), "{} cites {cited}, which does not exist", entry.id);
        }
    }
}

#[test]
fn the_number_of_behaviours_is_up_to_date() {
    let count = conformance::catalogue::behaviours::all().len();
    let words = |page| read(&root().join(page)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words("README.md").contains(&format!("checks {count} named behaviours")));
    assert!(words("CHANGELOG.md").contains(&format!("{count} behaviours in the groups")));
}

#[test]
fn the_ids_of_the_catalogue_are_unique() {
    let kernel = read(&root().join("docs/facts/kernel.md"));
    let ids: Vec<&str> = kernel.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len());
}

#[test]
fn the_reference_of_behaviours_is_up_to_date() {
    let names = Names::new(&vm_images::Catalogue::builtin().unwrap());
    let page = markdown(&entries(), Deviations::builtin(&names).unwrap().entries());
    let stored = read(&root().join("docs/reference/behaviours.md"));
    let hint = "run `kmodlab list --all --markdown > docs/reference/behaviours.md`";
    assert!(stored == page, "docs/reference/behaviours.md is out of date: {hint}");
}
