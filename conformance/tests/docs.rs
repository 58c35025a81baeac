//! What the documents promise to each other and to the catalogue: every link leads somewhere, every behaviour has its
//! place in docs/facts/kernel.md, every document that a behaviour cites is there.

use conformance::select::select;
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

/// What can stand behind `#`: the ids that are written down, and the headings as GitHub names them.
fn anchors(text: &str) -> BTreeSet<String> {
    let ids = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect()
    });
    ids.chain(headings).collect()
}

/// Whether `target` (`FILE#ANCHOR`, either may be missing), written in `from`, leads somewhere.
fn leads_somewhere(from: &Path, target: &str) -> bool {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { from.to_owned() } else { from.with_file_name("").join(file) };
    file.exists() && (anchor.is_empty() || anchors(&read(&file)).contains(anchor))
}

/// Every Markdown file at the top of the repository, and every one below docs/.
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
fn every_link_leads_somewhere() {
    let mut links = 0;
    for document in documents() {
        for target in read(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            links += 1;
            assert!(leads_somewhere(&document, target), "{}: nothing is at {target}", document.display());
        }
    }
    assert!(links > 50, "only {links} links were found");
}

#[test]
fn every_behaviour_has_its_place_in_the_documents() {
    let kernel = anchors(&read(&root().join("docs/facts/kernel.md")));
    for behaviour in select(&[]).unwrap() {
        let anchor = behaviour.catalogue.to_lowercase();
        assert!(kernel.contains(&anchor), "{} is not in docs/facts/kernel.md as #{anchor}", behaviour.id);
        for cited in behaviour.source.split(&[' ', ';', ','][..]).filter(|word| word.starts_with("docs/")) {
            let readme = root().join("README.md");
            assert!(leads_somewhere(&readme, cited), "{} cites {cited}, where nothing is", behaviour.id);
        }
    }
}

#[test]
fn the_catalogue_names_no_row_twice() {
    let kernel = read(&root().join("docs/facts/kernel.md"));
    let ids: Vec<&str> = kernel.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len());
}
