//! Injects faults: whatever breaks, a run ends, reports what broke, gives no verdict without evidence, and leaves neither a
//! process nor a file. docs/reference/faults.md lists the faults.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod cache;
mod ending;
mod fake;
mod guest;
mod qemu;
mod sandbox;
#[path = "../support/mod.rs"]
mod support;
mod upkeep;

#[test]
fn the_list_of_faults_names_tests_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let list = std::fs::read_to_string(root.join("docs/reference/faults.md")).unwrap();
    let mut rows = 0;
    for row in list.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let injected: Vec<&str> = cells.last().unwrap().split('`').collect();
        let (file, test) = (injected[1], injected[3]);
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
        rows += 1;
    }
    assert!(rows >= 20, "{rows} faults");
}
