//! Runs that a signal ends, and reports that can no longer be written.

use crate::sandbox::{Sandbox, names};
use crate::support::kmodlab;
use conformance::report::document::Report;
use conformance::run::verdict::Verdict;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Enough behaviours that a run does not finish before the signal.
const MANY: [&str; 6] = ["loop", "path", "--cold", "--jobs", "1", "--offline"];

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Starts a run of many behaviours and returns after the first pass.
fn start_long_run(sandbox: &Sandbox, args: &[&str]) -> Child {
    let mut lab = sandbox.lab(&[&MANY[..], args].concat());
    let mut child = lab.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("pass")), "no behaviour passed");
    // Keep reading, so that the pipe stays open.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[test]
fn a_terminated_run_reports_its_verdicts() {
    let Some(sandbox) = Sandbox::open() else { return };
    let json = sandbox.path("report.json");
    let child = start_long_run(&sandbox, &["--json", json.to_str().unwrap()]);
    signal(&child, Signal::TERM);
    let output = sandbox.finish(child);
    assert_eq!(output.status.code(), Some(125));
    sandbox.nothing_is_left();
    let report: Report = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert!(report.results.iter().any(|row| row.verdict == Verdict::Pass), "{report:#?}");
    let judged = |row: &conformance::run::event::Row| {
        matches!(row.verdict, Verdict::Pass | Verdict::Skip) || row.reason.as_deref() == Some("interrupted")
    };
    assert!(report.results.iter().all(judged), "{report:#?}");
}

#[test]
fn an_interrupted_run_exits_with_125() {
    let Some(sandbox) = Sandbox::open() else { return };
    let child = start_long_run(&sandbox, &[]);
    signal(&child, Signal::INT);
    assert_eq!(sandbox.finish(child).status.code(), Some(125));
    sandbox.nothing_is_left();
}

#[test]
fn a_killed_run_leaves_no_guest_and_the_next_run_removes_its_files() {
    let Some(sandbox) = Sandbox::open() else { return };
    let mut lab = sandbox.lab(&["path.newline"]);
    let child = lab.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sandbox.await_process(&["qemu-system", "share=on"]);
    signal(&child, Signal::KILL);
    sandbox.finish(child);
    let killed = Instant::now();
    sandbox.await_some("the end of every process", || sandbox.processes().is_empty().then_some(()));
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert_eq!(names(&sandbox.cache("templates/work")).len(), 2, "half a template, and the gate");
    assert_eq!(sandbox.run(&["path.newline"]).status.code(), Some(0));
}

#[test]
fn sigterm_while_a_template_boots_ends_the_run_at_once() {
    let Some(sandbox) = Sandbox::open() else { return };
    let mut lab = sandbox.lab(&["path"]);
    let child = lab.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sandbox.await_process(&["qemu-system", "share=on"]);
    signal(&child, Signal::TERM);
    assert_eq!(sandbox.finish(child).status.code(), Some(125));
    sandbox.nothing_is_left();
}

/// The archive accepts a connection and sends nothing, like a mirror behind a broken network.
#[test]
fn sigterm_while_a_kernel_is_fetched_ends_the_run_at_once() {
    let Some(sandbox) = Sandbox::empty() else { return };
    let archive = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = format!("http://{}/debian", archive.local_addr().unwrap());
    let mut lab = sandbox.lab(&["path", "--kernel", "6.12", "--mirror", &mirror]);
    lab.env("no_proxy", "127.0.0.1").env_remove("http_proxy");
    let child = lab.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let _connection = archive.accept().unwrap();
    signal(&child, Signal::TERM);
    let begun = Instant::now();
    let output = sandbox.finish(child);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), text.contains("interrupted")), (Some(125), true), "{text}");
    sandbox.nothing_is_left();
}

#[test]
fn sigterm_while_a_bisection_builds_leaves_no_make() {
    let Some(sandbox) = Sandbox::open() else { return };
    let tree = sandbox.path("tree");
    std::fs::create_dir(&tree).unwrap();
    ["Kbuild", "Makefile", ".config"].iter().for_each(|file| std::fs::write(tree.join(file), b"").unwrap());
    std::fs::create_dir(sandbox.path("bin")).unwrap();
    sandbox.program("bin/make", "sleep 1000");
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
    let mut bisect = sandbox.command(kmodlab());
    bisect.args(["bisect", "path", "--tree"]).arg(&tree).env("PATH", path);
    let child = bisect.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    sandbox.await_process(&["sleep", "1000"]);
    signal(&child, Signal::TERM);
    let output = sandbox.finish(child);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), text.contains("interrupted")), (Some(125), true), "{text}");
    sandbox.nothing_is_left();
}

#[test]
fn a_run_continues_after_its_standard_output_is_closed() {
    let Some(sandbox) = Sandbox::open() else { return };
    let json = sandbox.path("report.json");
    let mut lab = sandbox.lab(&["path.newline", "path.length", "--json", json.to_str().unwrap()]);
    let mut child = lab.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Like `head -c1`.
    child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let output = sandbox.finish(child);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Report = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report.counts.pass, 2);
    sandbox.nothing_is_left();
}

#[test]
fn a_missing_report_directory_makes_the_run_inconclusive() {
    let Some(sandbox) = Sandbox::open() else { return };
    let dir = sandbox.path("reports");
    std::fs::create_dir(&dir).unwrap();
    let json = dir.join("report.json");
    let mut lab = sandbox.lab(&["path.newline", "--json", json.to_str().unwrap()]);
    let child = lab.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    sandbox.await_process(&["qemu-system"]);
    std::fs::remove_dir(&dir).unwrap();
    let output = sandbox.finish(child);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains("report.json: No such file or directory\n"), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the terminal report is incomplete");
    sandbox.nothing_is_left();
}
