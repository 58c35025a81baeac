//! `kmodlab cache` finds damaged entries and keeps those in use.

use crate::sandbox::{Sandbox, names};
use crate::support::kmodlab;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Stdio;

/// Runs `kmodlab cache` with these arguments; returns the exit code and the output.
fn cache(sandbox: &Sandbox, args: &[&str]) -> (Option<i32>, String) {
    let mut command = sandbox.command(kmodlab());
    command.arg("cache").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = sandbox.finish(command.spawn().unwrap());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn templates(sandbox: &Sandbox) -> Vec<PathBuf> {
    let all = names(&sandbox.cache("templates")).into_iter().filter(|name| name.len() == 32);
    all.map(|name| sandbox.cache("templates").join(name)).collect()
}

#[test]
fn verify_finds_a_byte_of_a_templates_memory_that_changed_without_a_write() {
    let Some(sandbox) = Sandbox::open() else { return };
    assert!(sandbox.run(&["path.newline"]).status.success());
    assert_eq!(cache(&sandbox, &["verify"]).0, Some(0));
    let memory = templates(&sandbox)[0].join("memory");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&memory).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 128 << 20).unwrap();
    file.write_all_at(&[!byte[0]], 128 << 20).unwrap();
    // Like a faulty disk: the file looks unmodified.
    file.set_modified(time).unwrap();
    let (code, text) = cache(&sandbox, &["verify"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("its memory differs from what was saved: removed"), "{text}");
    assert_eq!(templates(&sandbox), Vec::<PathBuf>::new());
    assert!(sandbox.run(&["path.newline"]).status.success());
    assert_eq!(cache(&sandbox, &["verify"]).0, Some(0));
}

#[test]
fn prune_keeps_only_the_entries_that_a_run_uses() {
    let Some(sandbox) = Sandbox::open() else { return };
    assert!(sandbox.run(&["path.newline"]).status.success());
    let mut lab = sandbox.lab(&["path.newline", "--repeat", "100000", "--jobs", "1"]);
    let child = lab.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sandbox.await_process(&["qemu-system", "share=off"]);
    let (code, text) = cache(&sandbox, &["prune", "--max-size", "0"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("2 entries in use"), "{text}");
    assert_eq!(templates(&sandbox).len(), 1, "{text}");
    assert_eq!(names(&sandbox.cache("initramfs")).len(), 1, "{text}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    sandbox.finish(child);
    let (code, text) = cache(&sandbox, &["prune", "--max-size", "0"]);
    assert_eq!((code, templates(&sandbox).len()), (Some(0), 0), "{text}");
    assert_eq!(names(&sandbox.cache("initramfs")).len(), 0, "{text}");
    // The linked areas belong to another cache.
    assert!(!names(&sandbox.cache("kernels")).is_empty());
    assert!(sandbox.run(&["path.newline"]).status.success());
}

#[test]
fn prune_needs_a_size_or_an_age() {
    let Some(sandbox) = Sandbox::open() else { return };
    assert_eq!(cache(&sandbox, &["prune"]).0, Some(2));
    assert_eq!(cache(&sandbox, &["prune", "--dry-run"]).0, Some(2));
    assert_eq!(cache(&sandbox, &["prune", "--max-size", "much"]).0, Some(2));
    let (code, text) = cache(&sandbox, &["prune", "--older-than", "1d", "--dry-run"]);
    assert_eq!((code, text.contains("0 entries would be removed")), (Some(0), true), "{text}");
    assert!(cache(&sandbox, &["list", "--all"]).1.contains("total "));
}
