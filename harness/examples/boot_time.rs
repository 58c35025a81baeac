//! Measures cold boots, from the start of QEMU to the agent's greeting, and prints rows of a table: the faithful and
//! the fast profile, in real and in virtual time, alternating.
//!
//! `cargo run --release -p harness --example boot_time -- KERNEL INITRAMFS [VMLINUX [COUNT]]`
//!
//! VMLINUX is the unpacked kernel that the fast profile enters directly (`kmodlab run --profile fast --print-command`
//! prints its path).

use harness::{Profile, Qemu, Spawner, Spec, WallLimits, boot_cold};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, initramfs, rest @ ..] = args.as_slice() else {
        return Err("usage: boot_time KERNEL INITRAMFS [VMLINUX [COUNT]]".into());
    };
    let fast_kernel = rest.first().unwrap_or(kernel);
    let count: usize = rest.get(1).map_or(Ok(5), |count| count.parse())?;
    let (qemu, spawner, limits) = (Qemu::find(None)?, Spawner::start()?, WallLimits::default());
    let spec = |kernel: &String, profile, virtual_time| Spec { profile, virtual_time, ..Spec::new(kernel, initramfs) };
    let ways = [
        ("faithful, real time", spec(kernel, Profile::Faithful, false)),
        ("fast, real time", spec(fast_kernel, Profile::Fast, false)),
        ("faithful, virtual time", spec(kernel, Profile::Faithful, true)),
        ("fast, virtual time", spec(fast_kernel, Profile::Fast, true)),
    ];
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..count {
        for ((_, spec), times) in ways.iter().zip(&mut times) {
            let started = Instant::now();
            let vm = boot_cold(&qemu, spec, &spawner, &limits)?;
            times.push(started.elapsed());
            let ending = vm.shutdown();
            if !ending.planned {
                return Err(format!("a guest did not end as planned: {ending}").into());
            }
        }
    }
    for ((name, _), mut times) in ways.iter().zip(times) {
        times.sort();
        let seconds = |time: Duration| time.as_secs_f64();
        let (least, median) = (seconds(times[0]), seconds(times[times.len() / 2]));
        println!("| cold boot to the agent, {name} | {median:.2} s | {least:.2} s |");
    }
    Ok(())
}
