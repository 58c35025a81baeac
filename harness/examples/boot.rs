//! Boots a guest in each profile, creates a template, and prints how long each way to a running guest takes.
//!
//! `cargo run --release -p harness --example boot -- KERNEL INITRAMFS [TEMPLATES_DIR]`

use agent::proto::{Reply, Request};
use harness::{BootPolicy, Machine, Profile, Qemu, Spawner, Spec, Templates, WallLimits, boot_cold};
use std::time::{Duration, Instant};

const CALL: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(kernel), Some(initramfs)) = (args.next(), args.next()) else {
        return Err("usage: boot KERNEL INITRAMFS [TEMPLATES_DIR]".into());
    };
    let qemu = Qemu::find(None)?;
    let spawner = Spawner::start()?;
    let limits = WallLimits::default();
    let faithful = Spec::new(&kernel, &initramfs);
    println!("{}", qemu.command_line(&faithful));
    let fast = Spec { profile: Profile::Fast, ..faithful.clone() };
    for (name, spec) in [
        ("faithful, virtual time", faithful.clone()),
        ("fast, virtual time", fast.clone()),
        ("faithful, real time", Spec { virtual_time: false, ..faithful.clone() }),
        ("fast, real time", Spec { virtual_time: false, ..fast }),
    ] {
        let started = Instant::now();
        let mut vm = boot_cold(&qemu, &spec, &spawner, &limits)?;
        let booted = started.elapsed();
        let time = match vm.call(&Request::Clock, CALL)? {
            Reply::Clock(time) => time.0,
            other => return Err(format!("{other:?}").into()),
        };
        let ending = vm.shutdown();
        println!("{name}: {booted:.2?} to the agent ({time} µs in the guest), {:.2?} to its end", started.elapsed());
        println!("  {ending}, {} findings", ending.findings.len());
    }
    let Some(dir) = args.next() else { return Ok(()) };
    let templates = Templates::open(dir)?;
    for name in ["created or found", "found"] {
        let started = Instant::now();
        let key = format!("{kernel} {initramfs}");
        let machine = Machine { qemu: &qemu, spec: &faithful, key: &key };
        let template = templates.get(&machine, &BootPolicy::default(), &spawner, &limits)?;
        println!("template, {name}: {:.3?}, in {}", started.elapsed(), template.dir().display());
        for _ in 0..5 {
            let started = Instant::now();
            let mut vm = template.clone_vm(&spawner)?;
            let running = started.elapsed();
            vm.call(&Request::Clock, CALL)?;
            let called = started.elapsed();
            let ending = vm.shutdown();
            println!(
                "clone: {running:.3?} to its first reply, {called:.3?} to its second, {:.3?}: {ending}",
                started.elapsed()
            );
        }
    }
    Ok(())
}
