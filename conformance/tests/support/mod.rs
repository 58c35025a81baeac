//! Shared parts of the integration tests.
#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod elf;
pub mod lab;
pub mod session;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program under test.
pub fn kmodlab() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmodlab"));
    // The tests themselves may run in a shard of a CI system.
    command.env("KMODLAB_SHARD", "all");
    command
}

/// Runs `kmodlab` until it exits.
pub fn run(args: &[&str]) -> Output {
    kmodlab().args(args).output().expect("kmodlab starts")
}

/// Returns standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns whether this machine can boot guests. With `KMODLAB_REQUIRE_VM=1` it must.
pub fn vm_or_skip() -> bool {
    let doctor = run(&["doctor"]);
    if doctor.status.success() {
        return true;
    }
    let report = stdout(&doctor);
    assert!(std::env::var_os("KMODLAB_REQUIRE_VM").is_none(), "this machine must be able to boot guests:\n{report}");
    eprintln!("skipped: this machine cannot boot guests; run ci/setup\n{report}");
    false
}

/// Writes an executable shell script. A child process writes it: if this process had it open for writing, a child that
/// another test starts at that moment would inherit the descriptor, and execve(2) would fail with ETXTBSY.
pub fn write_script(path: &Path, script: &str) {
    let written = Command::new("sh")
        .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#, "sh"])
        .arg(path)
        .arg(script)
        .status();
    assert!(written.expect("sh runs").success());
}

/// Makes a file executable.
pub fn make_executable(path: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("the mode can be changed");
}

/// Writes a static x86-64 program that consists of these machine instructions.
pub fn tiny_program(path: &Path, code: &[u8]) -> PathBuf {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2_u16, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // One segment: all of the file, readable and executable.
    for word in [1_u32, 5] {
        file.extend(word.to_le_bytes());
    }
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    std::fs::write(path, file).expect("the program can be written");
    make_executable(path);
    path.to_owned()
}

/// `exit(0)`.
pub const EXIT_0: &[u8] = b"\xb8\x3c\0\0\0\x31\xff\x0f\x05";

/// `socket(3, SOCK_STREAM, 0); exit(1)`: a modprobe that needs a module itself and therefore loops.
pub const LOOPING: &[u8] =
    b"\xb8\x29\0\0\0\xbf\x03\0\0\0\xbe\x01\0\0\0\x31\xd2\x0f\x05\xb8\x3c\0\0\0\xbf\x01\0\0\0\x0f\x05";

/// Returns the QEMU processes whose command line contains this word, or whose guest was booted with it. The command line of
/// a clone does not contain the kernel's, but the description of its template does.
pub fn processes_with(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Ok(cmdline) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let text = String::from_utf8_lossy(&cmdline).replace('\0', " ");
        let memory = text.split_once("mem-path=").and_then(|(_, rest)| rest.split([' ', ',']).next()).map(Path::new);
        let template = memory.and_then(|memory| std::fs::read_to_string(memory.with_file_name("meta.json")).ok());
        let marked = text.contains(word) || template.is_some_and(|meta| meta.contains(word));
        if text.contains("qemu") && !text.contains("kmodlab run") && marked {
            found.push(format!("{}: {text}", entry.file_name().to_string_lossy()));
        }
    }
    found
}

/// Returns the processes of [`processes_with`] that this test program started: others may run the same test.
pub fn children_with(word: &str) -> Vec<String> {
    let parent = format!("PPid:\t{}", std::process::id());
    let is_ours = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| text.lines().any(|line| line == parent))
    };
    let found = processes_with(word).into_iter();
    found.filter(|process| process.split_once(':').is_some_and(|(pid, _)| is_ours(pid))).collect()
}

/// Kills the process of a line of [`processes_with`].
pub fn kill_by_line(line: &str) {
    let pid = line.split(':').next().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("a process id");
    // It may have ended by itself.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Writes an undefined instruction to the start of a module's init function, after the five bytes of the call of a traced
/// function.
pub fn crash_in_init(module: &mut [u8]) {
    let word = |at: usize, length: usize| {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&module[at..at + length]);
        usize::try_from(u64::from_le_bytes(bytes)).expect("an offset")
    };
    // The section headers, their number, and the index of the one with the names, in a 64-bit ELF file.
    let (headers, count, names) = (word(40, 8), word(60, 2), word(62, 2));
    let offset = |section: usize| word(headers + section * 64 + 24, 8);
    let is_init =
        |section: &usize| module[offset(names) + word(headers + section * 64, 4)..].starts_with(b".init.text\0");
    let at = offset((0..count).find(is_init).expect("a section .init.text")) + 5;
    module[at..at + 2].copy_from_slice(b"\x0f\x0b");
    // The signature no longer matches and would be rejected; without the marker at the end there is no signature.
    *module.last_mut().expect("a byte") = 0;
}
