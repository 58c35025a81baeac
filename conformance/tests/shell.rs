//! `kmodlab shell`: a command in the very guest, a behaviour that runs first, a debugger that is waited for.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use support::{kmodlab, run, stderr, stdout, vm_or_skip};
use vm_images::{Cache, Catalogue, Options};

#[test]
fn a_behaviour_runs_first_and_the_shell_finds_what_it_left() {
    if !vm_or_skip() {
        return;
    }
    let output = run(&["shell", "--at", "path.empty-disables", "-c", "cat /proc/sys/kernel/modprobe; exit 3"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    // The path that the check wrote last; another guest has the kernel's own.
    assert_eq!(stdout(&output), "/nonexistent\n");
    assert!(stderr(&output).contains("running path.empty-disables: an empty path disables"), "{}", stderr(&output));
    assert!(stderr(&output).contains("  fact       "), "{}", stderr(&output));
    assert_eq!(run(&["shell", "--at", "path"]).status.code(), Some(2));
    assert_eq!(run(&["shell", "--at", "no.such"]).status.code(), Some(2));
}

#[test]
fn a_guest_waits_for_its_debugger() {
    if !vm_or_skip() {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = kmodlab();
    command.args(["shell", &format!("--gdb={port}"), "-c", "cat /proc/cmdline"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = format!("gdb -ex 'target remote 127.0.0.1:{port}'");
    assert!(lines.any(|line| line.unwrap().contains(&told)));
    std::thread::spawn(move || lines.for_each(drop));
    let mut gdb = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(_) => assert!(child.try_wait().unwrap().is_none(), "it ended without waiting"),
        }
    };
    // The remote serial protocol's "continue", with its checksum.
    gdb.write_all(b"+$c#63").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("nokaslr"), "{}", stdout(&output));
}

/// Returns a shell script that loads a module whose initialisation faults.
fn load_a_module_that_faults() -> String {
    let cache = Cache::open(Cache::default_dir(|name| std::env::var_os(name)).unwrap()).unwrap();
    let kernel = vm_images::fetch(&Catalogue::builtin().unwrap(), "default", &Options::new(cache)).unwrap();
    let original = std::fs::read(kernel.modules.unwrap().join("kernel/drivers/net/dummy.ko")).unwrap();
    let mut patched = original.clone();
    support::crash_in_init(&mut patched);
    let changes = (0..original.len()).filter(|&at| original[at] != patched[at]);
    let write =
        |at| format!("printf '\\{:03o}' | dd of=/run/x.ko bs=1 seek={at} conv=notrunc 2>/dev/null; ", patched[at]);
    let edits: String = changes.map(write).collect();
    format!("cp /lib/modules/$(uname -r)/kernel/drivers/net/dummy.ko /run/x.ko; {edits} insmod /run/x.ko")
}

#[test]
fn a_command_whose_guest_oopses_prints_the_finding_with_its_trace() {
    if !vm_or_skip() {
        return;
    }
    let output = run(&["shell", "-c", &load_a_module_that_faults()]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(139), "{text}");
    assert!(text.contains("warning: the console shows oops: invalid opcode: 0000 [#1]"), "{text}");
    for part in ["    | ", "Call Trace:", "end trace"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_install_line_runs_in_the_shells_guest() {
    if !vm_or_skip() {
        return;
    }
    let script = "mkdir -p /etc/modprobe.d; echo 'install dummy echo installed >/run/out' >/etc/modprobe.d/a.conf; \
                  modprobe dummy; cat /run/out";
    let output = run(&["shell", "-c", script]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "installed\n"), "{}", stderr(&output));
}
