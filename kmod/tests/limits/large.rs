//! Module files whose content is large, read by every tool that reads modules.

use crate::common::RELEASE;
use crate::inputs::{lab_with, large, path_of};
use crate::run::{FILLED_MEMORY, Job, Limit, MEMORY, MORE_MEMORY, check_jobs};
use crate::testing::TinyModule;
use std::fs;

const TREE: [&str; 6] = ["-d", ".", "-S", RELEASE, "-C", "conf"];

fn words(parts: &[&[&str]]) -> Vec<String> {
    parts.concat().iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn large_modules_are_read_within_limits() {
    let lab = lab_with(&[
        ("a.ko", TinyModule::named("a").exports(&["a"]).imports(&["b"]).build()),
        ("b.ko", TinyModule::named("b").exports(&["b"]).build()),
    ]);
    let directory = lab.tree().join("k");
    let mut jobs: Vec<Job> = Vec::new();
    // The slowest first. Each has its own output directory: two runs in one directory wait for each other.
    let limits: Vec<Limit> = [MEMORY, MORE_MEMORY, FILLED_MEMORY].concat();
    for (number, &limit) in limits.iter().enumerate() {
        let out = format!("out{number}");
        jobs.push(("depmod", words(&[&["-C", "conf", "-b", ".", "-o", &out, RELEASE]]), limit));
    }
    let names = [large().iter().map(|file| file.name).collect(), vec!["a.ko", "b.ko"]].concat();
    let files: Vec<String> = names.iter().map(|name| directory.join(name).to_str().unwrap().to_owned()).collect();
    let options = words(&[&["-C", "conf", "-b", ".", "-o", "operands", RELEASE]]);
    jobs.push(("depmod", [options, files].concat(), MEMORY[0]));
    for file in large() {
        file.write(&directory);
        let path = path_of(file.name);
        let more: &[Limit] = if file.is_medium { &[] } else { MORE_MEMORY };
        for &limit in MEMORY.iter().chain(more) {
            jobs.push(("modinfo", words(&[&[&path]]), limit));
            jobs.push(("insmod", words(&[&["-f", &path]]), limit));
            jobs.push(("modprobe", words(&[&["--show-exports", &path]]), limit));
            jobs.push(("modprobe", words(&[&TREE, &["-n", "-v", &path]]), limit));
        }
        jobs.push(("modprobe", words(&[&TREE, &[&path]]), MEMORY[0]));
    }
    check_jobs(&lab, &jobs);
    for number in 0..limits.len() {
        let list = lab.path(&format!("out{number}/lib/modules/{RELEASE}/modules.dep"));
        // A run that fails writes no list.
        let Ok(list) = fs::read_to_string(list) else { continue };
        for line in ["k/a.ko: k/b.ko\n", "k/large_gz.ko.gz:\n"] {
            assert!(list.contains(line), "{number}: {list}");
        }
    }
}
