//! Measures cold boots from the start of QEMU, and prints rows of a table: to the agent's greeting, and until the kernel's
//! clock source is final, so that the guest can be saved; the faithful and the fast profile, in real and in virtual time,
//! with each CPU model, alternating.
//!
//! `cargo run --release -p harness --example boot_time -- KERNEL INITRAMFS [VMLINUX [COUNT [CPU...]]]`
//!
//! VMLINUX is the unpacked kernel that the fast profile enters directly (`kmodlab run --profile fast --print-command`
//! prints its path). CPU is a model as for QEMU's `-cpu`; the default is the one that the harness uses.

use harness::{Profile, Qemu, Spawner, Spec, WallLimits, boot_cold, machine};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, initramfs, rest @ ..] = args.as_slice() else {
        return Err("usage: boot_time KERNEL INITRAMFS [VMLINUX [COUNT [CPU...]]]".into());
    };
    let fast_kernel = rest.first().unwrap_or(kernel);
    let count: usize = rest.get(1).map_or(Ok(5), |count| count.parse())?;
    let ours = [machine::CPU_TCG.to_owned()];
    let cpus = rest.get(2..).filter(|cpus| !cpus.is_empty()).unwrap_or(&ours);
    let (qemu, spawner, limits) = (Qemu::find(None)?, Spawner::start()?, WallLimits::default());
    let ways = [
        ("faithful, real time", kernel, Profile::Faithful, false),
        ("fast, real time", fast_kernel, Profile::Fast, false),
        ("faithful, virtual time", kernel, Profile::Faithful, true),
        ("fast, virtual time", fast_kernel, Profile::Fast, true),
    ];
    let mut rows = Vec::new();
    for (way, kernel, profile, virtual_time) in ways {
        for cpu in cpus {
            let name = if cpus.len() > 1 { format!("{way}, `-cpu {cpu}`") } else { way.to_owned() };
            let spec = Spec { profile, virtual_time, cpu: cpu.clone(), ..Spec::new(kernel, initramfs) };
            rows.push((name, spec, Vec::new(), Vec::new()));
        }
    }
    for _ in 0..count {
        for (_, spec, greeted, settled) in &mut rows {
            let started = Instant::now();
            let vm = boot_cold(&qemu, spec, &spawner, &limits)?;
            greeted.push(started.elapsed());
            let vm = vm.settled()?;
            settled.push(started.elapsed());
            let ending = vm.shutdown();
            if !ending.planned {
                return Err(format!("a guest did not end as planned: {ending}").into());
            }
        }
    }
    for (name, _, greeted, settled) in rows {
        for (event, mut times) in [("to the agent", greeted), ("until it can be saved", settled)] {
            times.sort();
            let seconds = |time: Duration| time.as_secs_f64();
            let (least, median) = (seconds(times[0]), seconds(times[times.len() / 2]));
            println!("| cold boot {event}, {name} | {median:.2} s | {least:.2} s |");
        }
    }
    Ok(())
}
