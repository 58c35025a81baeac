//! Talks to an agent whose serial port is a Unix socket: requests its greeting, then prints the kernel log.
//!
//! ```text
//! qemu-system-x86_64 … -serial mon:stdio -serial unix:port,server=on,wait=off
//! cargo run -p agent --example talk -- port
//! ```

use agent::frame::{self, Decoder};
use agent::proto::{Reply, Request};
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: talk SOCKET (the guest's second serial port)")?;
    let mut port = UnixStream::connect(path)?;
    let mut decoder = Decoder::new();
    // An agent that was ready before we connected does not send its greeting again: request it.
    port.write_all(&frame::encode(1, &Request::Hello)?)?;
    if let Reply::Hello { release, .. } = next(&mut port, &mut decoder, |_| true)? {
        println!("kernel release: {}", release.escape_ascii());
    }
    port.write_all(&frame::encode(2, &Request::Kmsg { since: 0, flush: true })?)?;
    if let Reply::Kmsg { records, .. } = next(&mut port, &mut decoder, |seq| seq == 2)? {
        for record in records {
            println!("{:>12} {}", record.time.0, record.text.escape_ascii());
        }
    }
    Ok(())
}

/// Waits for the next reply whose sequence number is wanted.
fn next(port: &mut UnixStream, decoder: &mut Decoder, wanted: fn(u32) -> bool) -> Result<Reply, Box<dyn Error>> {
    let mut buffer = [0; 4096];
    loop {
        while let Some((seq, payload)) = decoder.next_frame() {
            if wanted(seq) {
                return Ok(frame::decode(&payload)?);
            }
        }
        match port.read(&mut buffer)? {
            0 => return Err("the guest has ended".into()),
            length => decoder.push(&buffer[..length]),
        }
    }
}
