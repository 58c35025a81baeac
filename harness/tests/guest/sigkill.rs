//! SIGKILL of the program that runs a guest: QEMU dies within a second, and the next run removes the run directory.
//! The program is the executable of this test, started again.

use crate::rig::{Rig, is_alive};
use harness::RunDir;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Environment variable with the directory in which the started program creates its run directory.
const HOLD: &str = "KMODLAB_TEST_HOLD";

/// The started program: starts a guest in a worker thread, prints its process id, and waits to be killed.
#[test]
fn hold_a_guest_if_requested() {
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
fn after_sigkill_qemu_dies_within_a_second_and_the_next_run_removes_its_directory() {
    let Some(rig) = Rig::open() else { return };
    drop(rig.template()); // create it for the started program
    let base = rig.scratch.path().join("runs");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sigkill::hold_a_guest_if_requested", "--nocapture"])
        .env(HOLD, &base)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let pid =
        output.lines().find_map(|line| line.unwrap().strip_prefix("holding ").map(|pid| pid.parse::<u32>().unwrap()));
    let pid = pid.expect("the program printed the guest's process id");
    // The worker thread that started the guest has ended; a parent-death signal bound to it would have killed QEMU.
    std::thread::sleep(Duration::from_millis(100));
    assert!(is_alive(pid));
    child.kill().unwrap();
    let killed = Instant::now();
    child.wait().unwrap();
    while is_alive(pid) {
        assert!(killed.elapsed() < Duration::from_secs(1), "QEMU {pid} outlived its parent");
        std::thread::sleep(Duration::from_millis(5));
    }
    let runs = || base.read_dir().unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(runs(), 1, "a killed run leaves its directory");
    let next = RunDir::open(&base).unwrap();
    assert_eq!(runs(), 1);
    drop(next);
    assert_eq!(runs(), 0);
}
