//! A fake QEMU with a broken guest: it answers the control port like QEMU, and misuses the agent's and the console's port as
//! its mode says. It is this test's own executable, started again by a shell script.

use crate::sandbox::Sandbox;
use agent::frame;
use agent::proto::{Reply, Request, VERSION};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::FromRawFd;
use std::path::PathBuf;

/// QEMU's arguments, for the fake QEMU.
const ARGUMENTS: &str = "KMODLAB_FAKE_ARGUMENTS";
const MODE: &str = "KMODLAB_FAKE_MODE";
/// The descriptor of the console, QEMU's standard output; what the test runner prints goes elsewhere.
const CONSOLE: i32 = 9;

impl Sandbox {
    /// A fake QEMU in this mode, see [`play`].
    pub fn fake_qemu(&self, mode: &str) -> PathBuf {
        let this = std::env::current_exe().unwrap();
        let text = format!(
            "[ \"$1\" != --version ] || exec echo 'QEMU emulator version 7.2.22 (a fake)'\n\
             {MODE}={mode} {ARGUMENTS}=\"$*\" exec '{}' --exact fake::fake_qemu --nocapture {CONSOLE}>&1 >/dev/null",
            this.display()
        );
        self.program("qemu", &text)
    }
}

/// The fake QEMU; not a test, unless the environment says so.
#[test]
fn fake_qemu() {
    let (Ok(arguments), Ok(mode)) = (std::env::var(ARGUMENTS), std::env::var(MODE)) else { return };
    // SAFETY: this process was given the descriptor for this port, and nothing else here uses it.
    let open = |number| unsafe { File::from_raw_fd(number) };
    let port = |name: &str| {
        let (_, rest) = arguments.split_once(&format!("socket,id={name},fd=")).unwrap();
        open(rest.split(' ').next().unwrap().parse().unwrap())
    };
    let (console, agent, control) = (open(CONSOLE), port("agent"), port("qmp"));
    let control = std::thread::spawn({
        let garbage = mode == "control-garbage";
        move || answer_control(control, garbage)
    });
    play(&mode, agent, console);
    control.join().unwrap();
}

/// Accepts every command until the other side closes the port.
fn answer_control(port: File, garbage: bool) {
    let mut out = &port;
    let _ = out.write_all(b"{\"QMP\": {}}\n");
    for line in BufReader::new(&port).lines().map_while(Result::ok) {
        let command: serde_json::Value = serde_json::from_str(&line).unwrap();
        let answer = if garbage {
            "\u{fffd}{]\n".repeat(100_000)
        } else {
            format!("{}\n", serde_json::json!({ "return": {}, "id": command["id"] }))
        };
        if out.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Greets like an agent, and answers the first request, which asks for the end of the boot.
fn greet(mut port: &File, hello: &Reply) {
    for (seq, reply) in [(0, hello), (1, &Reply::Done)] {
        let _ = port.write_all(&frame::encode(seq, reply).unwrap());
    }
}

/// Plays a broken guest until the lab closes the ports, which shows as an error.
fn play(mode: &str, agent: File, mut console: File) {
    let hello = |version| Reply::Hello {
        version,
        release: b"6.1.0".to_vec(),
        cmdline: b"console=ttyS0".to_vec(),
        boot_id: b"id".to_vec(),
    };
    let mut port = &agent;
    let mut say = |seq: u32, reply: &Reply| port.write_all(&frame::encode(seq, reply).unwrap());
    match mode {
        "silent" | "control-garbage" => {}
        "noise" => {
            // The noise contains beginnings of frames, some with the maximum length.
            let noise = [&frame::MAGIC[..], &[0xff; 60], &frame::MAGIC[..], b"\0\0\0\x01\0\0\0\0", &[0; 40]].concat();
            let _ = port.write_all(&noise.repeat(10_000));
        }
        "half-a-frame" => {
            let whole = frame::encode(0, &hello(VERSION)).unwrap();
            let _ = port.write_all(&whole[..whole.len() / 2]);
        }
        "no-reply" => {
            let whole = frame::encode(0, &[0xff_u8; 100].to_vec()).unwrap();
            let _ = port.write_all(&whole);
        }
        "other-version" => drop(say(0, &hello(VERSION ^ 1))),
        "falls-silent" => greet(&agent, &hello(VERSION)),
        "wrong-numbers" => {
            greet(&agent, &hello(VERSION));
            answer_requests(&agent, |seq| (seq.wrapping_add(1000), Reply::Done));
        }
        "unexpected-replies" => {
            greet(&agent, &hello(VERSION));
            answer_requests(&agent, |seq| (seq, Reply::Started(Vec::new())));
        }
        "floods" => {
            greet(&agent, &hello(VERSION));
            let line = format!("[    1.000000] {}\n", "flood ".repeat(20));
            while console.write_all(line.repeat(1000).as_bytes()).is_ok() {}
        }
        "floods-the-agents-port" => {
            greet(&agent, &hello(VERSION));
            while say(7, &Reply::Done).is_ok() {}
        }
        other => panic!("unknown mode {other}"),
    }
    let mut rest = [0; 4096];
    let mut port = &agent;
    while port.read(&mut rest).is_ok_and(|count| count > 0) {}
}

fn answer_requests(port: &File, answer: impl Fn(u32) -> (u32, Reply)) {
    let mut decoder = frame::Decoder::new();
    let mut buffer = [0; 4096];
    let (mut input, mut out) = (port, port);
    while let Ok(count @ 1..) = input.read(&mut buffer) {
        decoder.push(&buffer[..count]);
        while let Some((seq, payload)) = decoder.next_frame() {
            let _request: Request = frame::decode(&payload).unwrap();
            let (seq, reply) = answer(seq);
            if out.write_all(&frame::encode(seq, &reply).unwrap()).is_err() {
                return;
            }
        }
    }
}
