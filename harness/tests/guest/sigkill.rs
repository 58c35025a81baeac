//! SIGKILL of the program that holds a guest: QEMU is gone within a second, and what lay in the run
//! directory is swept by the next run. The program is this test's own executable, started again.

use crate::rig::{Rig, is_alive};
use harness::RunDir;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names the directory in which the started program makes its run directory.
const HOLD: &str = "KMODLAB_TEST_HOLD";

/// The started program: holds a guest that a worker thread started, says so, and waits to be killed.
#[test]
fn holds_a_guest_when_it_is_told_to() {
    let Some(base) = std::env::var_os(HOLD) else { return };
    let Some(rig) = Rig::open() else { return };
    let run = RunDir::open(Path::new(&base)).unwrap();
    std::fs::write(run.path().join("file"), "x").unwrap();
    let vm = std::thread::scope(|scope| scope.spawn(|| rig.guest()).join().unwrap());
    println!("\nholding {}", vm.qemu_pid());
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn after_sigkill_qemu_is_gone_within_a_second_and_the_next_run_sweeps() {
    let Some(rig) = Rig::open() else { return };
    drop(rig.template()); // so that the started program finds it
    let base = rig.scratch.path().join("runs");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sigkill::holds_a_guest_when_it_is_told_to", "--nocapture"])
        .env(HOLD, &base)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let pid =
        output.lines().find_map(|line| line.unwrap().strip_prefix("holding ").map(|pid| pid.parse::<u32>().unwrap()));
    let pid = pid.expect("the program said that it holds a guest");
    // The worker thread that started the guest has ended: a parent-death signal bound to it would have come.
    std::thread::sleep(Duration::from_millis(100));
    assert!(is_alive(pid));
    child.kill().unwrap();
    let killed = Instant::now();
    child.wait().unwrap();
    while is_alive(pid) {
        assert!(killed.elapsed() < Duration::from_secs(1), "QEMU {pid} outlived its lab");
        std::thread::sleep(Duration::from_millis(5));
    }
    let runs = || base.read_dir().unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(runs(), 1, "what a killed run leaves");
    let next = RunDir::open(&base).unwrap();
    assert_eq!(runs(), 1);
    drop(next);
    assert_eq!(runs(), 0);
}
